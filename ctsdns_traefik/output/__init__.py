"""Where documents go: a file or a store, and the user's commands around a change.

Outputs return what they did and log nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctsdns_traefik.core.face import make_face

if TYPE_CHECKING:
    from ctsdns_traefik.output.base import Outcome, Output, OutputWarning, WriteResult
    from ctsdns_traefik.output.file import FileOutput, remove_leftovers, replace_file
    from ctsdns_traefik.output.hooks import (
        PATH,
        Check,
        Command,
        OnChange,
        command_from,
        kill_running,
    )
    from ctsdns_traefik.output.memory import MemoryOutput

__all__ = [
    "PATH",
    "Check",
    "Command",
    "FileOutput",
    "MemoryOutput",
    "OnChange",
    "Outcome",
    "Output",
    "OutputWarning",
    "WriteResult",
    "command_from",
    "kill_running",
    "remove_leftovers",
    "replace_file",
]

__getattr__ = make_face(__name__, ("base", "file", "memory", "hooks"), __all__)
