"""A codec as the environment describes it: keys by name in base64, the current one first."""

from __future__ import annotations

import binascii
from base64 import b64decode
from functools import partial

from jobqueue.codecs.codec import Codec
from jobqueue.codecs.encrypted import Encrypted
from jobqueue.codecs.signed import Signed
from jobqueue.errors import ConfigurationError

SIGNING = "JOBQUEUE_SIGNING_KEYS"
ENCRYPTION = "JOBQUEUE_ENCRYPTION_KEYS"


def configured_codec(signing: str, encryption: str, *, accept_plain: bool) -> Codec | None:
    """The codec for what ``JOBQUEUE_SIGNING_KEYS`` or ``JOBQUEUE_ENCRYPTION_KEYS`` holds; None where both are empty.

    Raises ConfigurationError, which names the variable and never its value, and MissingExtra.
    """
    if signing and encryption:
        raise ConfigurationError(
            f"{SIGNING} and {ENCRYPTION} are both set: encryption signs too, so leave {SIGNING} out"
        )
    if not signing and not encryption:
        return None
    variable, text, kind = (SIGNING, signing, Signed) if signing else (ENCRYPTION, encryption, Encrypted)
    make = partial(kind, accept_plain=accept_plain)
    keys: dict[str, bytes] = {}
    for entry in text.split(","):
        name, colon, key = entry.strip().partition(":")
        if not colon or name in keys:
            raise ConfigurationError(f'{variable} must be "name:key,older:key", each name once and each key in base64')
        try:
            keys[name] = b64decode(key, validate=True)
        except binascii.Error:
            raise ConfigurationError(f"{variable} holds a key that is not base64") from None
    try:
        return make(keys=keys, current=next(iter(keys)))
    except ConfigurationError as error:
        raise type(error)(f"{variable}: {error}") from None
