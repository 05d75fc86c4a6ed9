"""The house rules: who may import whom, how long things are, and that all of it is explained."""

from __future__ import annotations

import ast
import configparser
import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from support.paths import ROOT

PACKAGE = ROOT / "ctsdns_traefik"

LONGEST_FUNCTION = 40

PURE = {
    *("__future__", "bisect", "codecs", "collections", "collections.abc", "contextlib"),
    "datetime",  # to read and write times, never to ask for the present
    *("dataclasses", "difflib", "enum", "hashlib", "io", "ipaddress", "itertools"),
    *("json", "json.decoder"),
    *(
        "json.encoder",
        "operator",
        "posixpath",
        "re",
        "tomllib",
        "typing",
        "urllib.parse",
        "warnings",
    ),
    "importlib",  # for faces that import what they export when it is first used
    "sys",  # for intern; the process is nothing to the core
    "functools",  # to remember what a pure function returned
    "html",  # to escape text
    "shlex",  # to split a command as a shell does
    "http",  # for its names of status codes; a client is http.client
}
"""Parts of the standard library that reach no file, socket, clock, environment or chance."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One module that another imports."""

    importer: str
    imported: str
    typing_only: bool

    @property
    def root(self) -> str:
        """The top-level package that is imported."""
        return self.imported.partition(".")[0]


def parse_package() -> dict[str, ast.Module]:
    """Return the package's modules by their dotted names."""
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def name_of(path: Path) -> str:
    """Return the dotted name of a module's file."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = parse_package()


def imports_of(name: str) -> Iterator[Import]:
    """Yield everything that a module imports, also inside functions."""
    for node, typing_only in walk(MODULES[name], typing_only=False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, typing_only)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            assert node.module
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield Import(name, below if is_module(below) else node.module, typing_only)


def walk(node: ast.AST, *, typing_only: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Walk a tree; tell of each node whether it is only there for type checkers."""
    yield node, typing_only
    guarded = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    for child in ast.iter_child_nodes(node):
        yield from walk(child, typing_only=typing_only or guarded)


def is_module(name: str) -> bool:
    """Tell whether a dotted name is a module, not something inside one."""
    try:
        return name in MODULES or importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


IMPORTS = [each for name in MODULES for each in imports_of(name)]


def is_in(name: str, package: str) -> bool:
    """Tell whether a module is a package or in it."""
    return name == package or name.startswith(f"{package}.")


def test_imports_are_found() -> None:
    """The checks below see imports of every kind: plain, inside functions, for typing alone."""
    assert Import("ctsdns_traefik.source.once", "ctsdns_traefik.source.stream", False) in IMPORTS
    assert Import("ctsdns_traefik.source.http_client", "requests", False) in IMPORTS
    assert Import("ctsdns_traefik.source.stream", "requests", True) in IMPORTS
    assert Import("ctsdns_traefik.cli.options", "ctsdns_traefik.settings", False) in IMPORTS
    assert Import("ctsdns_traefik.output.file", "collections.abc", False) in IMPORTS


def test_core_imports_nothing_impure() -> None:
    """The core imports itself, pure parts of the standard library, idna and ruamel.yaml."""
    impure = {
        (each.importer, each.imported)
        for each in IMPORTS
        if is_in(each.importer, "ctsdns_traefik.core")
        and not is_in(each.imported, "ctsdns_traefik.core")
        and each.imported not in PURE
        and not is_in(each.imported, "ruamel.yaml")
        and each.root != "idna"
    }
    assert impure == set()


def test_core_never_asks_for_the_time() -> None:
    """The core reads and writes times, but is told what time it is."""
    asked = {
        (name, node.attr)
        for name, tree in MODULES.items()
        if is_in(name, "ctsdns_traefik.core")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    }
    assert [(name, what) for name, what in asked if what in ("now", "today", "utcnow")] == []
    assert ("ctsdns_traefik.core.status.timestamps", "fromtimestamp") in asked


