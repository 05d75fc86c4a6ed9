"""Check the other dynamic files in the folder of the output, as ``validate -o`` does."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from ctsdns_traefik.daemon.event_publisher import Publish
from ctsdns_traefik.daemon.events import DirectoryFilesRefused

if TYPE_CHECKING:
    from ctsdns_traefik.core.static_config import StaticConfiguration

PAUSE = 60.0
"""Seconds between two checks, at least."""

MOST_TEXT = 256 * 1024
"""Characters that are parsed in all, which takes a second or two; further files are only read."""


class NeighbourCheck:
    """Finds files because of which Traefik would load none of the directory.

    ``static`` is Traefik's static configuration, if it is known.
    """

    def __init__(
        self,
        output: Path,
        static: StaticConfiguration | None,
        publish: Publish,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._output = output
        self._static = static
        self._publish = publish
        self._clock = clock
        self._next = 0.0
        self._seen = 0
        """The hash of what was read last."""

    def run(self) -> None:
        """Check the files, unless that was done within the last minute, and publish the result."""
        if self._clock() >= self._next:
            self._next = self._clock() + PAUSE
            self._check()

    def _check(self) -> None:
        from ctsdns_traefik.traefik import paths_beside, read_beside

        if not paths_beside(self._output, self._static):
            self._seen = 0
            self._publish(DirectoryFilesRefused(()))
            return
        from ctsdns_traefik.core.checks import check_dynamic_files  # it imports much

        found = read_beside(self._output, self._static)
        if (seen := hash(tuple(found.files))) == self._seen:
            return
        self._seen = seen
        sizes = accumulate(len(file.text) for file in found.files)
        files = [
            file if size <= MOST_TEXT else file._replace(text="")
            for file, size in zip(found.files, sizes, strict=True)
        ]
        refused = check_dynamic_files(found._replace(files=files))
        self._publish(DirectoryFilesRefused(tuple(refused)))
