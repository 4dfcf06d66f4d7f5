"""Who works on a queue: the workers that are present, what is wanted of them, and what each caller asked last."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jobqueue.backends.memory.signals import Bell
from jobqueue.backends.protocol import Order, Presence

_CALLERS_KEPT = 1000
_CALLER_MS = 600_000


@dataclass(frozen=True, slots=True)
class Call:
    """A caller's last exchange, for its repeat: what it claimed (id and token) and what was refused."""

    sequence: int
    at_ms: int
    claimed: tuple[tuple[str, int], ...]
    refused: frozenset[str]


class Crew:
    """Of one queue."""

    def __init__(self) -> None:
        self.order_bell = Bell()
        self.forget_all()

    def forget_all(self) -> None:
        """Begin again with nobody. Whoever waits for orders goes on waiting."""
        self.calls: dict[str, Call] = {}
        self.presences: dict[str, Presence] = {}
        self.orders: dict[str, list[Order]] = {}

    def see(self, presence: Presence | None, silent_since_ms: int, now_ms: int) -> None:
        """One of them has said that it is there; forget those who have been silent for too long."""
        if presence is not None:
            self.presences[presence.worker] = replace(presence, last_seen_ms=now_ms)
        for worker in [name for name, lane in self.presences.items() if lane.last_seen_ms <= silent_since_ms]:
            self.forget(worker)
        if len(self.calls) > _CALLERS_KEPT:
            for caller in [name for name, call in self.calls.items() if now_ms - call.at_ms > _CALLER_MS]:
                del self.calls[caller]

    def present(self) -> list[Presence]:
        """Copies, in the order of their names."""
        return [replace(self.presences[worker]) for worker in sorted(self.presences)]

    def order(self, worker: str, order: Order) -> None:
        """Tell a worker what is wanted of it."""
        self.orders.setdefault(worker, []).append(order)
        self.order_bell.ring()

    def forget(self, worker: str) -> None:
        """Its presence and its orders; not its callers' last exchanges, which might yet be made once more."""
        self.presences.pop(worker, None)
        self.orders.pop(worker, None)
