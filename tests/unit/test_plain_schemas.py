"""What goes straight to JSON, and that nothing does which must not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr, TypeAdapter, computed_field, field_serializer

from jobqueue import InvalidData
from jobqueue.model.payloads import Payload
from jobqueue.model.plain_schemas import plain_leaves


class Address(BaseModel):
    street: str
    number: int | None = None


class Order(BaseModel):
    id: UUID
    at: datetime
    to: list[Address]
    prices: dict[str, float]
    note: str = "-"


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
