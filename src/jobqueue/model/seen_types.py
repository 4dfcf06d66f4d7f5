"""Which types the fields of a flat model have had: what pydantic wrote once without a complaint needs no second check.

``to_json(warnings="error")`` refuses values that a model was given behind pydantic's back (``model_construct``, an
assignment that is not validated). It costs three times the writing itself (pydantic-core 2.50: 0.85 µs of
1.12), and for fields without anything inside them its verdict depends on nothing but their types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from jobqueue.model.plain_schemas import flat_fields

_MOST = 64
"""Optional fields double the number of combinations; whoever has many is checked as before."""


class SeenTypes:
    """Of one model."""

    __slots__ = ("_combinations", "_values")

    def __init__(self, names: tuple[str, ...]) -> None:
        # One name would give its value alone, two give a tuple: the first is asked for twice.
        self._values: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter(names[0], *names)
        self._combinations: set[tuple[type, ...]] = set()

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> SeenTypes | None:
        """For a core schema; None if it has no fields, or more in them than a value of one type."""
        names = flat_fields(schema)
        return cls(names) if names else None

    def holds(self, value: Any) -> bool:
        """Whether an instance with fields of just these types was seen. Raises KeyError where it lacks a field."""
        return tuple(map(type, self._values(value.__dict__))) in self._combinations

    def add(self, value: Any) -> None:
        """It was written with every check. Raises KeyError where it lacks a field."""
        if len(self._combinations) < _MOST:
            self._combinations.add(tuple(map(type, self._values(value.__dict__))))
