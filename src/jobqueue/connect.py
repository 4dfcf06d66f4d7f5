"""connect(): from a URL, or the environment, to an open backend; and the fallback when there is no Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from importlib.metadata import entry_points
from types import TracebackType
from typing import Literal, Protocol

from jobqueue.backends.fallback import logging_memory
from jobqueue.backends.memory import MemoryBackend
from jobqueue.backends.protocol import Backend
from jobqueue.backends.redis import ClusterBackend, RedisBackend
from jobqueue.backends.sealed import SealedBackend
from jobqueue.clock import SYSTEM_CLOCK, Clock
from jobqueue.codecs.codec import Codec
from jobqueue.errors import BackendUnavailable, ConfigurationError, InvalidOption
from jobqueue.model.naming import checked_name
from jobqueue.model.times import span_ms
from jobqueue.settings import Settings, read_settings

Fallback = Literal["memory", "never"]
ENTRY_POINTS = "jobqueue.backends"
_PAUSE = 0.2


class BackendFactory(Protocol):
    """What an entry point of the group ``jobqueue.backends`` gives: a backend, not yet open, for a URL of its
    scheme.
    """

    def __call__(self, url: str, *, namespace: str, clock: Clock, deadline: float) -> Backend: ...


def connect(
    url: str | None = None,
    *,
    fallback: Fallback | None = None,
    namespace: str | None = None,
    deadline: float = 5.0,
    clock: Clock = SYSTEM_CLOCK,
    codec: Codec | None = None,
) -> Connecting:
    """An open backend, by ``async with connect(url) as backend`` or ``backend = await connect(url)`` and
    ``backend.close()``.

    Schemes: ``redis://``, ``rediss://`` (TLS), ``unix://``, ``redis+sentinel://host,host/service`` and
    ``rediss+sentinel://`` (the primary that sentinels name, also after a failover),
    ``redis+cluster://host:port,host:port`` and ``rediss+cluster://``, ``memory://``, ``embedded://PATH`` (a Valkey
    server of this machine's own, from the extra ``embedded``), and those of the entry-point group
    ``jobqueue.backends``.
    Without a URL: ``REDIS_URL``, else ``REDIS_HOST``, ``REDIS_PORT``, ``REDIS_PASSWORD``, else memory.

    ``fallback="memory"`` (the default; ``JOBQUEUE_FALLBACK=never`` turns it off) gives the memory backend, in
    its logging form and with one warning, where nothing is configured or the server cannot be reached at start.
    ``deadline`` is how long, in seconds, connecting and every later call keep trying. With the fallback to memory,
    connecting does not wait for a server where nobody listens at all. ``codec`` (Signed, Encrypted; or what
    ``JOBQUEUE_SIGNING_KEYS`` or ``JOBQUEUE_ENCRYPTION_KEYS`` hold) seals what jobs carry; every process that uses the
    queues must have one with the same keys.

    Raises, when awaited: ConfigurationError (WrongServer among them: a certificate that cannot be trusted),
    AccessDenied, and with ``fallback="never"`` BackendUnavailable.
    """
    return Connecting(url, fallback, namespace, deadline, clock, codec)


def checked_backend(backend: Backend | None) -> Backend | None:
    """As given. Raises InvalidOption for what ``connect`` returns before it is awaited, and whatever else is none."""
    if backend is None or hasattr(backend, "exchange"):
        return backend
    raise InvalidOption(
        f"backend must be an open backend, not {type(backend).__name__}: "
        "`async with connect(url) as backend:`, or `backend = await connect(url)`"
    )


class Connecting:
    """Both an awaitable and an async context manager; made by ``connect``."""

    def __init__(
        self,
        url: str | None,
        fallback: Fallback | None,
        namespace: str | None,
        deadline: float,
        clock: Clock,
        codec: Codec | None,
    ) -> None:
        self._url, self._fallback, self._namespace = url, fallback, namespace
        self._deadline = span_ms("deadline", deadline, zero=False) / 1000
        self._clock, self._codec = clock, codec
        self._backend: Backend | None = None

    def __await__(self) -> Generator[object, None, Backend]:
        return self._open().__await__()

    async def __aenter__(self) -> Backend:
        self._backend = await self._open()
        return self._backend

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._backend is not None:
            await self._backend.close()

    async def _open(self) -> Backend:
        settings = read_settings()
        codec = self._codec or settings.codec
        backend = await self._reach(settings)
        return backend if codec is None else SealedBackend(backend, codec)

    async def _reach(self, settings: Settings) -> Backend:
        fallback = self._fallback or settings.jobqueue_fallback
        if fallback not in ("memory", "never"):
            raise ConfigurationError(f"fallback must be 'memory' or 'never', not {fallback!r}")
        namespace = checked_name("namespace", self._namespace or settings.jobqueue_namespace)
        url = self._url or settings.url
        if url is None:
            reason = "neither REDIS_URL nor REDIS_HOST is set"
            if fallback == "never":
                raise ConfigurationError(f"{reason}, and the fallback to memory is off: set one of them")
            return await _opened(logging_memory(reason, clock=self._clock))
        backend = _factory(url)(url, namespace=namespace, clock=self._clock, deadline=self._deadline)
        try:
            return await (_opened(backend) if fallback == "memory" else _patiently(backend, self._deadline))
        except BackendUnavailable as error:
            await backend.close()
            if fallback == "never":
                raise
            return await _opened(logging_memory(f"{_public(url)}: {error}", clock=self._clock))
        except BaseException:
            await backend.close()
            raise


async def _opened(backend: Backend) -> Backend:
    await backend.open()
    return backend


async def _patiently(backend: Backend, deadline: float) -> Backend:
    """Where there is no fallback, a server may come up a moment later than its client does."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + deadline
    while True:
        try:
            return await _opened(backend)
        except BackendUnavailable:
            if loop.time() + _PAUSE >= give_up:
                raise
        await asyncio.sleep(_PAUSE)


