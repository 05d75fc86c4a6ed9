"""One connection to Redis or Valkey: what redis-py is asked for, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, TypeVar

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.dynamic import Difference, Pairs
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import OutputError, SettingsError
from ctsdns_traefik.output.redis.arbitration import Mark
from ctsdns_traefik.output.redis.url import Address

T = TypeVar("T")

PATIENCE = 3.0
"""Seconds for connecting, and for each answer."""

LONGEST = 10.0
"""Seconds for everything that one snapshot asks of the store."""

_AT_ONCE = 2_000
"""Keys of one command: others wait for the store meanwhile."""

_REASONS = {
    "WRONGPASS": "the user or the password is wrong",
    "NOAUTH": "it wants a password",
    "NOPERM": "its user lacks a permission",
    "READONLY": "it is a read-only replica; name the primary",
    "OOM": "it is out of memory",
    "LOADING": "it is still loading its data",
    "MISCONF": "it takes no writes, since it cannot save them to disk",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "NOREPLICAS": "it takes no writes, since it has too few replicas",
    "WRONGTYPE": "a key of this tool's holds something else; delete it",
    "CROSSSLOT": "it is a cluster, from which Traefik cannot read",
    "MOVED": "it is a cluster, from which Traefik cannot read",
}
"""What Redis's errors, by their first word, mean here."""


class Moved(Exception):
    """Another has written meanwhile."""


def load_library() -> None:
    """Import redis-py; raise :class:`SettingsError` if it is not installed."""
    try:
        import redis  # noqa: F401
    except ImportError as why:
        advice = "pip install 'ctsdns-traefik[redis]'"
        raise SettingsError(f"a store as output needs redis-py: {advice}") from why


class Connection:
    """One connection, within which nothing that this tool keeps changes unseen.

    All methods but :meth:`read_notifications` raise :class:`OutputError` for what goes wrong
    between here and the store, in one line without a secret.
    """

    def __init__(self, client: Any, pipeline: Any, address: Address) -> None:
        """Take redis-py's client and pipeline, and where the store is; see :func:`connected`."""
        self._client = client
        self._pipeline = pipeline
        self._address = address
        self._root = root = address.root
        self._bell = f"{root}:ctsdns-traefik"
        self._owned = f"{root}:ctsdns-traefik:keys"
        self._early = f"{root}:ctsdns-traefik:early"
        self._early_found = False

    def read_mark(self) -> Mark | None:
        """Return what the last writer left, and notice from now on who else writes."""
        with self._asking():
            self._pipeline.watch(self._bell)
            found = self._pipeline.hmget(self._bell, ("digest", "stamp", "former"))
            digest, stamp, former = ((each or b"").decode("utf-8", "replace") for each in found)
        return Mark(digest, stamp, tuple(former.split())) if digest and stamp else None

    def read_owned(self) -> set[str]:
        """Return the paths that are this tool's, whichever watch wrote them."""
        return self._read_set(self._owned)

    def read_early(self) -> set[str]:
        """Return the paths that :meth:`add` wrote, and that no :meth:`replace` has made count."""
        found = self._read_set(self._early)
        self._early_found = bool(found)
        return found

    def count_owned(self) -> int:
        """Return how many paths are this tool's."""
        with self._asking():
            return int(self._pipeline.scard(self._owned))

    def read_values(self, paths: Iterable[str]) -> dict[str, str | None]:
        """Return what stands at some paths; ``None`` for nothing, and for what is no text."""
        found: dict[str, str | None] = {}
        for some in batched(paths, _AT_ONCE):
            keys = [self._key(path) for path in some]
            with self._asking():
                values = self._pipeline.mget(keys)
                texts = [
                    each if each is None else each.decode("utf-8", "replace") for each in values
                ]
                found.update(zip(some, texts, strict=True))
        return found

    def add(self, pairs: Pairs) -> None:
        """Write keys that do not count yet, all or nothing, and do not ring.

        They are remembered, so that they can be removed, but not among what is owned: for other
        watches all is as it was. Raise :class:`Moved` likewise.
        """
        self._pipeline.multi()
        self._set(pairs)
        for paths in batched(pairs, _AT_ONCE):
            self._pipeline.sadd(self._early, *paths)
        self._execute()
        self._early_found = True

    def replace(self, difference: Difference, owned: Difference, mark: Mark, about: str) -> None:
        """Write a difference, and what is owned from now on, all or nothing.

        The last command is the one that rings: Traefik hears of it when all else is there. Raise
        :class:`Moved` if another has written since :meth:`read_mark`.
        """
        self._pipeline.multi()
        self._set(difference.changed)
        for keys in batched(map(self._key, difference.removed), _AT_ONCE):
            self._pipeline.delete(*keys)
        for paths in batched(owned.removed, _AT_ONCE):
            self._pipeline.srem(self._owned, *paths)
        for paths in batched(owned.changed, _AT_ONCE):
            self._pipeline.sadd(self._owned, *paths)
        if self._early_found:
            self._pipeline.delete(self._early)
        state = {**mark._asdict(), "former": " ".join(mark.former), "writer": about}
        self._pipeline.hset(self._bell, mapping=state)
        self._execute()

    def _set(self, pairs: Pairs) -> None:
        for some in batched(pairs.items(), _AT_ONCE):
            self._pipeline.mset({self._key(path): value for path, value in some})

    def _execute(self) -> None:
        from redis.exceptions import WatchError

        with self._asking():
            try:
                self._pipeline.execute()
            except WatchError as why:
                raise Moved from why

    def _read_set(self, key: str) -> set[str]:
        with self._asking():
            return {each.decode("utf-8", "replace") for each in self._pipeline.smembers(key)}

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Explain what goes wrong while the store is asked; nothing else may happen inside.

        What is no Redis makes redis-py, and whoever reads its answers, stumble over their types.
        """
        try:
            with _explaining(self._address):
                yield
        except (AttributeError, LookupError, TypeError) as why:
            reason = "its answers are not Redis's; is it the right port?"
            raise OutputError(f"cannot publish to {self._address}: {reason}") from why

    def read_notifications(self) -> str | None:
        """Return the kinds of changes that it tells others of, ``None`` if it does not say.

        Raise nothing: a write before it is done, and has to be told.
        """
        from redis.exceptions import RedisError

        try:
            found = self._client.config_get("notify-keyspace-events")
        except RedisError:
            return None
        values = [value for value in found.values() if isinstance(value, bytes | str)]
        return next((v.decode() if isinstance(v, bytes) else v for v in values), None)

    def _key(self, path: str) -> str:
        return f"{self._root}/{path}"


@contextmanager
def connected(address: Address, cancellation: Cancellation | None = None) -> Iterator[Connection]:
    """Open a connection, and close it at the end.

    Raise :class:`OutputError` if it cannot be, or if everything together takes longer than
    :data:`LONGEST` seconds, or is cancelled.
    """
    from redis.exceptions import RedisError

    late = OutputError(f"cannot publish to {address}: it took longer than {LONGEST:g} s")
    with (cancellation or Cancellation()).child() as work, work.limit(LONGEST, late):
        with _explaining(address):
            client = _client(address, work)
            pipeline = client.pipeline()
        try:
            yield Connection(client, pipeline, address)
        finally:  # what was asked has been answered, or its failure is on the way
            with suppress(RedisError, OSError):
                pipeline.reset()
            with suppress(RedisError, OSError):
                client.close()


def _client(address: Address, cancellation: Cancellation) -> Any:
    """Return redis-py's client, which connects when it is first asked for something."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # Without ssl_check_hostname redis-py before 6 takes a certificate for any other name.
    options: dict[str, Any] = {"ssl": True, "ssl_check_hostname": True} if address.tls else {}
    if address.ca_file:
        options["ssl_ca_certs"] = str(address.ca_file)
    client = Redis(
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.user,
        password=address.read_password(),
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        **options,
    )
    pool = client.connection_pool
    pool.connection_class = _cancellable(pool.connection_class, cancellation)
    return client


