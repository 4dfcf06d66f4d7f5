"""Encrypted: AES-256-GCM over what a job carries, bound to where it belongs.

AES-GCM with random nonces is safe for some 2^32 payloads under one key, which a busy queue reaches within weeks. So a
key given here encrypts nothing itself: each process derives a key of its own from it (HKDF-SHA256 with a random salt
that travels with the payload) and takes another after 2^24 payloads. However many there are, no key sees too many.
"""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache

from jobqueue.codecs.codec import bound_to
from jobqueue.codecs.keyring import Keyring
from jobqueue.errors import BadSignature, MissingExtra

_PREFIX = b'{"encrypted":'
_LAYOUT = re.compile(rb'\{"encrypted":"1","key":"([a-z0-9._-]{1,100})","data":"([A-Za-z0-9_=-]+)"\}')
_SALT = 16
_PAYLOADS_A_KEY = 2**24
_DERIVED_KEYS_HELD = 1024


class Encrypted:
    """Encrypts what jobs carry, and refuses what was not encrypted with one of ``keys``.

        codec = Encrypted(keys={"2026-11": new, "2026-05": old}, current="2026-11")
        backend = await connect(url, codec=codec)

    ``keys`` are 32 random bytes each, by name; ``current`` is the one that encrypts, all of them decrypt.
    ``accept_plain`` takes what is not encrypted at all as it is, for the time in which encryption is introduced: until
    it is turned off nobody who can write is kept out. Costs about 5 µs a payload, which
    grows by a third and 120 bytes. Raises ConfigurationError, and MissingExtra without ``jobqueue[encryption]``.
    """

    def __init__(self, *, keys: Mapping[str, bytes], current: str, accept_plain: bool = False) -> None:
        try:
            from jobqueue.codecs.aes import Cipher  # noqa: PLC0415  (an extra, wanted only here)
        except ImportError as error:
            raise MissingExtra("Encrypted needs the extra: pip install 'jobqueue[encryption]'") from error
        ring = self._keys = Keyring(keys, current, exact=True)
        self._accept_plain = accept_plain
        self._head = b'{"encrypted":"1","key":"%b","data":"' % current.encode()

        @lru_cache(maxsize=_DERIVED_KEYS_HELD)
        def cipher(name: str, salt: bytes) -> Cipher:
            return Cipher(ring[name], salt)

        self._cipher = cipher
        self._salt = b""
        self._left = 0

    @property
    def hides(self) -> bool:
        """True: what is encrypted cannot be read."""
        return True

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        """See :class:`~jobqueue.codecs.codec.Codec`."""
        if self._left <= 0:
            self._salt, self._left = os.urandom(_SALT), _PAYLOADS_A_KEY
        self._left -= 1
        salt, name = self._salt, self._keys.current
        ciphertext = self._cipher(name, salt).encrypt(plain, _associated(name, bound))
        return b'%b%b"}' % (self._head, urlsafe_b64encode(salt + ciphertext))

    def open(self, stored: bytes, bound: bytes) -> bytes | None:
        """See :class:`~jobqueue.codecs.codec.Codec`."""
        if not stored.startswith(_PREFIX):
            if self._accept_plain:
                return None
            raise BadSignature(
                "is not encrypted: somebody without a key wrote it, or it was written before encryption was turned on "
                "(accept_plain=True takes such jobs for a time)"
            )
        found = _LAYOUT.fullmatch(stored)
        if found is None:
            raise BadSignature("is encrypted in a form that this version does not know")
        name = found[1].decode()
        if name not in self._keys:
            raise BadSignature(f"is encrypted with the key {name!r}, which this process does not have")
        try:
            whole = urlsafe_b64decode(found[2])
        except ValueError:
            whole = b""
        plain = self._cipher(name, whole[:_SALT]).decrypt(whole[_SALT:], _associated(name, bound))
        if plain is None:
            raise BadSignature("cannot be decrypted: it was changed, or belongs to another job, type or queue")
        return plain

    def __repr__(self) -> str:
        return f"Encrypted({self._keys!r})"


def _associated(name: str, bound: bytes) -> bytes:
    return bound_to(b"jobqueue encrypted 1", name.encode(), bound)
