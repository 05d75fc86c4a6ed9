"""Show a policy entry become a live route in a real Traefik, on this machine.

    python run.py [--endpoint SOURCE] [--stay]

Starts ``ctsdns-traefik watch`` on a copy of policy.hujson, one HTTP backend, and Traefik with the
example's static configuration; sends a request through Traefik, adds an entry to the policy, and
sends a request through the new route. All on free ports of 127.0.0.1; nothing is left behind.

With --endpoint, or TRAEFIK_CONFIG_API_ENDPOINT set, it follows that source instead, be it a policy
of your own in a file, ``tailscale:`` or a URL, and shows what Traefik makes of its routes. They are
open to the tailnet and this machine, unless TRAEFIK_ACCESS_FILE names another access file. --stay
keeps all of it running until Ctrl-C, and shows what watch logs.
"""

import signal
import sys

INSTALL = (
    "in the clone, with Python 3.11 or newer, run: python3 -m venv .venv &&"
    " .venv/bin/pip install -q -e '.[traefik]' && .venv/bin/python examples/quickstart/run.py"
)

RECEIVED: list[int] = []
"""The signals that have come. All that waits looks here, so that none ends a step halfway."""


def main() -> int:
    """Run the quickstart; return its exit status, which is 130 after Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: RECEIVED.append(number))
    try:
        from demonstration import demonstrate  # takes a moment, in which a signal can come, too
    except ImportError as why:
        print(f"run.py: error: {why}; {INSTALL}", file=sys.stderr)
        return 128 + RECEIVED[0] if RECEIVED else 1
    code = demonstrate(sys.argv[1:], RECEIVED)
    return 128 + RECEIVED[0] if RECEIVED else code


if __name__ == "__main__":
    sys.exit(main())
