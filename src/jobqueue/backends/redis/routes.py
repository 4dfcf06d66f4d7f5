"""Routes: which node of a cluster a call goes to.

1. A key's hash tag gives its slot, and the map the node; each node has a switchboard of its own.
2. The map is read from any node that answers, when the first call is made, and again when a node sends a call
   elsewhere (MOVED) or cannot be reached.
3. A node that is no longer a primary is hung up on: whoever waits there for work (it may be dead without having said
   so) is told, and waits at the new one.
4. While a slot is on its way to another node, key by key, a call that names the only key it touches goes to where that
   key is (ASK). A script does not: it would find half its queue there, and write to it. It waits until the slot has
   arrived. No node runs it meanwhile, because the key that scripts declare never exists (ADR 13).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

import redis.asyncio
from redis.asyncio.connection import ConnectionPool

from jobqueue.backends.redis.connection import Line, Redirected, Switchboard
from jobqueue.backends.redis.forking import watch
from jobqueue.backends.redis.slots import Address, SlotMap, slot_of
from jobqueue.errors import BackendError, BackendUnavailable, ConfigurationError

ResultT = TypeVar("ResultT")

_LOOK_SECONDS: Final = 1.0
"""For one node to tell the map: there are others."""
_MOST_HOPS: Final = 5
_MOTION_SECONDS: Final = 1.0
"""How long a call waits for a slot that is on its way, before it says that the server is away."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1
_CLOSED: Final = "the backend was closed meanwhile"
_OWN = ("host", "port", "path")
"""What a node has for itself; the rest (user, password, TLS, timeouts) is the same for all."""


