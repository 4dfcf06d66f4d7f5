"""What the jobs do: note on the board that they ran, and little else. Each contestant wraps these in its own way."""

from __future__ import annotations

import asyncio
import time

from benchmarks.board import Board

IO_SECONDS = 0.01
KINDS = ("noop", "io", "flaky", "broken")

BOARD = Board.from_environment()


class FailedOnPurpose(Exception):
    """The failure that a benchmark asked for."""


def noop(number: int) -> int:
    """Nothing but the note. The number is the result, so that a result is kept."""
    BOARD.note(number)
    return number


def flaky(number: int) -> int:
    """Every second job fails in its first run."""
    if BOARD.note(number) == 0 and number % 2:
        raise FailedOnPurpose
    return number


def broken(number: int) -> int:
    """Always fails."""
    BOARD.note(number)
    raise FailedOnPurpose


async def io(number: int) -> int:
    """Ten milliseconds of waiting."""
    BOARD.note(number)
    await asyncio.sleep(IO_SECONDS)
    return number


def io_blocking(number: int) -> int:
    """Ten milliseconds of waiting, for libraries that run plain functions."""
    BOARD.note(number)
    time.sleep(IO_SECONDS)
    return number