def _cancellable(kind: Any, cancellation: Cancellation) -> Any:
    """Have the TCP connection, under TLS too, made so that the cancellation ends it."""
    from redis import Connection as PlainConnection

    class Cancellable(PlainConnection):
        def _connect(self) -> Any:
            return cancellation.connect(super()._connect)

    if kind is PlainConnection:
        return Cancellable
    return type("CancellableTLS", (kind, Cancellable), {})


@contextmanager
def _explaining(address: Address) -> Iterator[None]:
    """Raise :class:`OutputError` for what redis-py and the system raise."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, SettingsError, OSError, ValueError) as why:
        raise OutputError(f"cannot publish to {address}: {_explain(why)}") from why


def _explain(error: BaseException) -> str:  # noqa: PLR0911  (one a kind of failure)
    import ssl

    from redis.exceptions import ConnectionError as Broken
    from redis.exceptions import TimeoutError as Silent

    if isinstance(error, SettingsError):
        return str(error)
    causes = tuple(_causes(error))
    word = next((w for cause in causes if (w := _code(cause)) in _REASONS), "")
    if word:
        return f"{_REASONS[word]} ({word})"
    for cause in causes:
        match cause:
            case ssl.SSLCertVerificationError():
                return f"its certificate cannot be trusted: {shown(cause.verify_message)}"
            case ssl.SSLError():
                return f"TLS failed: {shown(cause.reason or str(cause))}"
            case Silent() | TimeoutError():
                return f"it does not answer within {PATIENCE:g} s"
            case OSError() if cause.strerror:
                return shown(cause.strerror).lower()
    if isinstance(error, Broken):
        return "the connection broke off"
    return shown(str(error))


def _code(error: BaseException) -> str:
    """Return the first word of what Redis said; redis-py drops it where it has a class for it."""
    names = {
        "AuthenticationError": "WRONGPASS",
        "AuthenticationWrongNumberOfArgsError": "WRONGPASS",
        "BusyLoadingError": "LOADING",
        "ClusterCrossSlotError": "CROSSSLOT",
        "MasterDownError": "MASTERDOWN",
        "MovedError": "MOVED",
        "NoPermissionError": "NOPERM",
        "OutOfMemoryError": "OOM",
        "ReadOnlyError": "READONLY",
    }
    text = str(error)
    if text.startswith(("Authentication required", "NOAUTH")):
        return "NOAUTH"
    said = next((word for word in text.replace("'", " ").split() if word in _REASONS), "")
    return names.get(type(error).__name__, said)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield items, some at a time; ``itertools`` has it only since Python 3.12."""
    rest = iter(items)
    while some := tuple(islice(rest, size)):
        yield some
