"""The benchmarks' command line: what to measure, for which sizes, how often."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.budgets import show_budgets
from benchmarks.comparison import show_peers
from benchmarks.data import MOST_HOSTS
from benchmarks.hub import show_hub
from benchmarks.pieces import show_chain, show_pieces, show_starts
from benchmarks.scale import QUICK, Scale
from benchmarks.stores import show_store
from support.progress import LINE
from support.traefik import traefik_version

from ctsdns_traefik.daemon.memory import expect_large_snapshots

SECTIONS: dict[str, Callable[[Scale, Path], None]] = {
    "budgets": show_budgets,
    "pieces": show_pieces,
    "starts": show_starts,
    "chain": show_chain,
    "peers": show_peers,
    "store": show_store,
    "hub": show_hub,
}


def main(arguments: list[str]) -> None:
    """Measure and print, with temporary files that are removed again."""
    options = _parser().parse_args(arguments)
    scale = QUICK if options.quick else Scale()
    given = {"sizes": options.sizes, "repeat": options.repeat, "limit": options.limit}
    scale = scale._replace(**{name: value for name, value in given.items() if value})
    _forget_settings()
    expect_large_snapshots()  # as watch does; the library's own functions gain by it, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # and end all that runs
    print(f"# Benchmarks of ctsdns-traefik\n\n{_machine()}", flush=True)
    LINE.show_on(sys.stderr)
    try:
        for number, (name, show) in enumerate(SECTIONS.items(), 1):
            if options.only in (None, name):
                LINE.begin(f"{name}, {number} of {len(SECTIONS)}")
                with tempfile.TemporaryDirectory(
                    prefix="ctsdns-benchmarks-",
                    ignore_cleanup_errors=True,  # an interrupted program may still write there
                ) as folder:
                    show(scale, Path(folder))
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        LINE.clear()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Measure ctsdns-traefik against its budgets and its peers."
    )
    sizes = ",".join(map(str, Scale().sizes))
    parser.add_argument("--sizes", type=_sizes, help=f"numbers of hosts; default: {sizes}")
    parser.add_argument("--repeat", type=_positive, help="measurements of each thing; default: 5")
    parser.add_argument("--limit", type=_positive, help="seconds for anything; default: 60")
    parser.add_argument("--quick", action="store_true", help="few and small, to see that it works")
    parser.add_argument("--only", choices=SECTIONS, help="one section instead of all")
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(dict.fromkeys(int(size) for size in text.split(",")))
    if not 2 <= min(sizes) <= max(sizes) <= MOST_HOSTS:
        raise argparse.ArgumentTypeError(f"a size is from 2 to {MOST_HOSTS:,}")
    return sizes


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("it is at least 1")
    return value


def _forget_settings() -> None:
    """Keep the settings of the user who runs this out of it."""
    for variable in list(os.environ):
        if variable.startswith("TRAEFIK_") or variable.lower().endswith("_proxy"):
            del os.environ[variable]
    # A snapshot that changes every route and removes one would wait for the next to agree.
    os.environ["TRAEFIK_CONFIG_REMOVAL_GUARD"] = "false"


def _machine() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    traefik = ".".join(map(str, traefik_version()))
    load = f", load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    return f"{python} on {sys.platform}, {os.cpu_count()} cores{load}; Traefik {traefik}."
