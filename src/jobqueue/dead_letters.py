"""DeadLetters: what failed for good, for the person who decides what becomes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from jobqueue.backends.protocol import Backend, NewRecord, Remove, Retry
from jobqueue.catalogue import KNOWN_TYPES
from jobqueue.connect import checked_backend
from jobqueue.default_backend import default_backend
from jobqueue.errors import BadSignature, InvalidState, JobNotFound, KeyHeld
from jobqueue.job_type import JobType
from jobqueue.model.asked import looked_for, whole
from jobqueue.model.letter import BAD_SIGNATURE, DEAD_LETTER as LETTER_TYPE, DeadLetter
from jobqueue.model.naming import checked_name
from jobqueue.model.payloads import ANY_JSON
from jobqueue.model.record import JobRecord, JobState

DEAD_LETTER: JobType[DeadLetter, None] = JobType(LETTER_TYPE, DeadLetter, queue="dead-letter")
"""The job type of letters: ``@processor(DEAD_LETTER)`` is told of every job that fails for good."""

_PAGE = 200
_WHERE = (JobState.WAITING, JobState.DELAYED, JobState.COMPLETED, JobState.FAILED)
"""Letters wait for a person; a processor that raises an alarm may have completed them, which does not settle
the matter.
"""


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: its id, and what is known of the job that failed."""

    id: str
    content: DeadLetter


class DeadLetters:
    """The dead-letter queue. Raises InvalidName; costs nothing until used."""

    def __init__(self, name: str = "dead-letter", *, backend: Backend | None = None) -> None:
        self.name = checked_name("dead-letter queue", name)
        self._backend = checked_backend(backend)

    async def letters(
        self,
        *,
        origin: str | None = None,
        type: str | None = None,  # noqa: A002  (the design's word for it)
        error: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Letter]:
        """Letters, oldest first: of one queue, of one job type, with one error type; every filter may be left out.

        Costs O(letters looked at). Raises InvalidOption.
        """
        whole("limit", limit, 0)
        whole("offset", offset, 0)
        found: list[Letter] = []
        async for letter in self._all():
            content = letter.content
            if (
                (origin is None or content.origin == origin)
                and (type is None or content.type == type)
                and (error is None or content.error.type == error)
            ):
                found.append(letter)
                if len(found) >= offset + limit:
                    break
        return found[offset : offset + limit]

    async def retry(self, letter_id: str, *, data: Any = None) -> bool:
        """Put the job back into its origin, with fresh attempts and, if given, other ``data``; the letter goes. Data is
        checked where the job's type is known in this process.

        False where the letter was out of date: the job has been retried or has finished since; the letter goes
        all the same. Safe to repeat. Raises JobNotFound if there is no such letter, InvalidData; and, while the letter
        stays, KeyHeld where another job holds the unique key of this one, and BadSignature where the job is gone and
        was never known to come from a holder of a codec's key.
        """
        backend = await self._open()
        record = await backend.get(self.name, looked_for("letter_id", letter_id))
        letter = None if record is None else _letter(record)
        if letter is None:
            raise JobNotFound(f"no letter {letter_id!r} in {self.name!r}")
        content = letter.content
        known = KNOWN_TYPES.get(content.type)
        encoded = None if data is None else (known.data if known else ANY_JSON).encode(data)
        failed_ms = round(content.failed_at.timestamp() * 1000)
        try:
            await backend.amend(content.origin, content.job_id, Retry(encoded, failed_ms))
            revived = True
        except JobNotFound:
            if content.error.type == BAD_SIGNATURE:
                # To enqueue it would be to put our own signature under it.
                raise BadSignature(
                    f"the job of letter {letter_id!r} was refused for its signature and is gone: "
                    "enqueue a new job, or discard the letter"
                ) from None
            again = NewRecord(
                id=content.job_id,
                type=content.type,
                data=encoded if encoded is not None else ANY_JSON.encode(content.data),
                priority=content.priority,
                options=content.options.encode(),
                group=content.group,
            )
            revived = (await backend.enqueue(content.origin, [again]))[0].created
        except KeyHeld:
            raise
        except InvalidState:
            revived = False
        await self._remove(backend, letter_id)
        return revived

    async def retry_all(
        self,
        *,
        origin: str | None = None,
        type: str | None = None,  # noqa: A002
        error: str | None = None,
        limit: int = 1000,
    ) -> int:
        """Retry every letter that the filters match, up to ``limit``; returns how many jobs went back."""
        count = 0
        for letter in await self.letters(origin=origin, type=type, error=error, limit=limit):
            try:
                count += await self.retry(letter.id)
            except (JobNotFound, BadSignature, KeyHeld):
                # Someone else was quicker; or nobody can vouch for it; or another job does the same.
                continue
        return count

    async def discard(self, letter_id: str) -> None:
        """Throw a letter away; the job stays failed in its origin. Raises JobNotFound."""
        await (await self._open()).amend(self.name, looked_for("letter_id", letter_id), Remove())

    async def discard_all(
        self,
        *,
        origin: str | None = None,
        type: str | None = None,  # noqa: A002
        error: str | None = None,
        limit: int = 1000,
    ) -> int:
        """Throw away every letter that the filters match, up to ``limit``; returns how many."""
        backend = await self._open()
        count = 0
        for letter in await self.letters(origin=origin, type=type, error=error, limit=limit):
            count += await self._remove(backend, letter.id)
        return count

    async def _open(self) -> Backend:
        return self._backend if self._backend is not None else await default_backend()

    async def _all(self) -> AsyncIterator[Letter]:
        backend = await self._open()
        for state in _WHERE:
            offset = 0
            while records := await backend.find(self.name, state, limit=_PAGE, offset=offset):
                for record in records:
                    letter = _letter(record)
                    if letter is not None:
                        yield letter
                offset += len(records)

    async def _remove(self, backend: Backend, letter_id: str) -> bool:
        try:
            await backend.amend(self.name, letter_id, Remove())
        except JobNotFound:
            return False
        return True


def _letter(record: JobRecord) -> Letter | None:
    """None for whatever else was put into the queue by hand."""
    if record.type != LETTER_TYPE:
        return None
    try:
        return Letter(record.id, DeadLetter.model_validate_json(record.data))
    except ValidationError:
        return None
