"""What a forked child must not share with its parent: connections, and the names under which calls are recognised.

A server that makes its application ready and then forks (gunicorn's ``--preload``) gives every child the same open
backend. Two processes that write to one socket are told each other's answers, and two that call themselves the same
are taken for one that repeats itself. So a child begins anew; the parent's connections stay open there, unused,
because closing them properly would take them from the parent's event loop.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something that begins anew in a child."""

    def begin_anew(self) -> None:
        """Asked in the child, before anything else runs there."""
        ...


_ALL: WeakSet[Forked] = WeakSet()


def watch(thing: Forked) -> None:
    """Tell ``thing`` of every fork for as long as it is there."""
    _ALL.add(thing)


def _forked() -> None:
    for thing in list(_ALL):
        thing.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
