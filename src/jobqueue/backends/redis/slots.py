"""Which node of a cluster serves which slot, as the nodes tell it."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS, key_slot

__all__ = ["SLOTS", "Address", "SlotMap", "slot_of"]

_UNKNOWN = "?"


class Address(NamedTuple):
    """Where a node listens."""

    host: str
    port: int


class SlotMap:
    """A look at a cluster at one moment: the primary of each slot, and every node that was named."""

    def __init__(self) -> None:
        self._owners: list[Address | None] = [None] * SLOTS
        self.primaries: tuple[Address, ...] = ()
        self.nodes: tuple[Address, ...] = ()

    def owner(self, slot: int) -> Address | None:
        """The primary of ``slot``; None where no node serves it."""
        return self._owners[slot]

    def correct(self, slot: int, owner: Address) -> None:
        """A node has told that ``owner`` serves this one."""
        self._owners[slot] = owner
        if owner not in self.primaries:
            self.primaries += (owner,)
            self.nodes += (owner,)

    @classmethod
    def read(cls, reply: Any, asked: Address) -> SlotMap:
        """From the reply to CLUSTER SLOTS of the node at ``asked``.

        A node that does not know its own name gives none: then it is the one that was asked for. One whose name is not
        known yet is left out.
        """
        made, primaries, nodes = cls(), dict[Address, None](), dict[Address, None]()
        for first, last, *told in cast("list[list[Any]]", reply):
            primary, *replicas = (_address(node, asked) for node in told)
            nodes.update((replica, None) for replica in replicas if replica is not None)
            if primary is not None:
                made._owners[first : last + 1] = [primary] * (last + 1 - first)
                primaries[primary] = nodes[primary] = None
        made.primaries, made.nodes = tuple(primaries), tuple(nodes)
        return made


def slot_of(key: str) -> int:
    """The slot that a key lives in."""
    return key_slot(key.encode())


def _address(told: list[Any], asked: Address) -> Address | None:
    host, port = told[0], int(told[1])
    name = host.decode() if isinstance(host, bytes) else host
    if name == _UNKNOWN:
        return None
    return Address(name or asked.host, port)
