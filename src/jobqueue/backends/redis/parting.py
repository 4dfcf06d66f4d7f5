"""How much one call carries: what is longer or larger goes in parts, or no line could carry it within a call's time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

PieceT = TypeVar("PieceT")

MOST_TOGETHER = 500
"""Jobs, or what is told of them."""
MOST_BYTES = 4 * 1024 * 1024
"""Of their data; one piece may be larger."""


def parts(pieces: Sequence[PieceT], size_of: Callable[[PieceT], int]) -> Iterator[Sequence[PieceT]]:
    """What one call carries of them, in order; nothing of nothing."""
    first = size = 0
    for place, piece in enumerate(pieces):
        own = size_of(piece)
        if place - first == MOST_TOGETHER or (size and size + own > MOST_BYTES):
            yield pieces[first:place]
            first, size = place, 0
        size += own
    if first < len(pieces):
        yield pieces[first:]
