"""A real cluster for the tests: three primaries, each with a replica, formed by CLUSTER commands alone."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS, key_slot

from tests.servers import ACL_RULE, valkey_binary

PRIMARIES = 3
_PATIENCE = 60.0
_USER, _PASSWORD = "jobqueue", "user-canary"


@dataclass(slots=True, eq=False)
class Node:
    """One server of a cluster."""

    folder: Path
    port: int
    bus: int
    options: Sequence[str]
    id: str = ""
    client: redis.Redis = field(init=False)
    _process: subprocess.Popen[bytes] | None = None
    _stopped: bool = False

    def __post_init__(self) -> None:
        self.client = redis.Redis(host="127.0.0.1", port=self.port)

    def start(self) -> None:
        """Start it, with whatever its folder holds; returns when it answers."""
        self._process = subprocess.Popen(
            [
                valkey_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
                "--cluster-enabled", "yes", "--cluster-port", str(self.bus), "--save", "", *self.options,
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        until(self._answers)
        self.id = self.call("CLUSTER", "MYID").decode()

    @property
    def lives(self) -> bool:
        """Whether it was started, and neither ended nor stopped since."""
        return self._process is not None and not self._stopped

    def strike(self, number: signal.Signals) -> None:
        """SIGKILL or SIGSTOP it."""
        if self._process is None:
            return
        self._process.send_signal(number)
        self._stopped = number == signal.SIGSTOP
        if number == signal.SIGKILL:
            self._process.wait()
            self._process = None

    def end(self) -> None:
        """SIGKILL it, for good."""
        self.strike(signal.SIGKILL)
        self.client.close()

    def bring_back(self) -> None:
        """Start it again, or wake it."""
        if self._process is None:
            self.start()
        else:
            self._process.send_signal(signal.SIGCONT)
            self._stopped = False

    def call(self, *words: str | int) -> Any:
        """One command, on this node."""
        return cast("Any", self.client.execute_command(*words))  # pyright: ignore[reportUnknownMemberType]

    def facts(self, section: str) -> dict[str, Any]:
        """A section of INFO."""
        return self.client.info(section)  # pyright: ignore[reportUnknownMemberType]

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())  # pyright: ignore[reportUnknownMemberType]
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False


class Cluster:
    """Six nodes on ports of their own. ``timeout`` is in seconds: how long a node may be silent until it is failed."""

    def __init__(self, folder: Path, *, timeout: float, options: Sequence[str] = ()) -> None:
        ports = iter(_free_ports(4 * PRIMARIES))
        self.nodes: list[Node] = []
        words = ("--cluster-node-timeout", str(round(timeout * 1000)), "--repl-diskless-sync-delay", "0", *options)
        for number in range(2 * PRIMARIES):
            own = folder / str(number)
            own.mkdir()
            self.nodes.append(Node(own, next(ports), next(ports), words))

    @property
    def url(self) -> str:
        """How an application would name it: by some of its nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:PRIMARIES])

    @property
    def user_url(self) -> str:
        """The same for the restricted user of the shipped ACL file."""
        return self.url.replace("://", f"://{_USER}:{_PASSWORD}@")

    def start(self) -> None:
        """Start all nodes and make a cluster of them; returns when it serves every slot and has its replicas."""
        for node in self.nodes:
            node.start()
            node.call("ACL", "SETUSER", *ACL_RULE.split()[1:], f">{_PASSWORD}")
        primaries, replicas = self.nodes[:PRIMARIES], self.nodes[PRIMARIES:]
        for number, node in enumerate(primaries):
            first, last = (SLOTS * part // PRIMARIES for part in (number, number + 1))
            node.call("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        # Only now: a node that knows another takes no epoch.
        for node in primaries:
            for other in self.nodes:
                if other is not node:
                    node.call("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)
        until(lambda: all(self.known(node) == len(self.nodes) for node in self.nodes))
        for primary, replica in zip(primaries, replicas, strict=True):
            replica.call("CLUSTER", "REPLICATE", primary.id)
        self.until_whole()

    def kill(self) -> None:
        """SIGKILL all of them."""
        for node in self.nodes:
            node.end()

    def empty(self) -> None:
        """Forget every key."""
        for node in self.primaries():
            node.call("FLUSHALL")

    def primaries(self) -> list[Node]:
        """Those that serve slots just now, as far as one node knows."""
        serving = {entry[2][2].decode() for entry in self._anyone().call("CLUSTER", "SLOTS")}
        return [node for node in self.nodes if node.id in serving]

    def owner(self, slot: int) -> Node:
        """The node that serves ``slot``, as far as one node knows."""
        return self._owner(slot, self._anyone())

    def replica_of(self, primary: Node) -> Node:
        """The node that follows ``primary``."""
        others = (node for node in self.nodes if node.lives and node is not primary)
        return next(node for node in others if node.facts("replication").get("master_port") == primary.port)

    def move(self, slot: int, target: Node, *, pause: Callable[[], None] = lambda: None) -> int:
        """Migrate a slot key by key, with a pause between, as valkey-cli does; returns how many keys were moved."""
        source = self.set_out(slot, target)
        moved = 0
        while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 100):
            pause()
            source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            moved += len(keys)
        pause()
        self.arrive(slot, target)
        return moved

    def set_out(self, slot: int, target: Node) -> Node:
        """Begin to migrate a slot; returns the node that has it."""
        source = self.owner(slot)
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        return source

    def arrive(self, slot: int, target: Node) -> None:
        """All its keys are there: the slot is the target's."""
        source = self.owner(slot)
        for node in (target, source, *(node for node in self.primaries() if node not in {target, source})):
            node.call("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def move_at_once(self, slot: int, target: Node) -> None:
        """Migrate a slot in one step, as Valkey 9 can."""
        source = self.owner(slot)
        source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.id)
        until(lambda: all(self._owner(slot, node) is target for node in self.primaries()))

    def until_whole(self) -> None:
        """Return when every slot is served, by nodes that all agree, and every living node is linked."""
        until(self._is_whole)

    def known(self, node: Node) -> int:
        """How many nodes ``node`` has met."""
        lines = node.call("CLUSTER", "NODES")
        return sum("handshake" not in line for line in _lines(lines))

    def _is_whole(self) -> bool:
        living = [node for node in self.nodes if node.lives]
        try:
            if any("cluster_state:ok" not in _lines(node.call("CLUSTER", "INFO")) for node in living):
                return False
            facts = [node.facts("replication") for node in living]
            views = {
                frozenset(told[2].decode() for entry in node.call("CLUSTER", "SLOTS") for told in entry[2:])
                for node in living
            }
        except redis.ConnectionError:
            return False
        linked = all(fact["role"] == "master" or fact["master_link_status"] == "up" for fact in facts)
        return linked and views == {frozenset(node.id for node in living)}

    def _owner(self, slot: int, asked: Node) -> Node:
        for first, last, primary, *_ in asked.call("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.id == primary[2].decode())
        raise LookupError(slot)

    def _anyone(self) -> Node:
        return next(node for node in self.nodes if node.lives)


@contextmanager
def cluster(*, timeout: float = 15.0, options: Sequence[str] = ()) -> Generator[Cluster]:
    """A cluster in a new folder, ended with the block."""
    with tempfile.TemporaryDirectory(prefix="jq-cluster-") as folder:
        made = Cluster(Path(folder), timeout=timeout, options=options)
        try:
            made.start()
            yield made
        finally:
            made.kill()


def slot_of(queue: str, namespace: str = "jobqueue") -> int:
    """Where a queue lives."""
    return key_slot(f"{namespace}:{{{queue}}}:".encode())


def until(holds: Callable[[], bool]) -> None:
    """Return when it holds. Servers are asked: there is nothing that could be waited on."""
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(holds)
        time.sleep(0.02)


def _lines(told: bytes | str) -> list[str]:
    return (told.decode() if isinstance(told, bytes) else told).splitlines()


def _free_ports(count: int) -> list[int]:
    """Different ones that nobody listens on just now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
