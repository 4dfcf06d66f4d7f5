"""Why a connection failed, read from the chain of errors beneath: redis-py turns nearly everything into its
ConnectionError, and most of it is worth another try. What is not must be told apart, because a program that falls back
to memory when its server cannot be reached must not do so when the server cannot be trusted.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

from redis.exceptions import ConnectionError as RedisConnectionError, ResponseError

_ASKED_FOR_A_CERTIFICATE = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "CERTIFICATE_EXPIRED")
_NO_COMMON_LANGUAGE = (
    "WRONG_VERSION_NUMBER",
    "UNSUPPORTED_PROTOCOL",
    "PROTOCOL_VERSION",
    "HANDSHAKE_FAILURE",
    "RECORD",
)

_NO_GREETING = re.compile(r"unknown command .?HELLO\b")


class UnknownService(RedisConnectionError):
    """Sentinels answered, and none of them watches a service of that name."""


def untrusted(error: BaseException) -> str | None:
    """What to do about a server that is not the one the URL describes; None where that is not the reason."""
    for cause in _chain(error):
        if isinstance(cause, ResponseError) and _NO_GREETING.search(str(cause)):
            return "the server is too old: use Redis 6.2 or newer, or Valkey"
        if isinstance(cause, UnknownService):
            return f"{cause}: correct the name after the hosts in the URL"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the server's certificate was not accepted ({cause.verify_message}): name the authority that signed "
                "it with ?ssl_ca_certs=FILE, and connect under a host name that the certificate holds"
            )
        if isinstance(cause, ssl.SSLError) and _is(cause, _NO_COMMON_LANGUAGE):
            return (
                f"the server and this client have no TLS in common ({cause.reason}): use redis:// for a server without "
                "TLS, or look at ssl_min_version and ssl_ciphers"
            )
    return None


def shut_out(error: BaseException) -> str | None:
    """What to do about a server that refuses this client's certificate, or its lack of one."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or "") and _is(cause, _ASKED_FOR_A_CERTIFICATE):
            return (
                f"the server wants another client certificate ({cause.reason}): give one that it accepts with "
                "?ssl_certfile=FILE&ssl_keyfile=FILE"
            )
    return None


def is_explained(error: BaseException) -> bool:
    """Whether it says what a person must put right, so that another try is in vain."""
    return shut_out(error) is not None or untrusted(error) is not None


def nobody_listens(error: BaseException) -> bool:
    """Whether there is nothing at the address: not even something that is busy, or on its way up."""
    nothing = (ConnectionRefusedError, FileNotFoundError)
    return any(isinstance(cause, nothing) for cause in _chain(error, told_apart=True))


def _is(error: ssl.SSLError, reasons: tuple[str, ...]) -> bool:
    return any(reason in (error.reason or "") for reason in reasons)


def _chain(error: BaseException, *, told_apart: bool = False) -> Iterator[BaseException]:
    """The error and what it was raised for; ``told_apart``: not beyond a ``raise … from None``."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        yield link
        seen.add(id(link))
        hidden = told_apart and link.__suppress_context__
        link = link.__cause__ or (None if hidden else link.__context__)
