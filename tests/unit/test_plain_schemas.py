"""What goes straight to JSON, and that nothing does which must not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr, TypeAdapter, computed_field, field_serializer

from jobqueue import InvalidData
from jobqueue.model.payloads import Payload
from jobqueue.model.plain_schemas import plain_leaves
from jobqueue.model.seen_types import SeenTypes


class Address(BaseModel):
    street: str
    number: int | None = None


class Order(BaseModel):
    id: UUID
    at: datetime
    to: list[Address]
    prices: dict[str, float]
    note: str = "-"


class Chosen(BaseModel):
    kind: Literal["a", "b"]


class Secretive(BaseModel):
    key: SecretStr


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Tree(BaseModel):
    children: list[Tree] = []


class Shouting(BaseModel):
    name: str

    @field_serializer("name")
    def shout(self, name: str) -> str:
        return name.upper()


class Computed(BaseModel):
    name: str

    @computed_field
    @property
    def length(self) -> int:
        return len(self.name)


@pytest.mark.parametrize("annotation", [Order, Address, int, list[int], dict[str, Address], Address | None])
def test_plain(annotation: Any) -> None:
    assert plain_leaves(dict(TypeAdapter(annotation).core_schema)) is not None


@pytest.mark.parametrize(
    "annotation", [Secretive, Open, Tree, Shouting, Computed, Any, object, dict[int, str], set[int]]
)
def test_not_plain(annotation: Any) -> None:
    assert plain_leaves(dict(TypeAdapter(annotation).core_schema)) is None


def test_both_ways_write_the_same() -> None:
    order = Order(
        id=UUID(int=7),
        at=datetime(2026, 11, 24, tzinfo=UTC),
        to=[Address(street="Größe 1")],
        prices={"a": 1.5, "b": 2.0},
    )
    payload = Payload(Order)
    assert json.loads(payload.encode(order)) == json.loads(payload._encoded_with_care(order, "data"))  # pyright: ignore[reportPrivateUsage]


def test_what_a_model_was_not_asked_about_is_still_looked_at() -> None:
    order = Order.model_construct(
        id=UUID(int=7), at=datetime(2026, 11, 24, tzinfo=UTC), to=[], prices={"a": float("nan")}
    )
    with pytest.raises(InvalidData, match="no word for"):
        Payload(Order).encode(order)
    with pytest.raises(InvalidData, match="lone surrogate"):
        Payload(Address).encode(Address.model_construct(street="\ud800", number=1))


def test_secrets_travel_whole() -> None:
    assert json.loads(Payload(Open).encode(Open.model_validate({"name": "n", "key": SecretStr("s3")})))["key"] == "s3"
    assert json.loads(Payload(Secretive).encode(Secretive(key=SecretStr("s3")))) == {"key": "s3"}


class Ticket(BaseModel):
    number: int
    title: str
    note: str | None = None
    fee: float | None = None


def test_what_was_written_once_is_checked_by_its_types_alone() -> None:
    payload = Payload(Ticket)
    ticket = Ticket(number=1, title="Größe")
    assert payload.encode(ticket) == payload.encode(ticket) == payload.encode(Ticket(number=1, title="Größe"))
    assert json.loads(payload.encode(Ticket(number=2, title="x", note="y", fee=1.5)))["fee"] == 1.5


@pytest.mark.parametrize(
    ("behind", "refusal"),
    [
        ({"number": "one"}, "number: Input should be a valid integer"),
        ({"number": True}, ""),
        ({"title": SecretStr("hunter2")}, ""),
        ({"note": Address(street="s")}, "note: Input should be a valid string"),
        ({"fee": "hunter2"}, "fee: Input should be a valid number"),
    ],
)
def test_what_a_model_was_given_behind_its_back_is_written_or_refused_as_if_nothing_had_been_seen(
    behind: dict[str, Any], refusal: str
) -> None:
    seen = SeenTypes.of(dict(TypeAdapter(Ticket).core_schema))
    payload = Payload(Ticket)
    assert seen is not None
    for ticket in (Ticket(number=1, title="x"), Ticket(number=1, title="x", note="y", fee=1.0)):
        payload.encode(ticket)
        seen.add(ticket)
        assert seen.holds(ticket)
    odd = Ticket(number=1, title="x")
    for name, value in behind.items():
        setattr(odd, name, value)
    assert not seen.holds(odd)
    if not refusal:
        assert payload.encode(odd) == Payload(Ticket).encode(odd)
        assert b"hunter2" in payload.encode(odd) or "title" not in behind
        return
    for either in (payload, Payload(Ticket)):
        with pytest.raises(InvalidData, match=refusal) as refused:
            either.encode(odd)
        assert "hunter2" not in str(refused.value)


def test_a_model_that_was_never_validated_is_validated_before_it_is_written() -> None:
    with pytest.raises(InvalidData, match="number: Input should be a valid integer"):
        Payload(Ticket).encode(Ticket.model_construct(number="4111-secret", title="x"))


def test_a_field_that_is_missing_is_no_field_that_was_seen() -> None:
    payload = Payload(Ticket)
    payload.encode(Ticket(number=1, title="x"))
    ticket = Ticket(number=1, title="x")
    del ticket.note
    assert json.loads(payload.encode(ticket)) == {"number": 1, "title": "x", "fee": None}


def test_combinations_are_bounded() -> None:
    seen = SeenTypes(("a", "b"))
    for kind in range(200):
        made = SimpleNamespace(a=type(f"Kind{kind}", (), {})(), b=1)
        seen.add(made)
        assert seen.holds(made) == (kind < 64)


@pytest.mark.parametrize("annotation", [Order, int, list[int], Shouting, Computed, Open, Chosen])
def test_not_flat(annotation: Any) -> None:
    assert SeenTypes.of(dict(TypeAdapter(annotation).core_schema)) is None
