"""Measure ctsdns-traefik: its budgets, its pieces, and its peers.

    python tests/benchmarks/run.py [--sizes 10,100,...] [--repeat N] [--quick] [--only SECTION]

The hub alone takes ten minutes; with ``--quick`` all takes half a minute, which only shows that it
works. It prints tables that Markdown can read.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:1] = [str(ROOT / "tests"), str(ROOT / "examples" / "quickstart")]
    from benchmarks.program import main

    main(sys.argv[1:])
