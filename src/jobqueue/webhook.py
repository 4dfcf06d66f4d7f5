"""Webhook: an endpoint of another system that is told of jobs, as somebody asks for it; and how it is stored."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic_core import to_json

from jobqueue.backends.endpoints import ALL_TYPES, EndpointRecord, EndpointState, Rules
from jobqueue.errors import BadSignature, InvalidData, InvalidName, InvalidOption
from jobqueue.job_type import JobType
from jobqueue.model.naming import checked_name
from jobqueue.model.notice import Occasion, Part
from jobqueue.model.refused import Refused
from jobqueue.model.times import moment

WEBHOOKS = "webhooks"
"""The queue that deliveries go to unless an endpoint names another."""
MOST_TYPES = 100
MOST_SECRETS = 5
_LONGEST_URL = 2000
_MARK = "whsec_"
_TYPE = re.compile(r"\*|[a-z0-9][a-z0-9._-]{0,98}\*?")

OccasionName = Literal["job.completed", "job.failed", "job.cancelled", "job.retrying"]
NamedT = TypeVar("NamedT", bound=StrEnum)
PartName = Literal["data", "result", "error"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint that is told what becomes of a queue's jobs, by Standard Webhooks 1.0.

        Webhook("accounting", "https://books.example.com/hooks", events=["job.completed"], types=["invoice.*"])

    ``id`` names it within its queue. ``url`` is http or https; which addresses may be reached is for the workers to
    say that deliver (see ``deliver_webhooks``). ``secret`` is a ``whsec_`` with 24 to 64 random bytes in base64; None
    draws one, or keeps the one that is stored. ``events`` are ``job.completed``, ``job.failed``, ``job.cancelled`` and
    ``job.retrying``. ``types`` are job types, or their beginnings with a ``*`` behind; none stands for all. ``include``
    names what of a job may leave the house: ``data``, ``result``, and ``error`` for the message (its type is always
    told); nothing unless asked for. ``deliveries`` is the queue that carries deliveries, which a worker must deliver.

    Raises InvalidName or InvalidOption.
    """

    id: str
    url: str
    secret: str | SecretStr | None = field(default=None, repr=False, kw_only=True)
    events: Sequence[OccasionName] = field(default=("job.completed", "job.failed"), kw_only=True)
    types: Sequence[str | JobType[Any, Any]] = field(default=(), kw_only=True)
    include: Sequence[PartName] = field(default=(), kw_only=True)
    deliveries: str = field(default=WEBHOOKS, kw_only=True)

    def __post_init__(self) -> None:
        checked_name("webhook", self.id)
        checked_url(self.url)
        if self.secret is not None:
            checked_secret(self.secret)
        _ = self.rules

    @property
    def rules(self) -> Rules:
        """What it is told, as backends know it. Raises InvalidName or InvalidOption."""
        for name, given in (("events", self.events), ("types", self.types), ("include", self.include)):
            if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidOption(f'{name} must be a list, such as events=["job.completed"], not {given!r:.60}')
        occasions = frozenset(_named(Occasion, "events", name) for name in self.events)
        if not occasions:
            raise InvalidOption(f"events must name at least one of {', '.join(Occasion)}")
        types = tuple(dict.fromkeys(_type(wanted) for wanted in self.types)) or (ALL_TYPES,)
        if len(types) > MOST_TYPES:
            raise InvalidOption(f"a webhook may name {MOST_TYPES} types at the most, not {len(types)}: use 'ticket.*'")
        return Rules(
            occasions=occasions,
            target=checked_name("queue of deliveries", self.deliveries),
            types=types,
            include=frozenset(_named(Part, "include", name) for name in self.include),
        )


class Secret(BaseModel):
    """A secret, and until when it signs (ms since 1970; None: until it is replaced)."""

    model_config = ConfigDict(frozen=True)

    text: SecretStr
    until_ms: int | None = None


