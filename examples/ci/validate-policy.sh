#!/bin/sh
# Validate a policy, then show how its routes differ from those of an older revision. For any CI.
#
#     validate-policy.sh POLICY REVISION [OPTION...]
#
# Run it in the policy's git repository. POLICY is a path relative to the current folder, REVISION
# is what the change is going to be merged into, and each OPTION goes to "ctsdns-traefik validate".
# The exit code is that of validate, or 2 if git does not know the revision. The diff goes to
# standard output and, on GitHub, to the job's summary.
set -eu

if [ $# -lt 2 ]; then
  echo "usage: validate-policy.sh POLICY REVISION [OPTION...]" >&2
  exit 2
fi
policy=$1
revision=$2
shift 2

if ! commit=$(git rev-parse --verify --quiet --end-of-options "$revision^{commit}"); then
  echo "validate-policy.sh: git knows no revision $revision here; is it fetched?" >&2
  exit 2
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# With findings (1) the diff is still of use: it shows which routes they cost.
findings=0
ctsdns-traefik validate "$@" -- "$policy" || findings=$?
if [ "$findings" -gt 1 ]; then
  exit "$findings"
fi

# A policy may be new, or this change may fix one that cannot be read (3).
if git cat-file -e "$commit:./$policy" 2>/dev/null; then
  before=0
  git show "$commit:./$policy" |
    ctsdns-traefik -qq render-once --format yaml -o "$work/routes.yml" - || before=$?
  if [ "$before" -ne 0 ] && [ "$before" -ne 3 ]; then
    exit "$before"
  fi
fi
if [ ! -e "$work/routes.yml" ]; then
  echo "validate-policy.sh: no readable $policy at $revision; every route counts as new" >&2
fi

ctsdns-traefik -qq render-once --diff --format yaml -o "$work/routes.yml" -- "$policy" \
  >"$work/raw.diff"
sed -e '1s/.*/--- routes before/' -e '2s/.*/+++ routes after/' "$work/raw.diff" >"$work/routes.diff"

if [ -s "$work/routes.diff" ]; then
  cat "$work/routes.diff"
  [ -z "${GITHUB_STEP_SUMMARY:-}" ] || {
    echo '```diff'
    cat "$work/routes.diff"
    echo '```'
  } >>"$GITHUB_STEP_SUMMARY"
else
  echo "The routes stay as they are." | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
fi
exit "$findings"
