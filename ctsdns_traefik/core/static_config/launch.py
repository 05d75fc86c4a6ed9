"""Read Traefik's static configuration from how it is started: flags and TRAEFIK_ variables.

A Compose file and the workloads of Kubernetes hold both. Traefik takes its whole configuration from
the first that is there: a file, flags, variables. Observed with Traefik 3.7.15: keys in flags may
have any case, the names that users choose keep theirs, and a value follows a ``=``: Traefik
reads none behind a word that is no flag. Variables have
no case, and their names become lower case.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import dropwhile, takewhile
from typing import Any, NamedTuple

from ctsdns_traefik.core.problems import FILE_START, LocatedError, SourceLocation
from ctsdns_traefik.core.static_config.places import location_of
from ctsdns_traefik.core.text import shown

SECTIONS = frozenset(
    {
        *("accesslog", "api", "certificatesresolvers", "core", "entrypoints", "experimental"),
        *("global", "hostresolver", "log", "metrics", "ocsp", "pilot", "ping", "providers"),
        *("serverstransport", "spiffe", "tcpserverstransport", "tracing"),
    }
)
"""The sections of a static configuration, in lower case; Traefik ignores all others.

It refuses ``pilot``, which it had once.
"""

_NAMED = ("entrypoints", "certificatesresolvers", "plugins")
"""The sections whose keys are names that users choose."""

_OF_HELM = (
    *("additionalArguments", "deployment", "globalArguments", "image", "ingressClass"),
    *("ingressRoute", "logs", "persistence", "ports", "rbac", "service"),
)
_OF_DYNAMIC = ("routers", "services", "middlewares", "serversTransports")
_IMAGE = re.compile(r"(?:^|/)traefik(?:$|[:@])")
_FILE = re.compile(r"--?configfile(?:=|$)", re.IGNORECASE)
_FLAG = re.compile(r"--?(?:entrypoints|providers|certificatesresolvers)\.", re.IGNORECASE)
_MOUNTED = re.compile(r"(?:/etc/traefik)?/traefik\.(?:toml|ya?ml)")
"""Where Traefik's image looks for a file, which counts before flags."""
_VARIABLE = "TRAEFIK_"
_VALUE = re.compile(r"""(?:"([^"]*)"|'([^']*)'|([^"'\s].*?)??)(?:\s+\#.*)?""")
"""A value in a file of variables: in quotes or not, perhaps before a comment."""

_DEFAULT = re.compile(r"\$\{\w+:?-([^}]*)\}")
_UNKNOWN = re.compile(r"(?<!\$)\$[({A-Za-z_]")

Located = tuple[str, SourceLocation]


class Launch(NamedTuple):
    """How Traefik is started: what counts of its flags and variables, and where each is."""

    flags: tuple[Located, ...] = ()
    variables: tuple[Located, ...] = ()
    """As ``NAME=VALUE``."""

    @property
    def settings(self) -> tuple[dict[str, Any], dict[str, SourceLocation]]:
        """The configuration as nested maps, and the locations by dotted path in lower case."""
        return _nested(_of_flags(self.flags) if self.flags else _of_variables(self.variables))


def find_launch(root: object, others: Iterable[object] = ()) -> Launch | None:
    """Return how a file starts Traefik, ``None`` for a static configuration and for no map.

    ``others`` are its further documents. Raise :class:`LocatedError` for a file that is something
    else, with its name.
    """
    if not root or not isinstance(root, Mapping):
        return None
    if "kind" in root and "apiVersion" in root:
        found = _containers((root, *others))
        return _of(found, "a manifest of Kubernetes without a container of Traefik")
    keys = {str(key).lower() for key in root}
    is_helm = "entrypoints" not in keys and _has(root, _OF_HELM)
    if "entrypoints" in keys or ("providers" in keys and not is_helm):
        return None  # of what else is there Traefik takes no notice
    services = root.get("services")
    if isinstance(services, Mapping) and "http" not in root:
        return _of(services.values(), "a Compose file without a service of Traefik")
    if any(_has(root.get(kind), _OF_DYNAMIC) for kind in ("http", "tcp", "udp")):
        raise LocatedError("it is a dynamic configuration: name Traefik's static one")
    if is_helm:
        raise LocatedError(
            "it is a file of Helm values: name the manifest that helm template makes of it"
        )
    if not keys & SECTIONS:
        raise LocatedError("there is no setting of Traefik's static configuration in it")
    return None


