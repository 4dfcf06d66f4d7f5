"""Opening a connection, and where the server hangs up on it, hearing why."""

from __future__ import annotations

import asyncio
from typing import cast

from redis.asyncio.connection import AbstractConnection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError, RedisError

from jobqueue.backends.redis.causes import is_explained, nobody_listens

_LISTENING_SECONDS = 1.0


async def opened(connection: AbstractConnection) -> None:
    """Connect and introduce ourselves; the caller sets an end to it. Raises redis-py's errors, and OSError."""
    # With a time of its own for each command redis-py waits by asyncio.wait_for, which in Python 3.11 swallows a
    # cancellation that comes at the same moment as what it waits for (gh-86296): a caller that was cancelled goes on.
    connection.socket_timeout = None
    try:
        await connection.connect()
    except (RedisConnectionError, OSError) as error:
        if type(connection) is SSLConnection and (reason := await last_words(connection, error)):
            raise reason from error
        raise


async def last_words(connection: SSLConnection, error: BaseException) -> BaseException | None:
    """Why a server has hung up, where ``error`` does not tell and the server does. Takes up to a second.

    In TLS 1.3 a client has done its part of the handshake, and asks, before the server looks at its certificate
    (RFC 8446, figure 1). A server that refuses it hangs up on a question it has not read. That resets the connection,
    and on a busy machine the alert that says why is lost with it. Whoever asks nothing hears it.
    """
    if is_explained(error) or nobody_listens(error):
        return None
    try:
        async with asyncio.timeout(_LISTENING_SECONDS):
            await connection._connect()  # pyright: ignore[reportPrivateUsage]
            reader = cast("asyncio.StreamReader", connection._reader)  # pyright: ignore[reportPrivateUsage]
            await reader.read(1)
    except (RedisError, OSError, TimeoutError) as reason:
        return reason if is_explained(reason) else None
    finally:
        await connection.disconnect(nowait=True)
    return None
