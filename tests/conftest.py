"""What the tests share."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.campaigns import FULL
from support.certificates import Authority

DATA = Path(__file__).parent / "data"

# Hundreds of processes start here, and without compiled modules each compiles the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Programs run as users run them: what is buffered at the end may change how they end.
os.environ.pop("PYTHONUNBUFFERED", None)
sys.dont_write_bytecode = False

IGNORED_BY_SOME = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""Signals that a job in the background, or nohup, does not get."""

settings.register_profile(
    "everyday",
    deadline=None,
    derandomize=not FULL,  # every day's search is the same
    max_examples=1000 if FULL else 50,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("everyday")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run folders in four processes; campaigns, benchmarks and parts of a file in this one alone.

    Four are for two cores: most tests wait for something half of the time.
    """
    paths = [Path(argument) for argument in config.args]
    apart = {"campaign", "benchmarks"}
    alone = any(not path.is_dir() or apart & {*path.parts} for path in paths)
    return 0 if alone and not os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") else 4


def pytest_collection_finish() -> None:
    """Keep what is loaded now out of the collections of memory that the reconciler asks for."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _unset_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of the user who runs the tests out of them."""
    # pytest-xdist sets the first two in its workers.
    for variable in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    for variable in list(os.environ):
        if variable.startswith(
            ("TRAEFIK_", "TAILSCALE_", "CTSDNS_ACCESS_")
        ) or variable.lower().endswith("_proxy"):
            monkeypatch.delenv(variable)


@pytest.fixture(autouse=True, scope="session")
def _heeding_signals() -> Iterator[None]:
    """Let what is started obey the signals that the user who runs the tests may ignore."""
    former = {number: signal.signal(number, signal.SIG_DFL) for number in IGNORED_BY_SOME}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.fixture
def data() -> Path:
    """Return the folder of captured bytes."""
    return DATA


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the dynamic file is to be, in a folder of its own."""
    (tmp_path / "traefik").mkdir()
    return tmp_path / "traefik" / "dynamic.yml"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that every user can reach and write to."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Close at the end what a test enters."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make one certificate authority for all tests."""
    return Authority(tmp_path_factory.mktemp("authority"))
