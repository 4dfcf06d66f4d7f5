"""Notes of a running job, as annotate.lua takes them."""

from __future__ import annotations

from jobqueue.backends.protocol import Begun, Checkpoint, LogLines, Note, Progress
from jobqueue.backends.redis.codec import Word


def note_words(note: Note) -> tuple[Word, ...]:
    """Kind and values."""
    match note:
        case Progress(value):
            return ("progress", value)
        case Checkpoint(value):
            return ("checkpoint", value)
        case LogLines(lines):
            return ("log", *lines)
        case Begun():
            return ("begun",)
