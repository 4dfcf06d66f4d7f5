"""Stands where something stored was refused by a codec: empty, and never valid JSON, so that nobody takes it for data.

Whoever decodes it (model/payloads.py) raises BadSignature with what is said here. So a job that cannot be trusted
travels like any other until somebody wants to know what is in it, and jobs of queues without a codec pay nothing.
"""

from __future__ import annotations


class Refused(bytes):
    """In place of data, a result, progress or a checkpoint. ``why`` completes the sentence "The data …"."""

    why: str

    def __new__(cls, why: str) -> Refused:
        made = super().__new__(cls, b"")
        made.why = why
        return made

    def __reduce__(self) -> tuple[type[Refused], tuple[str]]:
        return Refused, (self.why,)


class RefusedText(str):
    """The same in place of an event's detail."""

    __slots__ = ("why",)
    why: str

    def __new__(cls, why: str) -> RefusedText:
        made = super().__new__(cls, "")
        made.why = why
        return made
