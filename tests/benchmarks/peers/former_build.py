"""The build of commit c763fe5, which takes events from files and prints its CPU seconds for each.

python former_build.py OUTPUT < PATHS, with that build's folder as PYTHONPATH.
"""

# mypy: ignore-errors
import gc
import sys
import time
from pathlib import Path

from ctsdns_traefik.core.snapshot import hosts_of_snapshot
from ctsdns_traefik.keeper import Keeper
from ctsdns_traefik.memory import expect_large_snapshots
from ctsdns_traefik.stream import read_events

from ctsdns_traefik.output import FileTarget

PIECE = 64 * 1024

expect_large_snapshots()
keeper = Keeper(FileTarget(Path(sys.argv[1])))
for path in sys.stdin:
    content = Path(path.strip()).read_bytes()
    pieces = [content[at : at + PIECE] for at in range(0, len(content), PIECE)]
    del content
    gc.collect()
    began = time.process_time()
    for event in read_events(pieces):
        keeper.apply(hosts_of_snapshot(event.data))
    print(time.process_time() - began, flush=True)