def test_core_calls_nothing_impure() -> None:
    """The core opens, prints, asks and evaluates nothing with Python's built-in functions."""
    called = {
        (name, node.func.id)
        for name, tree in MODULES.items()
        if is_in(name, "ctsdns_traefik.core")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    impure = {"open", "print", "input", "eval", "exec", "compile", "__import__", "breakpoint"}
    assert [(name, function) for name, function in called if function in impure] == []
    assert ("ctsdns_traefik.core.entries.grammar", "read_address") in called


ACCESS = "ctsdns_traefik.access_service"

OWNERS = (
    pytest.param("click", ("ctsdns_traefik.cli", f"{ACCESS}.main"), id="click"),
    pytest.param("cryptography", (f"{ACCESS}.jwks",), id="cryptography"),
    pytest.param("jwt", (f"{ACCESS}.jwks", f"{ACCESS}.tokens"), id="jwt"),
    pytest.param("waitress", (f"{ACCESS}.server",), id="waitress"),
    pytest.param(
        "tornado",
        tuple(
            f"ctsdns_traefik.server.{each}" for each in ("library", "relay", "server", "waiting")
        ),
        id="tornado",
    ),
    pytest.param("redis", ("ctsdns_traefik.output.redis.connection",), id="redis"),
    pytest.param(
        "requests",
        tuple(f"ctsdns_traefik.source.{each}" for each in ("http_client", "http_faults", "stream")),
        id="requests",
    ),
    pytest.param(
        "urllib3",
        ("ctsdns_traefik.source.http_client", "ctsdns_traefik.source.http_faults"),
        id="urllib3",
    ),
    pytest.param("sseclient", ("ctsdns_traefik.source.stream",), id="sseclient"),
    pytest.param("rich", ("ctsdns_traefik.cli.report",), id="rich"),
    pytest.param(
        "ruamel",
        ("ctsdns_traefik.core.dynamic.document", "ctsdns_traefik.core.static_config.reader"),
        id="ruamel.yaml",
    ),
    pytest.param("idna", ("ctsdns_traefik.core.entries.domain",), id="idna"),
)


@pytest.mark.parametrize(("package", "owners"), OWNERS)
def test_only_its_owners_import_a_package(package: str, owners: tuple[str, ...]) -> None:
    """Only the modules in charge of a package from outside import it, and each of them does."""
    importers = {each.importer for each in IMPORTS if each.root == package}
    owned = {owner: {name for name in importers if is_in(name, owner)} for owner in owners}
    assert importers == set().union(*owned.values())
    assert all(owned.values())


def test_no_other_package_is_imported() -> None:
    """Apart from those and the standard library, the package imports only itself."""
    roots = {each.root for each in IMPORTS} - sys.stdlib_module_names - {"ctsdns_traefik"}
    assert roots == {str(owner.values[0]) for owner in OWNERS}


def test_what_is_imported_is_declared() -> None:
    """Every package that is imported is required by name in setup.cfg, not by way of others."""
    setup = configparser.ConfigParser()
    setup.read(PACKAGE.parent / "setup.cfg")
    extras = setup["options.extras_require"]
    lines = (
        setup["options"]["install_requires"] + extras["access"] + extras["redis"] + extras["serve"]
    )
    declared = {Requirement(line).name.lower() for line in lines.split()}
    provided = importlib.metadata.packages_distributions()
    imported = {each.root for each in IMPORTS} - sys.stdlib_module_names - {"ctsdns_traefik"}
    undeclared = {
        name
        for name in imported
        if not {each.lower() for each in provided[name]} & declared
        and name != "cryptography"  # PyJWT's extra, asked for by name
    }
    assert undeclared == set()


def test_lowest_versions_are_all_constrained() -> None:
    """The constraints for CI pin each requirement of the package and the tests to its lowest."""
    printed = subprocess.run(
        [sys.executable, PACKAGE.parent / ".ci" / "lowest"],
        capture_output=True,
        text=True,
        check=True,
    )
    constraints = list(map(Requirement, printed.stdout.splitlines()))
    setup = configparser.ConfigParser()
    setup.read(PACKAGE.parent / "setup.cfg")
    lines = setup["options"]["install_requires"] + setup["options.extras_require"]["test"]
    required = [Requirement(line) for line in lines.splitlines() if line]
    assert [each.name for each in constraints] == [each.name for each in required]
    for constraint, requirement in zip(constraints, required, strict=True):
        (pinned,) = constraint.specifier
        floors = [each.version for each in requirement.specifier if each.operator == ">="]
        assert (pinned.operator, [pinned.version]) == ("==", floors)
        assert constraint.marker == requirement.marker


def test_nothing_imports_the_command_line() -> None:
    """Only the command line itself, what runs it as a module, and the other program import it."""
    importers = {each.importer for each in IMPORTS if is_in(each.imported, "ctsdns_traefik.cli")}
    outside = {name for name in importers if not is_in(name, "ctsdns_traefik.cli")}
    assert outside == {"ctsdns_traefik.__main__", f"{ACCESS}.main"}


def test_nothing_imports_the_access_service() -> None:
    """The service is a program of its own, whose packages the other one can do without."""
    importers = {each.importer for each in IMPORTS if is_in(each.imported, ACCESS)}
    assert {name for name in importers if not is_in(name, ACCESS)} == set()


def test_imports_run_one_way() -> None:
    """No module imports itself by way of others."""
    below = {
        name: {each.imported for each in IMPORTS if each.importer == name and not each.typing_only}
        & MODULES.keys()
        for name in MODULES
    }
    assert below["ctsdns_traefik.daemon.loop"] > {
        "ctsdns_traefik.daemon.reconciler",
        "ctsdns_traefik.source",
    }
    removed: set[str] = set()
    while free := {name for name in below if name not in removed and below[name] <= removed}:
        removed |= free
    assert MODULES.keys() - removed == set()


@pytest.mark.parametrize("name", MODULES)
def test_module_is_explained(name: str) -> None:
    """A module, and every class and function in it without an underscore, has a docstring.

    A method that overrides another of its module has that one's.
    """
    nodes: list[tuple[str, ast.Module | ast.ClassDef | Function]] = [(name, MODULES[name])]
    nodes += list(public_parts(name, MODULES[name]))
    bare = [where for where, node in nodes if not ast.get_docstring(node)]
    assert bare == []


def public_parts(
    where: str, parent: ast.Module | ast.ClassDef
) -> Iterator[tuple[str, ast.ClassDef | Function]]:
    """Yield the classes, functions and methods that others may use, with where they are."""
    classes = {node.name: node for node in parent.body if isinstance(node, ast.ClassDef)}
    for node in parent.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{where}.{node.name}", node
            if isinstance(node, ast.ClassDef):
                inherited = methods_above(node, classes)
                for part, inner in public_parts(f"{where}.{node.name}", node):
                    if inner.name not in inherited:
                        yield part, inner


def methods_above(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Name the methods of a class's base classes in the same module."""
    names: set[str] = set()
    for base in node.bases:
        above = classes.get(ast.unparse(base))
        if above:
            names |= {each.name for each in above.body if isinstance(each, Function)}
            names |= methods_above(above, classes)
    return names


@pytest.mark.parametrize("name", MODULES)
def test_functions_are_short(name: str) -> None:
    """No function is longer than 40 lines."""
    functions = [node for node in ast.walk(MODULES[name]) if isinstance(node, Function)]
    long = {node.name: lines_of(node) for node in functions if lines_of(node) > LONGEST_FUNCTION}
    assert long == {}


def lines_of(function: Function) -> int:
    """Count a function's lines; of a command's, whose options are declarations, the body's."""
    assert function.end_lineno
    command = any("click.command" in ast.unparse(each) for each in function.decorator_list)
    first = function.body[0].lineno if command else function.lineno
    return function.end_lineno - first + 1


FACES = {
    name: {
        str(element.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for element in getattr(node.value, "elts", ())
    }
    for name, tree in MODULES.items()
    if FILES[name].name == "__init__.py" and "__all__" in FILES[name].read_text(encoding="utf-8")
}
"""Packages, and what each exports."""


def test_packages_are_entered_by_their_faces() -> None:
    """Only a package's own modules import from inside it; those of the core, from each other's.

    The access service, the other program, shares parts of the command line.
    """
    assert len(FACES) > 10
    inside = {
        (each.importer, each.imported)
        for each in IMPORTS
        for package in FACES.keys() - {"ctsdns_traefik.cli"}
        if each.imported.rpartition(".")[0] == package
        and not is_in(each.importer, package)
        and not (is_in(each.importer, "ctsdns_traefik.core") and ".core." in package)
        and each.imported not in FACES
    }
    assert inside == set()


@pytest.mark.parametrize("package", sorted(FACES.keys() - {"ctsdns_traefik"}))  # an API
def test_face_exports_what_others_use(package: str) -> None:
    """What a package exports is there, and something outside uses it."""
    face = importlib.import_module(package)
    assert [name for name in FACES[package] if not hasattr(face, name)] == []
    used = {
        alias.name
        for name, tree in MODULES.items()
        if not is_in(name, package) or (FILES[name].name == "__init__.py" and name != package)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and is_in(node.module or "", package)
        for alias in node.names
    }
    assert FACES[package] - used == set()


def test_modules_can_be_imported_in_any_order() -> None:
    """Each module can be the first to be imported: the faces make no circle of packages.

    A package's face is imported before each of its modules, so that it is enough to begin with each
    package once.
    """
    program = """
import importlib, sys
package = None
for name in sys.argv[1:]:
    if name.rpartition(".")[0] != package:
        package = name.rpartition(".")[0]
        for known in [each for each in sys.modules if each.partition(".")[0] == "ctsdns_traefik"]:
            del sys.modules[known]
    importlib.import_module(name)
"""
    names = [name for name in MODULES if not name.endswith("__main__")]
    subprocess.run([sys.executable, "-c", program, *names], check=True, timeout=100)