class Definition(BaseModel):
    """What of an endpoint no backend looks into. ``secrets`` are the newest first."""

    model_config = ConfigDict(frozen=True)

    url: str
    secrets: tuple[Secret, ...]

    def encode(self) -> bytes:
        """JSON, with the secrets in it."""
        signing = [{"text": one.text.get_secret_value(), "until_ms": one.until_ms} for one in self.secrets]
        return to_json({"url": self.url, "secrets": signing})

    @staticmethod
    def decode(stored: bytes) -> Definition:
        """What ``encode`` made. Raises BadSignature where a codec refused it, InvalidData where it is none of ours."""
        if isinstance(stored, Refused):
            raise BadSignature(f"the stored endpoint {stored.why}")
        try:
            found = Definition.model_validate_json(stored)
            checked_url(found.url)
            for secret in found.secrets:
                checked_secret(secret.text)
        except (ValidationError, InvalidOption):
            # Without the cause: it may quote the secret.
            raise InvalidData("the stored endpoint is not one of ours") from None
        if not found.secrets:
            raise InvalidData("the stored endpoint has no secret")
        return found

    def signing(self, now_ms: int) -> list[bytes]:
        """The keys that sign at this moment, the newest first."""
        return [
            key_of(secret.text.get_secret_value())
            for place, secret in enumerate(self.secrets)
            if place == 0 or (secret.until_ms is not None and secret.until_ms > now_ms)
        ]


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """An endpoint as it stands. Its secret is asked for by name: ``await queue.webhooks.secret(id)``.

    ``state`` is ``on``; ``paused``, when deliveries are made and wait; or ``disabled``, when none are made, because the
    receiver answered that it is gone (410). ``reason`` and ``since`` say why and since when.
    """

    id: str
    url: str
    events: tuple[str, ...]
    types: tuple[str, ...]
    include: tuple[str, ...]
    deliveries: str
    state: EndpointState
    reason: str
    since: datetime

    @classmethod
    def of(cls, record: EndpointRecord) -> StoredWebhook:
        """From what is stored; without an address where that cannot be read here."""
        try:
            url = Definition.decode(record.definition).url
        except (BadSignature, InvalidData):
            url = ""
        rules = record.rules
        return cls(
            id=record.id,
            url=url,
            events=tuple(name.value for name in Occasion if name in rules.occasions),
            types=() if rules.types == (ALL_TYPES,) else rules.types,
            include=tuple(part.value for part in Part if part in rules.include),
            deliveries=rules.target,
            state=record.state,
            reason=record.reason,
            since=moment(record.since_ms),
        )


def new_secret() -> SecretStr:
    """A fresh one: 32 random bytes."""
    return SecretStr(_MARK + base64.b64encode(secrets.token_bytes(32)).decode())


def checked_secret(value: str | SecretStr) -> SecretStr:
    """A secret that can sign. Raises InvalidOption, which never says what it was."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or not text.startswith(_MARK):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption("secret must begin with whsec_; leave it out to have one drawn")
    try:
        length = len(key_of(text))
    except (binascii.Error, ValueError):
        raise InvalidOption("secret must be base64 after whsec_") from None
    if not 24 <= length <= 64:
        raise InvalidOption(f"secret must hold 24 to 64 bytes, not {length}")
    return SecretStr(text)


def key_of(secret: str) -> bytes:
    """The bytes that sign."""
    text = secret.removeprefix(_MARK)
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def checked_url(url: str) -> str:
    """An address that can be posted to, as far as can be said without looking it up. Raises InvalidOption."""
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"url must be a text, not {type(url).__name__}")
    if len(url) > _LONGEST_URL or any(ord(letter) <= 32 or ord(letter) > 126 for letter in url) or "\\" in url:
        raise InvalidOption(f"url must be ASCII without spaces, {_LONGEST_URL} characters at the most")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidOption("url cannot be read: is its port a number from 1 to 65535?") from None
    if parts.scheme not in ("http", "https"):
        raise InvalidOption("url must begin with https:// (or http://, within networks that workers allow)")
    if parts.username is not None or parts.password is not None:
        raise InvalidOption("url must not carry a user or a password: requests are signed")
    if not parts.hostname or port == 0:
        raise InvalidOption("url must name a host, and no port 0")
    if parts.fragment:
        raise InvalidOption("url must not have a fragment (#...): it would not be sent")
    return url


def _type(wanted: str | JobType[Any, Any]) -> str:
    name = wanted.name if isinstance(wanted, JobType) else wanted
    if not isinstance(name, str) or not _TYPE.fullmatch(name):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidName(
            f"type {name!r:.60} is not allowed: a job type's name, or a beginning with * behind (ticket.*)"
        )
    return name


def _named(kind: type[NamedT], what: str, name: str) -> NamedT:
    try:
        return kind(name)
    except ValueError:
        raise InvalidOption(f"{what}: there is no {name!r:.60}; there are {', '.join(kind)}") from None