def launch_of_variables(text: str) -> Launch:
    """Return the variables in a file of lines ``NAME=VALUE``, as Compose and systemd read it."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = line.strip().removeprefix("export ").lstrip().partition("=")
        if equals and name.startswith(_VARIABLE):
            plain = _VALUE.fullmatch(value.strip())
            value = (plain[1] or plain[2] or plain[3] or "") if plain else value.strip()
            found.append((f"{name.rstrip()}={value}", SourceLocation(number, 1)))
    if not found:
        raise LocatedError("there is no TRAEFIK_ variable in it")
    return Launch(variables=tuple(found))


def _has(value: object, keys: Iterable[str]) -> bool:
    return isinstance(value, Mapping) and any(key in value for key in keys)


def _containers(manifests: Iterable[object]) -> Iterator[object]:
    """Yield the containers of all workloads, which nest their pods differently."""
    for each in manifests:
        pod: object = each
        while isinstance(pod, Mapping) and "containers" not in pod:
            if isinstance(items := pod.get("items"), list):
                yield from _containers(items)
            pod = next(
                (pod[key] for key in ("template", "jobTemplate", "spec") if key in pod), None
            )
        containers = pod["containers"] if isinstance(pod, Mapping) else ()
        yield from containers if isinstance(containers, list) else ()


def _of(containers: Iterable[object], otherwise: str) -> Launch:
    """Return the launch of the first Traefik, by its image or else by its flags.

    One in a profile of Compose, which starts by request, is the last.
    """
    found = [each for each in containers if isinstance(each, Mapping)]
    for is_traefik in (_has_image, _has_flags):
        for each in sorted(filter(is_traefik, found), key=lambda each: "profiles" in each):
            flags = tuple(_known(_flags(_command(each))))
            given = [*_variables(each, "environment"), *_variables(each, "env")]
            variables = tuple(_known(word for word in given if word[0].startswith(_VARIABLE)))
            _require_no_file(each, flags, variables)
            return Launch(flags, variables)
    raise LocatedError(f"it is {otherwise}: name Traefik's static configuration")


def _has_image(container: Mapping[Any, Any]) -> bool:
    return bool(_IMAGE.search(str(container.get("image"))))


def _has_flags(container: Mapping[Any, Any]) -> bool:
    return any(_FLAG.match(word) for word, _ in _command(container))


def _command(container: Mapping[Any, Any]) -> list[Located]:
    return [word for key in ("entrypoint", "command", "args") for word in _words(container, key)]


def _require_no_file(
    container: Mapping[Any, Any], flags: tuple[Located, ...], variables: tuple[Located, ...]
) -> None:
    """Raise :class:`LocatedError` for a container whose settings are somewhere else."""
    shells = [place for word, place in flags if word == "-c"]
    files = [place for word, place in flags if _FILE.match(word)] + list(_mounts(container))
    if shells or files or not (flags or variables):
        places = (*shells, *files, location_of(container, "image"), FILE_START)
        what = "its Traefik reads a file" if files else "its Traefik has no flags or variables"
        what = "a shell starts its Traefik" if shells else what
        other = "its env_file, or " if "env_file" in container and not files else ""
        raise LocatedError(
            f"{what}: name {other}the static configuration that it mounts",
            next(filter(None, places)),
        )


def _mounts(container: Mapping[Any, Any]) -> Iterator[SourceLocation]:
    """Yield where a file is mounted at which Traefik looks by itself."""
    for key in ("volumes", "configs", "secrets", "volumeMounts"):
        mounts = container.get(key)
        for at, each in enumerate(mounts if isinstance(mounts, list) else ()):
            paths = [part for part in str(each).split(":") if part.startswith("/")]
            if isinstance(each, Mapping):
                paths = [str(each.get(key)) for key in ("target", "mountPath") if key in each]
            if paths and _MOUNTED.fullmatch(paths[-1]):
                yield location_of(mounts, at) or FILE_START


def _words(container: Mapping[Any, Any], key: str) -> Iterator[Located]:
    """Yield the words of a command, a list or one text, with their locations."""
    value, place = container.get(key), location_of(container, key) or FILE_START
    if isinstance(value, str):
        try:
            yield from ((word, place) for word in shlex.split(value, comments=False))
        except ValueError as why:
            fault = f"{key} cannot be split into words: {str(why).lower()}"
            raise LocatedError(fault, place) from why
    for at, word in enumerate(value if isinstance(value, list) else ()):
        yield str(word), location_of(value, at) or place


def _variables(container: Mapping[Any, Any], key: str) -> Iterator[Located]:
    """Yield variables as ``NAME=VALUE``: of a map, or of a list of texts or of name and value.

    One whose value is elsewhere has a reference to itself.
    """
    value = container.get(key)
    if isinstance(value, Mapping):
        for name, each in value.items():
            text = f"${{{name}}}" if each is None else _text(each)
            yield f"{name}={text}", location_of(value, name) or FILE_START
    for at, each in enumerate(value if isinstance(value, list) else ()):
        name, equals, text = str(each).partition("=")
        if isinstance(each, Mapping):
            name, equals, text = str(each.get("name")), "=", _text(each.get("value") or "")
            equals = "" if "valueFrom" in each else equals
        yield f"{name}={text if equals else f'${{{name}}}'}", location_of(value, at) or FILE_START


def _flags(command: Iterable[Located]) -> Iterator[Located]:
    """Yield the flags up to the next word, behind which Traefik reads none."""
    begun = dropwhile(lambda word: not word[0].startswith("-"), command)
    return takewhile(lambda word: word[0].startswith("-"), begun)


def _known(words: Iterable[Located]) -> Iterator[Located]:
    for word, place in words:
        known = _interpolated(word)
        if known is not None:
            yield known, place


def _interpolated(word: str) -> str | None:
    """Return a word with Compose's defaults in place; ``None`` for one that is not known here.

    Of an address the port may be unknown: the entrypoint is there all the same.
    """
    known = _DEFAULT.sub(r"\1", word)
    is_address = ".address=" in word.lower() or "_ADDRESS=" in word
    return known.replace("$$", "$") if is_address or not _UNKNOWN.search(known) else None


def _of_flags(flags: Iterable[Located]) -> Iterator[tuple[list[str], str, SourceLocation]]:
    for word, place in flags:
        name, equals, value = word.lstrip("-").partition("=")
        parts = name.split(".")
        for at, part in enumerate(parts):
            if not at or parts[at - 1].lower() not in _NAMED:
                parts[at] = part.lower()
        yield parts, value if equals else "true", place


def _of_variables(variables: Iterable[Located]) -> Iterator[tuple[list[str], str, SourceLocation]]:
    for variable, place in variables:
        name, _, value = variable.partition("=")
        parts = name.removeprefix(_VARIABLE).lower().split("_")
        yield parts, value, place


def _nested(
    found: Iterable[tuple[list[str], str, SourceLocation]],
) -> tuple[dict[str, Any], dict[str, SourceLocation]]:
    root: dict[str, Any] = {}
    locations: dict[str, SourceLocation] = {}
    for parts, value, place in found:
        node = root
        for at, part in enumerate(parts, 1):
            locations.setdefault(".".join(parts[:at]).lower(), place)
            last = at == len(parts)
            inner = node.get(part)
            if last and not isinstance(inner, dict):
                node[part] = value
            elif not last:
                node[part] = node = inner if isinstance(inner, dict) else {}
    return root, locations


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else shown(str(value))
