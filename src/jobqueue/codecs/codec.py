"""The one seam for signing and encrypting what jobs carry."""

from __future__ import annotations

from typing import Protocol


class Codec(Protocol):
    """Turns what a job carries into what a backend stores, and back.

    ``bound`` says what the bytes are and to which queue, job and type they belong. It is not stored: it must be the
    same when they are opened, so that nothing can be moved to another place. A codec has to be safe for use by several
    event loops.
    """

    @property
    def hides(self) -> bool:
        """Whether nobody can read what is sealed without a key. Options then travel inside the seal, not beside it."""
        ...

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        """``plain``, JSON as a rule, sealed: one line of valid JSON in UTF-8."""
        ...

    def open(self, stored: bytes, bound: bytes) -> bytes | None:
        """What was sealed; None where ``stored`` was never sealed and is to be taken as it is.

        Raises BadSignature, whose message completes the sentence "The data …" and quotes nothing of it.
        """
        ...


def bound_to(*words: bytes) -> bytes:
    """Words as one, such that no other words give the same: each with its length before it."""
    return b"".join([b"%d:%b," % (len(word), word) for word in words])
