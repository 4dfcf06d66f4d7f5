"""AES-256-GCM under a derived key. Imported only when somebody encrypts: cryptography is an extra."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE, _TAG = 12, 16


class Cipher:
    """Encrypts under the key that HKDF-SHA256 makes of ``key`` and ``salt``, each time with a fresh nonce."""

    __slots__ = ("_aes",)

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._aes = AESGCM(HKDF(SHA256(), 32, salt, b"jobqueue encrypted 1").derive(key))

    def encrypt(self, plain: bytes, bound: bytes) -> bytes:
        """The nonce, the ciphertext and its tag."""
        nonce = os.urandom(_NONCE)
        return nonce + self._aes.encrypt(nonce, plain, bound)

    def decrypt(self, stored: bytes, bound: bytes) -> bytes | None:
        """What was encrypted, None if it was not with this key and this ``bound``."""
        if len(stored) < _NONCE + _TAG:
            return None
        try:
            return self._aes.decrypt(stored[:_NONCE], stored[_NONCE:], bound)
        except InvalidTag:
            return None
