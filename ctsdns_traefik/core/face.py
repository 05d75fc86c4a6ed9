"""Faces of packages that import what they export only when it is first used.

A command needs few of the modules behind a face, and each costs time at its start and memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module


def make_face(
    package: str, modules: Sequence[str], exported: Collection[str]
) -> Callable[[str], object]:
    """Return a package's ``__getattr__``.

    The modules are searched in their order, in which those that import little come first.
    """

    def get_exported(name: str) -> object:
        for module in modules if name in exported else ():
            loaded = import_module(f"{package}.{module}")
            if hasattr(loaded, name):
                return getattr(loaded, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get_exported


def make_mapped_face(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return a package's ``__getattr__``, which imports no module but that of the name.

    ``modules`` maps the names to the modules that have them.
    """

    def get_exported(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return get_exported
