"""The Redis backend: arguments in, one script, its reply decoded; nothing else is decided here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import redis.asyncio

from jobqueue.backends.protocol import (
    Amendment,
    Backend,
    Command,
    Enqueued,
    Exchange,
    Extension,
    NewFlow,
    NewRecord,
    Note,
    Order,
    Page,
    Upkeep,
    UpkeepReport,
)
from jobqueue.backends.redis import checks, codec, keys, linking
from jobqueue.backends.redis.amending import amend
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.causes import nobody_listens
from jobqueue.backends.redis.clients import client_for, is_imitated
from jobqueue.backends.redis.connection import Lines, Switchboard
from jobqueue.backends.redis.controlling import control
from jobqueue.backends.redis.delivering import OutboxCalls
from jobqueue.backends.redis.endpoints import EndpointCalls
from jobqueue.backends.redis.exchanging import exchange_words, page_of
from jobqueue.backends.redis.looking import LookCalls
from jobqueue.backends.redis.noting import note_words
from jobqueue.backends.redis.scheduling import ScheduleCalls
from jobqueue.backends.redis.submitting import stage_and_commit
from jobqueue.backends.redis.writing import write_jobs
from jobqueue.backends.wiring import reaches_out
from jobqueue.clock import SYSTEM_CLOCK, Clock
from jobqueue.errors import BackendError, BackendUnavailable, ConfigurationError, WrongServer
from jobqueue.logs import BACKEND_RISK, BACKEND_UNCHECKED, emit
from jobqueue.model.record import JobState

_SLICE = 0.1


class RedisBackend(LookCalls, ScheduleCalls, EndpointCalls, OutboxCalls):
    """Jobs in Redis 6.2 or newer, or Valkey.

    ``client`` is any ``redis.asyncio.Redis`` (fakeredis too): only its connection settings are used, on
    connections of this backend's own, so that nothing the client is set up for (decoding, retries) matters
    here. ``deadline`` is how long, in seconds, a call is repeated while the server is away.
    """

    _in_cluster = False

    def __init__(
        self,
        client: redis.asyncio.Redis,
        *,
        namespace: str = "jobqueue",
        clock: Clock = SYSTEM_CLOCK,
        deadline: float = 5.0,
    ) -> None:
        super().__init__(Calls(self._lines(client), deadline), namespace, clock)
        self._client = client
        self._owned = False
        self._deadline = deadline

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        namespace: str = "jobqueue",
        clock: Clock = SYSTEM_CLOCK,
        deadline: float = 5.0,
        connect_timeout: float = 5.0,
    ) -> Self:
        """A backend with a client of its own, for ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or
        ``rediss+sentinel://``.

        Raises ConfigurationError for a URL that cannot work.
        """
        client = RedisBackend.client_for(url, connect_timeout=connect_timeout)
        backend = cls(client, namespace=namespace, clock=clock, deadline=deadline)
        backend._owned = True
        return backend

    @staticmethod
    def client_for(url: str, *, connect_timeout: float = 5.0) -> redis.asyncio.Redis:
        """A client for the URL, which has not connected yet. Raises ConfigurationError."""
        return client_for(url, connect_timeout=connect_timeout)

    def _lines(self, client: redis.asyncio.Redis) -> Lines:
        return Switchboard(client.connection_pool)

    async def open(self) -> None:
        if self._calls.closed:
            self._calls.closed = False
        # A reply that is lost here is asked for again, as everywhere. Nobody at all at the address is told at once.
        await self._calls.repeat(lambda _: self._calls.command("PING"), hopeless=nobody_listens)
        await self._check()

    async def _check(self) -> None:
        try:
            info = await self._calls.repeat(lambda _: self._calls.command("INFO"))
        except (BackendUnavailable, WrongServer):
            raise
        except BackendError as error:
            # A user that may not ask, or a server that does not know the question.
            emit(logging.INFO, BACKEND_UNCHECKED, error=type(error).__name__)
            return
        facts = checks.facts_of(codec.text(info))
        if version := checks.too_old(facts):
            raise ConfigurationError(
                f"Redis {version} cannot run jobqueue's scripts: use Redis 6.2 or newer, or Valkey"
            )
        for risk in checks.risks(facts, in_cluster=self._in_cluster):
            level = logging.WARNING if risk.grave else logging.INFO
            emit(level, BACKEND_RISK, setting=risk.setting, advice=risk.advice)

    async def close(self) -> None:
        if self._calls.closed:
            return
        await self._calls.close()
        if self._owned:
            await self._client.aclose()

    def detached(self) -> Backend | None:
        return RedisBackend(self._client, namespace=self._namespace, clock=self._clock, deadline=self._deadline)

    async def enqueue(
        self, queue: str, jobs: Sequence[NewRecord], *, limited: bool = True, wait_ms: int = 0
    ) -> list[Enqueued]:
        if not jobs:
            return []
        await self._announce(queue)
        links = linking.links_words(jobs)
        bounds = str(wait_ms or "") if limited else "force"
        answers = await write_jobs(self._calls, self._prefix(queue), queue, self._now(), jobs, links, bounds)
        if links:
            await self._deliver_soon(queue, reaches_out(queue, jobs))
        return answers

    async def submit(self, home: str, flow: NewFlow) -> bool:
        await self._announce(home)
        if not await stage_and_commit(self._courier(), home, flow):
            return False
        await self._deliver_soon(home)
        return True

    async def exchange(self, queue: str, request: Exchange) -> Page:
        words = exchange_words(request)
        return page_of(queue, request, await self._calls.run("exchange", self._prefix(queue), self._now(), *words))

    async def extend(self, queue: str, worker: str, leases: Sequence[tuple[str, int]], lease_ms: int) -> Extension:
        words = [word for lease in leases for word in lease]
        lost, cancels = await self._calls.run("extend", self._prefix(queue), self._now(), lease_ms, *words)
        pairs = codec.texts(cancels)
        return Extension(frozenset(codec.texts(lost)), dict(zip(pairs[::2], pairs[1::2], strict=True)))

    async def upkeep(self, queue: str, request: Upkeep) -> UpkeepReport:
        await self._announce(queue)
        count, age = codec.retention_words(request.keep)
        presence = request.presence
        recovered, poisoned, expired, cancelled, removed, more, outbox, schedules_in = await self._calls.run(
            "upkeep",
            self._prefix(queue),
            self._now(),
            request.max_stalls,
            count,
            age,
            request.dead_letter or "",
            request.limit,
            presence.worker if presence else "",
            codec.presence_words(presence) if presence else b"",
            request.presence_ms,
        )
        return UpkeepReport(
            recovered=tuple(codec.texts(recovered)),
            poisoned=tuple(codec.texts(poisoned)),
            expired=tuple(codec.texts(expired)),
            cancelled=tuple(codec.texts(cancelled)),
            removed=int(removed),
            more=bool(more),
            outbox=bool(outbox),
            schedules_in_ms=int(schedules_in) if schedules_in else None,
        )

    async def wait(self, queue: str, seconds: float) -> bool:
        key = keys.wake(self._namespace, queue)
        slices = [seconds]
        if is_imitated(self._client):
            # It does not notice that somebody hangs up, and would take the marker for him.
            slices = [_SLICE] * int(seconds // _SLICE) + [max(0.001, seconds % _SLICE)]
        for part in slices:
            if await self._calls.block(key, part, lambda left: ("BZPOPMIN", key, left)):
                return True
        return False

    async def await_jobs(self, queue: str, seconds: float, request: Exchange) -> Page:
        if self._clock.virtual or is_imitated(self._client):
            # The script would be told the time at which the waiting began; or it would be run before that has ended.
            await self.wait(queue, seconds)
            return await self.exchange(queue, replace(request, repeated=True))
        key = keys.wake(self._namespace, queue)
        words = exchange_words(request)
        reply = await self._calls.block_and_run(
            key, seconds, lambda left: ("BZPOPMIN", key, left), "exchange", self._prefix(queue), self._now(), *words
        )
        return page_of(queue, request, reply)

    async def wait_for_room(self, queue: str, seconds: float) -> bool:
        key = keys.named(self._namespace, queue, "room")
        return bool(await self._calls.block(key, seconds, lambda left: ("BZPOPMIN", key, left)))

    async def orders(self, queue: str, worker: str, seconds: float) -> list[Order]:
        key = keys.orders(self._namespace, queue, worker)
        reply = await self._calls.block(key, seconds, lambda left: ("BLPOP", key, left))
        if not reply:
            return []
        job_id, _, reason = codec.text(reply[1]).partition(" ")
        return [Order(job_id, reason)]

    async def leave(self, queue: str, worker: str) -> None:
        for command, name in (("ZREM", "seen"), ("HDEL", "workers")):
            await self._calls.command(command, keys.named(self._namespace, queue, name), worker)
        await self._calls.command("DEL", keys.orders(self._namespace, queue, worker))

    async def annotate(self, queue: str, job_id: str, token: int, note: Note) -> bool:
        words = (job_id, token, *note_words(note))
        answer = await self._calls.write("annotate", self._prefix(queue), self._now(), *words)
        return int(answer[0]) > 0

    async def amend(self, queue: str, job_id: str, amendment: Amendment) -> JobState:
        state, outbox = await amend(self._calls, self._prefix(queue), self._now(), job_id, amendment)
        await self._deliver_soon(queue, outbox)
        return state

    async def control(self, queue: str, command: Command) -> list[str]:
        changed, outbox = await control(
            self._calls, self._namespace, queue, self._now(), command, self._announced, self._deliver_edges
        )
        await self._deliver_soon(queue, outbox)
        return changed