class Routes:
    """Lines to the nodes of one cluster. ``client`` gives the settings of all connections, ``seeds`` where to begin."""

    def __init__(self, client: redis.asyncio.Redis, seeds: Iterable[Address]) -> None:
        pool = client.connection_pool
        self._connection_class: Any = pool.connection_class
        self._settings = {name: value for name, value in pool.connection_kwargs.items() if name not in _OWN}
        self._seeds = tuple(seeds)
        self._map = SlotMap()
        self._boards: dict[Address, Switchboard] = {}
        self._stale = True
        self._looking = asyncio.Lock()
        self._closings = self._looks = 0
        self._blind: BackendUnavailable | None = None
        """Why the last look found nothing, if so."""
        self._silent: set[Address] = set()
        """Nodes that could not be reached when they were last tried: they are asked last."""
        watch(self)

    @property
    def nodes(self) -> tuple[Address, ...]:
        """Every node known, the seeds last."""
        return tuple(dict.fromkeys((*self._map.nodes, *self._seeds)))

    def begin_anew(self) -> None:
        """After a fork: nobody is looking here. The map is as good as before, and switchboards see to their lines."""
        self._looking = asyncio.Lock()

    async def carry(
        self, key: str | None, use: Callable[[Line], Awaitable[ResultT]], *, whole: bool = False
    ) -> ResultT:
        """An ordinary call, where its key lives."""
        if key is None:
            return await self._anywhere(use)
        return await self._follow(slot_of(key), lambda board, call: board.carry(key, call), use, whole=whole)

    async def hold(self, key: str, use: Callable[[Line], Awaitable[ResultT]]) -> ResultT:
        """A call that blocks, where its key lives."""
        return await self._follow(slot_of(key), lambda board, call: board.hold(key, call), use, whole=False)

    async def close(self) -> None:
        """Close every line to every node."""
        self._closings += 1
        for board in list(self._boards.values()):
            await board.close()

    async def _follow(
        self,
        slot: int,
        make: Callable[[Switchboard, Callable[[Line], Awaitable[ResultT]]], Awaitable[ResultT]],
        use: Callable[[Line], Awaitable[ResultT]],
        *,
        whole: bool,
    ) -> ResultT:
        loop = asyncio.get_running_loop()
        give_up, pause, hops = loop.time() + _MOTION_SECONDS, _FIRST_PAUSE, 0
        closings = self._closings
        owner, call = await self._owner(slot), use
        while True:
            if self._closings != closings:
                raise BackendUnavailable(_CLOSED)
            try:
                return await make(self._board(owner), call)
            except BackendUnavailable:
                self._doubt(owner)
                raise
            except Redirected as told:
                target = Address(told.host or owner.host, told.port)
                hops += 1
                if hops > _MOST_HOPS and loop.time() > give_up:
                    self._stale = True
                    raise BackendUnavailable(f"slot {slot} of the cluster is on its way to another node") from told
                if hops > _MOST_HOPS or (whole and told.asked):
                    # It is on its way, or the nodes do not agree yet.
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                if not told.asked:
                    await self._corrected(slot, target)
                    owner, call = target, use
                elif whole:
                    owner, call = await self._owner(slot), use
                else:
                    owner, call = target, _asking(use)

    async def _anywhere(self, use: Callable[[Line], Awaitable[ResultT]]) -> ResultT:
        await self._look_if_stale()
        error = BackendUnavailable("no node of the cluster serves anything")
        for node in self._in_turn(self._map.primaries):
            try:
                return await self._board(node).carry(None, use)
            except BackendUnavailable as away:
                self._doubt(node)
                error = away
        raise error

    def _board(self, node: Address) -> Switchboard:
        board = self._boards.get(node)
        if board is None:
            settings: dict[str, Any] = {**self._settings, "host": node.host, "port": node.port}
            board = self._boards[node] = Switchboard(ConnectionPool(self._connection_class, **settings))
        return board

    # The map.

    async def _owner(self, slot: int) -> Address:
        if self._stale:
            await self._look_if_stale()
        owner = self._map.owner(slot)
        if owner is None:
            self._stale = True
            raise BackendUnavailable(f"no node of the cluster serves slot {slot}")
        return owner

    def _doubt(self, node: Address) -> None:
        self._silent.add(node)
        self._stale = True

    async def _look_if_stale(self) -> None:
        before = self._looks
        async with self._looking:
            if not self._stale:
                return
            if self._blind and self._looks != before:
                # Somebody else has looked meanwhile: a crowd of callers is told at once, not one after the other.
                raise BackendUnavailable(str(self._blind)) from self._blind
            await self._look(self._in_turn(self.nodes))

    async def _corrected(self, slot: int, owner: Address) -> None:
        """A node says that ``owner`` serves the slot: believe it, and ask that one for the rest."""
        async with self._looking:
            if self._map.owner(slot) == owner:
                return
            # Others may have moved too. Should it not answer, whoever calls it next will notice.
            self._map.correct(slot, owner)
            await self._look((owner, *self._in_turn(self.nodes)))
            self._map.correct(slot, owner)

    async def _look(self, candidates: Iterable[Address]) -> None:
        self._blind = BackendUnavailable("no node of the cluster is known")
        closings = self._closings
        try:
            for node in candidates:
                if self._closings != closings:
                    raise BackendUnavailable(_CLOSED)
                found = await self._told_by(node)
                if found is not None and found.primaries:
                    self._map, self._stale, self._blind = found, False, None
                    self._silent.discard(node)
                    self._silent.intersection_update(self.nodes)
                    await self._hang_up()
                    return
        finally:
            self._looks += 1
        raise BackendUnavailable(f"no node of the cluster tells its slots: {self._blind}") from self._blind

    async def _told_by(self, node: Address) -> SlotMap | None:
        try:
            # Not counted among the node's lines: all of those may be waiting for it in vain.
            reply = await self._board(node).hold("", lambda line: line.call("CLUSTER", "SLOTS", seconds=_LOOK_SECONDS))
        except BackendUnavailable as away:
            self._silent.add(node)
            self._blind = away
            return None
        except BackendError as refused:
            if "cluster support disabled" in str(refused):
                raise ConfigurationError("this server is no node of a cluster: connect with redis://") from refused
            raise
        if not reply:
            self._blind = BackendUnavailable("the cluster has not been formed yet: no node serves any slot")
        return SlotMap.read(reply, node)

    async def _hang_up(self) -> None:
        """On all that are no primaries: nobody has anything to wait for there."""
        for node, board in list(self._boards.items()):
            if node not in self._map.primaries:
                await board.close()
                if board.is_idle:
                    self._boards.pop(node, None)

    def _in_turn(self, nodes: Iterable[Address]) -> list[Address]:
        # At random, so that one node does not answer for all; those that were silent come last.
        return sorted(nodes, key=lambda node: (node in self._silent, random.random()))


def _asking(use: Callable[[Line], Awaitable[ResultT]]) -> Callable[[Line], Awaitable[ResultT]]:
    async def asked(line: Line) -> ResultT:
        await line.call("ASKING")
        return await use(line)

    return asked
