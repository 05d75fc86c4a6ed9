"""One connection to Redis or Valkey: the commands that are sent, and what errors mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from ctsdns_traefik import __version__
from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.dynamic import Difference, KeyValues
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import OutputError, SettingsError, os_reason
from ctsdns_traefik.output.redis.lease import Lease
from ctsdns_traefik.output.redis.url import Address
from ctsdns_traefik.source import require_certificates

T = TypeVar("T")

PATIENCE = 3.0
"""Seconds for connecting, and for each answer."""

LONGEST = 10.0
"""Seconds for all commands of one connection."""

_BATCH = 2_000
"""Keys of one command: Redis serves no other client while it runs one."""

_CLUSTER = ("it is a cluster, from which Traefik cannot read", "name a single server")
_REASONS = {
    "WRONGPASS": (
        "the user or the password is wrong",
        "correct the user in the URL, or the password (--store-password-file)",
    ),
    "NOAUTH": ("it wants a password", "set --store-password-file, and name the user in the URL"),
    "NOPERM": ("its user lacks a permission", "give it what examples/redis/users.acl lists"),
    "READONLY": ("it is a read-only replica", "name the primary"),
    "OOM": ("it is out of memory", "raise its maxmemory"),
    "LOADING": ("it is still loading its data", "wait for it"),
    "MISCONF": ("it takes no writes, since it cannot save them to disk", "its log says why"),
    "MASTERDOWN": ("it is a replica that has lost its primary", "name the primary"),
    "NOREPLICAS": ("it takes no writes, since it has too few replicas", "start them"),
    "WRONGTYPE": ("a key of this tool's holds something else", "delete it"),
    "CROSSSLOT": _CLUSTER,
    "MOVED": _CLUSTER,
}
"""What Redis's errors mean here, by their code, and how to fix it."""


_CHECK = "check that the store runs, its address, and whether its port has TLS"

_GARBLED = (AttributeError, LookupError, TypeError)
"""What redis-py, and the code that reads its answers, raise for answers that are not Redis's."""


class Conflict(Exception):
    """Another process has written since this one read."""


class Mark(NamedTuple):
    """What the last write left beside the document."""

    digest: str
    """Of the keys and values that it wrote."""
    stamp: str
    """Another for each write."""


def load_library() -> None:
    """Import redis-py; raise :class:`SettingsError` if it is not installed."""
    try:
        import redis  # noqa: F401
    except ImportError as why:
        advice = "install ctsdns-traefik with its extra 'redis'"
        raise SettingsError(f"a store as output needs redis-py: {advice}") from why


