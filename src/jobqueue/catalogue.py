"""The job types that are known in this process, so that a producer who names one by a string is checked all the
same.
"""

from __future__ import annotations

from typing import Any

from jobqueue.errors import RegistrationError
from jobqueue.job_type import JobType


class Catalogue:
    """Job types by name."""

    def __init__(self) -> None:
        self._types: dict[str, JobType[Any, Any]] = {}

    def add(self, job_type: JobType[Any, Any]) -> None:
        """Make a type known. Raises RegistrationError if the name stands for other data already."""
        known = self._types.get(job_type.name)
        if known is not None and not known.agrees_with(job_type):
            raise RegistrationError(
                f"job type {job_type.name!r} is declared with {known.data.name} and with {job_type.data.name}: "
                "one name, one model"
            )
        self._types[job_type.name] = job_type

    def get(self, name: str) -> JobType[Any, Any] | None:
        """The type of that name, if it is known here."""
        return self._types.get(name)


KNOWN_TYPES = Catalogue()
"""What the default registry's processors have made known."""
