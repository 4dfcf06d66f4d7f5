"""Waiting and claiming in one step, on the server's own clock, as workers do it."""

from __future__ import annotations

from jobqueue.testing.contract.waiting import WaitingContract


class TestWaiting(WaitingContract):
    """Under a clock that is told by the caller, which the other contract tests have, it takes two steps."""