class Connection:
    """One connection to the store, on which a write fails if another came between.

    Use :func:`connected` to make one. All methods but :meth:`read_notifications` raise
    :class:`OutputError` for what goes wrong between here and the store, in one line without
    secrets.
    """

    def __init__(self, client: Any, pipeline: Any, address: Address) -> None:
        self._client = client
        self._pipeline = pipeline
        self._address = address
        self._root = root = address.root
        self._hash = f"{root}:ctsdns-traefik"
        self._owned = f"{root}:ctsdns-traefik:keys"
        self._staged = f"{root}:ctsdns-traefik:staged"
        # Traefik subscribes to __keyspace*:ROOT*, and with notifications of every kind of key (KEA)
        # reads everything at each. The lease is renewed at each snapshot, so its key must not match
        # and holds no ":ROOT".
        self._lease = f"ctsdns-traefik.lease.{root}"
        self._staged_found = False

    def read_state(self) -> tuple[Mark | None, Lease | None]:
        """Return what the last write left and who holds the writer lease.

        A write on this connection raises :class:`Conflict` if either changes after this. That
        includes a lease that expires meanwhile (Redis 6.0.9 and newer).
        """
        with self._mapping_errors():
            self._pipeline.watch(self._hash, self._lease)
            found = self._pipeline.hmget(self._hash, ("digest", "stamp"))
            digest, stamp = ((each or b"").decode("utf-8", "replace") for each in found)
        return Mark(digest, stamp) if digest and stamp else None, self._read_lease()

    def _read_lease(self) -> Lease | None:
        with self._mapping_errors():
            text = self._pipeline.mget([self._lease])[0]  # unlike GET, nil for another type
            return None if text is None else Lease.from_text(text.decode("utf-8", "replace"))

    def read_owned(self) -> set[str]:
        """Return the paths that this tool has written, in whichever process."""
        return self._read_set(self._owned)

    def read_staged(self) -> set[str]:
        """Return the paths that :meth:`stage` wrote and no :meth:`replace` has completed."""
        found = self._read_set(self._staged)
        self._staged_found = bool(found)
        return found

    def count_owned(self) -> int:
        """Return how many paths this tool has written."""
        with self._mapping_errors():
            return int(self._pipeline.scard(self._owned))

    def read_values(self, paths: Iterable[str]) -> dict[str, str | None]:
        """Return the values at some paths; ``None`` for no value and for one that is no string."""
        found: dict[str, str | None] = {}
        for some in batched(paths, _BATCH):
            keys = [self._key(path) for path in some]
            with self._mapping_errors():
                values = self._pipeline.mget(keys)
                texts = [
                    each if each is None else each.decode("utf-8", "replace") for each in values
                ]
                found.update(zip(some, texts, strict=True))
        return found

    def stage(self, values: KeyValues, lease: Lease, seconds: float) -> None:
        """Write keys in one transaction without notifying Traefik, and take or renew the lease.

        The keys are listed apart from the owned ones, so that they are removed if
        :meth:`replace` never follows. Raise :class:`Conflict` likewise.
        """
        self._begin(lease, seconds)
        self._set(values)
        for paths in batched(values, _BATCH):
            self._pipeline.sadd(self._staged, *paths)
        self._execute()
        self._staged_found = True

    def replace(
        self,
        difference: Difference,
        owned: Difference,
        mark: Mark,
        lease: Lease,
        seconds: float,
    ) -> None:
        """Write a difference and the list of owned paths in one transaction, with the lease.

        Raise :class:`Conflict` if another process has written or taken the lease since
        :meth:`read_state`.
        """
        self._begin(lease, seconds)
        self._set(difference.changed)
        for keys in batched(map(self._key, difference.removed), _BATCH):
            self._pipeline.delete(*keys)
        for paths in batched(owned.removed, _BATCH):
            self._pipeline.srem(self._owned, *paths)
        for paths in batched(owned.changed, _BATCH):
            self._pipeline.sadd(self._owned, *paths)
        if self._staged_found:
            self._pipeline.delete(self._staged)
        # The hash comes last: its change is what Traefik is notified of, when all else is there.
        state = {**mark._asdict(), "writer": f"ctsdns-traefik {__version__}"}
        self._pipeline.hset(self._hash, mapping=state)
        self._execute()

    def renew(self, lease: Lease, seconds: float) -> None:
        """Take or renew the lease alone; raise :class:`Conflict` likewise."""
        self._begin(lease, seconds)
        self._execute()

    def release(self, lease: Lease) -> None:
        """Free the lease, if it is still this one."""
        with self._mapping_errors():
            self._pipeline.watch(self._lease)
        if self._read_lease() == lease:
            self._pipeline.multi()
            self._pipeline.delete(self._lease)
            with suppress(Conflict):
                self._execute()

    def _begin(self, lease: Lease, seconds: float) -> None:
        self._pipeline.multi()
        # NX is not needed: the key is watched, and was free or this process's own when it was read.
        self._pipeline.set(self._lease, str(lease), px=max(1, round(seconds * 1000)))

    def _set(self, values: KeyValues) -> None:
        for some in batched(values.items(), _BATCH):
            self._pipeline.mset({self._key(path): value for path, value in some})

    def _execute(self) -> None:
        from redis.exceptions import WatchError

        with self._mapping_errors():
            try:
                self._pipeline.execute()
            except WatchError as why:
                raise Conflict from why

    def _read_set(self, key: str) -> set[str]:
        with self._mapping_errors():
            return {each.decode("utf-8", "replace") for each in self._pipeline.smembers(key)}

    def _mapping_errors(self) -> AbstractContextManager[None]:
        """Raise :class:`OutputError` for what fails inside, where only commands may be sent."""
        return map_store_errors(self._address, *_GARBLED)

    def read_notifications(self) -> str | None:
        """Return the setting ``notify-keyspace-events``, ``None`` if it cannot be read.

        Raise nothing: it follows a write that is done and has to be reported.
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
def connected(
    address: Address, cancellation: Cancellation | None = None, timeout: float | None = None
) -> Iterator[Connection]:
    """Open a connection, and close it at the end.

    Each snapshot has its own: servers and firewalls close a connection that idles for half a
    minute, and a new one takes a millisecond. ``timeout`` bounds connecting and each answer, in
    seconds, instead of :data:`PATIENCE`. Raise :class:`OutputError` if it cannot be opened, or if
    everything together takes longer than :data:`LONGEST` seconds, or is cancelled.
    """
    from redis.exceptions import RedisError

    late = OutputError(f"cannot publish to {address}: it took longer than {LONGEST:g} s")
    with (cancellation or Cancellation()).child() as work, work.limit(LONGEST, late):
        with map_store_errors(address):
            client = _client(address, work, timeout or PATIENCE)
            pipeline = client.pipeline()
        try:
            yield Connection(client, pipeline, address)
        finally:  # all commands are answered by now, or have failed
            with suppress(RedisError, OSError):
                pipeline.reset()
            with suppress(RedisError, OSError):
                client.close()


def _client(address: Address, cancellation: Cancellation, timeout: float) -> Any:
    """Return redis-py's client, which connects at the first command."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # Without ssl_check_hostname redis-py before 6 takes a certificate for any other name.
    options: dict[str, Any] = {"ssl": True, "ssl_check_hostname": True} if address.tls else {}
    if address.ca_file:
        require_certificates(address.ca_file)
        options["ssl_ca_certs"] = str(address.ca_file)
    client = Redis(
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.user,
        password=address.read_password(),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
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
def map_store_errors(address: Address, *more: type[Exception]) -> Iterator[None]:
    """Raise :class:`OutputError` for what redis-py and the system raise, and for ``more``."""
    from redis.exceptions import RedisError

    expected: tuple[type[Exception], ...] = (RedisError, SettingsError, OSError, ValueError, *more)
    try:
        yield
    except expected as why:
        raise OutputError(f"cannot publish to {address}: {_explain(why, address)}") from why


def _explain(error: BaseException, address: Address) -> str:
    from redis.exceptions import ConnectionError as Broken

    if isinstance(error, SettingsError):
        return str(error)
    if isinstance(error, _GARBLED):
        return f"its answers are not Redis's; {_CHECK}"
    causes = tuple(_causes(error))
    code = next((each for cause in causes if (each := _code(cause)) in _REASONS), "")
    if code:
        what, fix = _REASONS[code]
        return f"{what} ({code}); {fix}"
    broken = isinstance(error, Broken)
    other = f"the connection broke off; {_CHECK}" if broken else shown(str(error))
    return next(filter(None, (_fault(each, address) for each in causes)), other)


def _fault(cause: BaseException, address: Address) -> str:
    """Return what a fault of the connection means, and how to fix it; ``""`` for another."""
    import socket
    import ssl

    from redis.exceptions import TimeoutError as Silent

    match cause:
        case ssl.SSLCertVerificationError():
            return f"its certificate cannot be trusted: {shown(cause.verify_message)}"
        case ssl.SSLError():
            return f"TLS failed: {shown(cause.reason or str(cause))}; {_CHECK}"
        case Silent() | TimeoutError():
            return f"it does not answer within {PATIENCE:g} s; {_CHECK}"
        case socket.gaierror():
            return f"the name {shown(address.host)} does not resolve"
        case OSError() if cause.strerror:
            return f"{os_reason(cause)}; {_CHECK}"
    return ""


def _code(error: BaseException) -> str:
    """Return the code that an error of Redis begins with.

    redis-py drops it from the message of the errors that it has a class for.
    """
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
    code = next((part for part in text.replace("'", " ").split() if part in _REASONS), "")
    return names.get(type(error).__name__, code)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield items, some at a time; ``itertools`` has it only since Python 3.12."""
    rest = iter(items)
    while some := tuple(islice(rest, size)):
        yield some
