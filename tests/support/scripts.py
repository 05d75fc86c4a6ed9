"""Small scripts about signals, each run in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

PREAMBLE = """
import os, signal, sys, threading, time
from ctsdns_traefik import signals as module
from ctsdns_traefik.errors import Stop
from ctsdns_traefik.signals import Signals

def send(number):
    os.kill(os.getpid(), number)

def say(*words):
    print(*words, flush=True)
"""

LONG = 60.0
"""Seconds to end by itself after a stop, however busy the machine is."""


@contextmanager
def script(text: str, patience: float = LONG) -> Iterator[subprocess.Popen[str]]:
    """Run a script with the names of the preamble, until it has printed "ready"."""
    command = _command(text, patience)
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def _command(text: str, patience: float) -> list[str]:
    head = f"{PREAMBLE}\nmodule.PATIENCE = {patience}\n"
    return [sys.executable, "-c", head + textwrap.dedent(text)]


def output_of(text: str, patience: float = LONG) -> list[str]:
    """Run a script to its end and return the lines it prints."""
    command = _command(text, patience)
    done = subprocess.run(command, text=True, capture_output=True, timeout=60, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.splitlines()
