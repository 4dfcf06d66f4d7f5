"""Data to JSON and back: validated by pydantic, bounded, and never anything but JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any, Literal, cast

from pydantic import (
    BaseModel,
    PydanticSchemaGenerationError,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticSerializationError, SchemaSerializer, from_json, to_json

from jobqueue.errors import BadSignature, InvalidData, PayloadTooLarge
from jobqueue.model.plain_schemas import plain_leaves
from jobqueue.model.refused import Refused
from jobqueue.model.seen_types import SeenTypes

MAX_BYTES = 256 * 1024
"""The limit of a payload or a result, in bytes of UTF-8 (SQS's classic limit)."""
MOST_STORED_BYTES = 4 * MAX_BYTES
"""What is read back at all. More than may be written, because a dead letter carries a payload and an error."""
MAX_DEPTH = 32

SENSITIVE = frozenset(
    {"password", "passwd", "pwd", "passphrase", "secret", "token", "api_key", "authorization", "secret_key",
     "private_key", "access_key", "credentials", "cookie", "card_number", "cvv", "ssn", "iban"}
)  # fmt: skip
"""Fields whose values are never logged, in whatever spelling: client_secret, accessToken, X-API-Key among them."""
MASK = "***"


class Payload:
    """What one job type's data (or result) looks like: a pydantic model, any annotation, or any JSON (``None``)."""

    __slots__ = ("_adapter", "_direct", "_has_floats", "_model", "_seen", "annotation")

    def __init__(self, annotation: Any = None) -> None:
        self.annotation = None if annotation is Any else annotation
        self._adapter: TypeAdapter[Any] | None = None
        self._model: type[BaseModel] | None = None
        self._direct: SchemaSerializer | None = None
        self._has_floats = False
        self._seen: SeenTypes | None = None
        if self.annotation is None:
            return
        try:
            self._adapter = TypeAdapter(self.annotation)
        except PydanticSchemaGenerationError as error:
            raise InvalidData(
                f"{_name(self.annotation)} cannot be used as job data: {error.message}; use a pydantic model"
            ) from error
        if isinstance(self.annotation, type) and issubclass(self.annotation, BaseModel):
            self._model = self.annotation
        leaves = plain_leaves(cast("Mapping[str, Any]", self._adapter.core_schema))
        if leaves is not None:
            self._direct = self._adapter.serializer
            self._has_floats = "float" in leaves
            if self._model is not None:
                self._seen = SeenTypes.of(cast("Mapping[str, Any]", self._adapter.core_schema))

    @property
    def name(self) -> str:
        """For messages."""
        return "JSON" if self.annotation is None else _name(self.annotation)

    def encode(self, value: Any, *, what: str = "data", limit: int = MAX_BYTES) -> bytes:
        """``value`` as JSON in UTF-8. Raises InvalidData (with pydantic's error list) or PayloadTooLarge."""
        if self._adapter is not None and not (self._model is not None and type(value) is self._model):
            try:
                value = self._adapter.validate_python(value)
            except ValidationError as error:
                raise InvalidData(_refusal(what, self.name, error), errors=_errors(error)) from None
        encoded = self._encoded_directly(value)
        if encoded is None:
            encoded = self._encoded_with_care(value, what)
        if len(encoded) > limit:
            raise PayloadTooLarge(
                f"{what} is {len(encoded)} bytes of JSON, the limit is {limit}: store it elsewhere, enqueue a reference"
            )
        return encoded

    def _encoded_directly(self, value: Any) -> bytes | None:
        """By pydantic's own serializer, many times faster; None where that could write what must not be written."""
        try:
            if type(value) in _SCALARS:
                return to_json(value)
            if self._direct is None:
                return None
            if self._seen is None or type(value) is not self._model:
                encoded = self._direct.to_json(value, round_trip=True, warnings="error")
            elif self._seen.holds(value):
                encoded = self._direct.to_json(value, round_trip=True)
            else:
                encoded = self._direct.to_json(value, round_trip=True, warnings="error")
                self._seen.add(value)
        except (PydanticSerializationError, ValueError, KeyError):
            return None
        # It writes null for numbers that JSON has no word for.
        return None if self._has_floats and b"null" in encoded else encoded

    def _encoded_with_care(self, value: Any, what: str) -> bytes:
        # What has no model is read back as JSON, so it must be JSON to begin with; results may be a little freer.
        strict = self.annotation is None and what == "data" and not isinstance(value, BaseModel)
        try:
            dumped, doubtful = self._plain(value, warnings="error"), False
        except PydanticSerializationError:
            # It holds what its types do not allow; pydantic would say so in a warning that shows the value.
            dumped, doubtful = self._dumped_in_silence(value, what), True
        plain = _revealed(dumped, what, 1, strict=strict)
        try:
            encoded = _ENCODER.encode(plain).encode()
        except UnicodeEncodeError:
            raise InvalidData(f"{what} holds a lone surrogate, which is not UTF-8: clean the text first") from None
        if doubtful:
            # What was changed after it was made, or made without validation, must be readable all the same.
            self.decode(encoded, what=what)
        return encoded

    def _dumped_in_silence(self, value: Any, what: str) -> Any:
        try:
            return self._plain(value, warnings=False)
        except PydanticSerializationError:
            raise InvalidData(f"{what} cannot be written as JSON: it holds what {self.name} does not allow") from None

    def decode(self, stored: bytes, *, what: str = "data") -> Any:
        """Validated straight from the bytes. Raises InvalidData with pydantic's error list; BadSignature where a codec
        refused what is stored.
        """
        if len(stored) > MOST_STORED_BYTES:
            # Nobody wrote that through this library.
            raise InvalidData(f"{what} is {len(stored)} bytes long, and no more than {MOST_STORED_BYTES} are read")
        try:
            if self._adapter is not None:
                return self._adapter.validate_json(stored)
            return from_json(stored, allow_inf_nan=False)
        except (ValidationError, ValueError) as error:
            if isinstance(stored, Refused):
                raise BadSignature(f"{what} {stored.why}") from None
            if not isinstance(error, ValidationError):
                raise InvalidData(f"{what} is not JSON: {error}") from None
            raise InvalidData(_refusal(what, self.name, error), errors=_errors(error)) from None

    def _plain(self, value: Any, warnings: Literal[False, "error"]) -> Any:
        if isinstance(value, BaseModel):
            # mode="python" keeps secrets as secrets, which _revealed turns into their values on purpose.
            return value.model_dump(mode="python", round_trip=True, warnings=warnings)
        if self._adapter is not None:
            return self._adapter.dump_python(value, mode="python", round_trip=True, warnings=warnings)
        return value


_SCALARS: frozenset[type] = frozenset({str, int, bool})
ANY_JSON = Payload()


def masked(value: Any) -> Any:
    """A copy of JSON data with the values of sensitive fields replaced, however deep they stand."""
    if isinstance(value, Mapping):
        found = cast("Mapping[str, Any]", value)
        return {
            key: MASK if _plain_name(str(key)).endswith(_SENSITIVE_ENDINGS) else masked(inner)
            for key, inner in found.items()
        }
    if isinstance(value, (list, tuple)):
        return [masked(inner) for inner in cast("list[Any]", value)]
    if isinstance(value, (SecretStr, SecretBytes)):
        return MASK
    return value


def _plain_name(field: str) -> str:
    return "".join(filter(str.isalnum, field)).lower().rstrip("s")


_SENSITIVE_ENDINGS = tuple(map(_plain_name, SENSITIVE))
_ENCODE_ANY = TypeAdapter[Any](Any)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SEQUENCES: tuple[type, ...] = (list, tuple)
_COLLECTIONS: tuple[type, ...] = (list, tuple, set, frozenset)


def _revealed(value: Any, what: str, depth: int, *, strict: bool) -> Any:
    """JSON values, with secrets as their real values: the worker needs them; logs never see them."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidData(f"{what} holds {value!r}, which JSON has no word for: use None or a text")
        return value
    if depth > MAX_DEPTH:
        raise InvalidData(f"{what} is nested more than {MAX_DEPTH} deep")
    if isinstance(value, (dict, Mapping)):
        found = cast("Mapping[Any, Any]", value)
        _check_count(found, what)
        return {_key(key, what): _revealed(inner, what, depth + 1, strict=strict) for key, inner in found.items()}
    if isinstance(value, _SEQUENCES if strict else _COLLECTIONS):
        items = cast("Collection[Any]", value)
        _check_count(items, what)
        return [_revealed(inner, what, depth + 1, strict=strict) for inner in items]
    if isinstance(value, (SecretStr, SecretBytes)):
        secret = value.get_secret_value()
        return secret.decode() if isinstance(secret, bytes) else secret
    if isinstance(value, BaseModel):
        dumped = value.model_dump(mode="python", round_trip=True, warnings=False)
        return _revealed(dumped, what, depth + 1, strict=False)
    if not strict:
        try:
            return _ENCODE_ANY.dump_python(value, mode="json")
        except (PydanticSerializationError, ValueError):
            pass
    raise InvalidData(
        f"{what} holds a value of type {type(value).__name__}, which is not JSON: use a pydantic model or plain values"
    )


def _check_count(values: Collection[Any], what: str) -> None:
    if len(values) > MAX_BYTES:
        # Before millions of values are looked at one by one: each takes a byte at the least.
        raise PayloadTooLarge(f"{what} holds {len(values)} values in one place, the limit is {MAX_BYTES} bytes of JSON")


def _key(key: Any, what: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise InvalidData(f"{what} has a key of type {type(key).__name__}: JSON objects have texts as keys")


def _errors(error: ValidationError) -> list[dict[str, Any]]:
    # Without the input: it may be the very secret that must not reach a log.
    return cast("list[dict[str, Any]]", error.errors(include_input=False, include_url=False, include_context=False))


def _refusal(what: str, name: str, error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{what} is not a valid {name}: {place}: {first['msg']}{more}"


def _name(annotation: Any) -> str:
    return getattr(annotation, "__name__", str(annotation))
