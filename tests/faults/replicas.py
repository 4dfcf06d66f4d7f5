"""A primary, its replica and three sentinels, each a process on a port of its own, and what can be done to them."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import redis

from tests.faults.parts import DurableServer, free_port
from tests.servers import valkey_binary

SERVICE = "jobs"
DOWN_AFTER = 1.0
"""Seconds of silence after which a sentinel takes a server for gone."""
_PATIENCE = 60.0

FoundT = TypeVar("FoundT")


class Node:
    """One server or sentinel."""

    def __init__(self, *words: str, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._words = (*words, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str, answers: bool = True) -> None:
        """Start it, with ``words`` added; returns when it ``answers``, or refuses to."""
        self._folder.mkdir(exist_ok=True)
        self._process = subprocess.Popen([valkey_binary(), *self._words, *words], stdout=subprocess.DEVNULL)
        until(lambda: self.ask("PING") if answers else listens(self.port))

    def ask(self, *words: str | int) -> Any:
        """One command; None where it does not answer, or not with what was asked for."""
        with redis.Redis(port=self.port, socket_timeout=5, decode_responses=True) as client:
            try:
                return cast("Any", client.execute_command(*words))  # pyright: ignore[reportUnknownMemberType]
            except redis.RedisError:
                return None

    def facts(self) -> dict[str, Any]:
        """What it tells of itself: all of INFO; nothing where it does not answer."""
        return cast("dict[str, Any]", self.ask("INFO") or {})

    def stop(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class ReplicatedServers(DurableServer):
    """Clients find the primary through the sentinels; replication is asynchronous, as it always is."""

    settings: Sequence[str] = ()
    """Of both servers, beside what they need."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.nodes = [
            Node("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0", *self.settings, folder=part)
            for part in (folder / "first", folder / "second")
        ]
        self._folder = folder
        self.sentinels: list[Node] = []
        self.primary = self.nodes[0]

    @property
    def replica(self) -> Node:
        """The one that is not the primary."""
        return next(node for node in self.nodes if node is not self.primary)

    @property
    def plain_url(self) -> str:
        return f"redis://127.0.0.1:{self.primary.port}/0"

    def start(self) -> None:
        """Start all of them; returns when the sentinels know each other and would fail over."""
        self.primary.start()
        self.replica.start("--replicaof", f"127.0.0.1 {self.primary.port}")
        # A sentinel asks a primary for its replicas when it starts, and then every ten seconds.
        until(lambda: self.replica.facts().get("master_link_status") == "up")
        until(lambda: self.primary.facts().get("connected_slaves"))
        for number in range(3):
            # A sentinel writes what it learns into its configuration: there must be a file.
            configuration = self._folder / f"sentinel-{number}.conf"
            configuration.write_text(
                f"sentinel monitor {SERVICE} 127.0.0.1 {self.primary.port} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} {round(DOWN_AFTER * 1000)}\n"
                f"sentinel failover-timeout {SERVICE} 6000\n",
                encoding="ascii",
            )
            sentinel = Node(str(configuration), "--sentinel", folder=self._folder / f"sentinel-{number}")
            self.sentinels.append(sentinel)
            sentinel.start()
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/{SERVICE}"
        until(self.whole)

    def whole(self) -> bool:
        """Whether the replica follows the primary, and every sentinel knows that and the two others."""
        if self.replica.facts().get("master_link_status") != "up" or self.primary.facts().get("role") != "master":
            return False
        for sentinel in self.sentinels:
            known = cast("dict[str, Any]", sentinel.ask("SENTINEL MASTER", SERVICE) or {})
            if (known.get("port"), known.get("num-other-sentinels"), known.get("flags")) != (
                self.primary.port, 2, "master",
            ):  # fmt: skip
                return False
            replicas = cast("list[dict[str, Any]]", sentinel.ask("SENTINEL REPLICAS", SERVICE) or [])
            if [(int(other["port"]), other["flags"]) for other in replicas] != [(self.replica.port, "slave")]:
                return False
        return True

    def hold_back(self) -> None:
        """From now on the primary acknowledges what nobody else will ever know: the replica hears nothing."""
        self.replica.stop()
        # What is on its way would be read later: the connection must go, and a stopped process opens no other.
        self.primary.ask("CLIENT", "KILL", "TYPE", "replica")

    def let_go(self) -> None:
        """The replica goes on."""
        self.replica.wake()

    def promoted(self) -> float:
        """Return when the replica has been made the primary, and the sentinels say so; the monotonic time of it."""
        until(lambda: self.replica.facts().get("role") == "master")
        at = time.monotonic()
        until(lambda: all(self._named(sentinel) == self.replica.port for sentinel in self.sentinels))
        self.primary = self.replica
        return at

    def bring_back(self) -> None:
        """Start the old primary again, or wake it; returns when it follows the new one."""
        old = self.replica
        old.wake()
        if not old.facts():
            old.start()
        until(self.whole)

    def _named(self, sentinel: Node) -> int:
        told = cast("Sequence[str] | None", sentinel.ask("SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE))
        return int(told[1]) if told else 0

    def connections(self) -> int:
        return int(self.primary.facts()["connected_clients"])

    def kill(self) -> None:
        """SIGKILL all of them."""
        for node in (*self.sentinels, *self.nodes):
            node.kill()


def until(found: Callable[[], FoundT]) -> FoundT:
    """Ask until there is something. Other processes decide when: there is nothing here that could be waited on."""
    give_up = time.monotonic() + _PATIENCE
    while not (something := found()):
        if time.monotonic() > give_up:
            raise TimeoutError("the servers do not get there")
        time.sleep(0.02)
    return something


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
