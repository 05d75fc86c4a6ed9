#!/usr/bin/env bash
# click wraps --help inside words: at hyphens, and anywhere in a word that is longer than its column.
#
# Seen with click 8.5.1 on a terminal of 60 columns. The descriptions of options get what the longest name of
# an option leaves, here 24 columns: a variable of 34 letters is cut in two without a mark, and the option
# --on-change becomes "--on-" and "change", so that neither can be copied or searched for. The text goes
# through textwrap with its defaults, break_long_words and break_on_hyphens, which click offers no way to set;
# a formatter of one's own (click.Context.formatter_class) has to. A paragraph after "\b" is left alone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet click==8.5.1
COLUMNS=60 "$work/venv/bin/python" - --help <<'PYTHON' >"$work/help"
import click

@click.command()
@click.option("--retry-delay-of-the-source", metavar="SECS", envvar="TRAEFIK_CONFIG_RETRY_DELAY_SECONDS", show_envvar=True,
              help="Pause before connecting again; see also --on-change.")
def follow(**_):
    pass

follow()
PYTHON
cat "$work/help"
# Neither word stands anywhere as it is typed.
! grep -e TRAEFIK_CONFIG_RETRY_DELAY_SECONDS "$work/help" && ! grep -e --on-change "$work/help"