def _redis(url: str, *, namespace: str, clock: Clock, deadline: float) -> Backend:
    return RedisBackend.from_url(url, namespace=namespace, clock=clock, deadline=deadline, connect_timeout=deadline)


def _cluster(url: str, *, namespace: str, clock: Clock, deadline: float) -> Backend:
    return ClusterBackend.from_url(url, namespace=namespace, clock=clock, deadline=deadline, connect_timeout=deadline)


def _memory(url: str, *, namespace: str, clock: Clock, deadline: float) -> Backend:
    del url, namespace, deadline
    return MemoryBackend(clock=clock)


def _embedded(url: str, *, namespace: str, clock: Clock, deadline: float) -> Backend:
    # Only here: it needs file locks and Unix sockets, which not every platform has.
    from jobqueue.backends.embedded import EmbeddedBackend  # noqa: PLC0415

    return EmbeddedBackend(url.removeprefix("embedded://"), namespace=namespace, clock=clock, deadline=deadline)


SCHEMES: dict[str, Callable[..., Backend]] = {
    "redis": _redis,
    "rediss": _redis,
    "unix": _redis,
    "redis+sentinel": _redis,
    "rediss+sentinel": _redis,
    "redis+cluster": _cluster,
    "rediss+cluster": _cluster,
    "memory": _memory,
    "embedded": _embedded,
}


def _factory(url: str) -> Callable[..., Backend]:
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme in SCHEMES:
        return SCHEMES[scheme]
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == scheme:
            return entry.load()
    known = ", ".join(f"{name}://" for name in sorted(SCHEMES))
    raise ConfigurationError(f"no backend for {_public(url)}: use one of {known}")


def _public(url: str) -> str:
    """The URL without whatever in it may be secret."""
    scheme, separator, rest = url.partition("://")
    # Whatever comes before the last @, for a password may hold one, and a slash or a question mark too.
    place = rest.rpartition("@")[2].partition("?")[0]
    return f"{scheme}://{place}" if separator else "a URL without a scheme"
