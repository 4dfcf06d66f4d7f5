"""Signed: HMAC-SHA256 over what a job carries and where it belongs. Readable by all, written by holders of a key."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping

from jobqueue.codecs.codec import bound_to
from jobqueue.codecs.keyring import Keyring
from jobqueue.errors import BadSignature

_PREFIX = b'{"signed":'
_LAYOUT = re.compile(rb'\{"signed":"1","key":"([a-z0-9._-]{1,100})","mac":"([A-Za-z0-9_-]{43})","data":')


class Signed:
    """Signs what jobs carry, and refuses what was not signed with one of ``keys``.

        codec = Signed(keys={"2026-11": new, "2026-05": old}, current="2026-11")
        backend = await connect(url, codec=codec)

    ``keys`` are at least 32 random bytes each, by name; ``current`` is the one that signs, all of them verify.
    ``accept_plain`` takes what is not signed at all as it is, for the time in which signing is introduced: until it
    is turned off nothing is protected. Costs about 5 µs and 100 bytes a payload. Raises ConfigurationError.
    """

    def __init__(self, *, keys: Mapping[str, bytes], current: str, accept_plain: bool = False) -> None:
        self._keys = Keyring(keys, current, exact=False)
        self._accept_plain = accept_plain
        self._contexts = {name: bound_to(b"jobqueue signed 1", name.encode()) for name in keys}
        self._head = b'{"signed":"1","key":"%b","mac":"' % current.encode()

    @property
    def hides(self) -> bool:
        """False: what is signed can be read."""
        return False

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        """See :class:`~jobqueue.codecs.codec.Codec`."""
        mac = self._mac(self._keys.current, plain, bound)
        return b'%b%b","data":%b}' % (self._head, mac, plain)

    def open(self, stored: bytes, bound: bytes) -> bytes | None:
        """See :class:`~jobqueue.codecs.codec.Codec`."""
        if not stored.startswith(_PREFIX):
            if self._accept_plain:
                return None
            raise BadSignature(
                "is not signed: somebody without a key wrote it, or it was written before signing was turned on "
                "(accept_plain=True takes such jobs for a time)"
            )
        found = _LAYOUT.match(stored)
        if found is None or not stored.endswith(b"}"):
            raise BadSignature("has a signature of a form that this version does not know")
        name = found[1].decode()
        plain = stored[found.end() : -1]
        if name not in self._keys:
            raise BadSignature(f"is signed with the key {name!r}, which this process does not have")
        if not hmac.compare_digest(self._mac(name, plain, bound), found[2]):
            raise BadSignature("has a wrong signature: it was changed, or belongs to another job, type or queue")
        return plain

    def _mac(self, name: str, plain: bytes, bound: bytes) -> bytes:
        message = b"%b%d:%b,%b" % (self._contexts[name], len(bound), bound, plain)
        digest = hmac.digest(self._keys[name], message, "sha256")
        return urlsafe_b64encode(digest)[:43]

    def __repr__(self) -> str:
        return f"Signed({self._keys!r})"
