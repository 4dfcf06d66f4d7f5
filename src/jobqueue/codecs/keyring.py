"""Keys by name: one that seals, and others that may still open what was sealed before it was changed."""

from __future__ import annotations

from collections.abc import Mapping

from jobqueue.errors import ConfigurationError
from jobqueue.model.naming import is_name

KEY_BYTES = 32
_MOST_KEYS = 100


class Keyring:
    """``keys`` by name, and the name of the one that is used for what is new.

    Raises ConfigurationError, which never quotes a key.
    """

    __slots__ = ("_keys", "current")

    def __init__(self, keys: Mapping[str, bytes], current: str, *, exact: bool) -> None:
        if not isinstance(keys, Mapping) or not 1 <= len(keys) <= _MOST_KEYS:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f'keys: give from 1 to {_MOST_KEYS} keys by name, keys={{"2026-11": key}}')
        for name, key in keys.items():
            if not isinstance(name, str) or not is_name(name):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigurationError("keys: a key's name must be small letters, digits, '.', '_' or '-'")
            if not isinstance(key, bytes) or len(key) < KEY_BYTES or (exact and len(key) != KEY_BYTES):  # pyright: ignore[reportUnnecessaryIsInstance]
                least = f"{KEY_BYTES} bytes" if exact else f"at least {KEY_BYTES} bytes"
                raise ConfigurationError(f"keys: the key {name!r} must be {least}: secrets.token_bytes({KEY_BYTES})")
        if current not in keys:
            raise ConfigurationError("current must be the name of one of the keys")
        self._keys = dict(keys)
        self.current = current

    def __contains__(self, name: str) -> bool:
        return name in self._keys

    def __getitem__(self, name: str) -> bytes:
        return self._keys[name]

    def __repr__(self) -> str:
        return f"current={self.current!r}, keys={sorted(self._keys)}"
