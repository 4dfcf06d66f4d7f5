"""Serves an ASGI application with uvicorn on a port of 127.0.0.1."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp


def loopback_socket(port: int = 0) -> socket.socket:
    """A listening socket; port 0 is any free one. Callers queue up in it, so it may be announced before it is
    served."""
    return socket.create_server(("127.0.0.1", port), backlog=1024)


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def configuration(app: ASGIApp) -> uvicorn.Config:
    # Clients let go of idle connections after five seconds: a server that does so at that moment breaks a request.
    return uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=5, timeout_keep_alive=60
    )


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncGenerator[str]:
    """``app``, served by the running event loop on a free port; yields its URL."""
    listener = loopback_socket()
    server = _Guest(configuration(app))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{port_of(listener)}"
    finally:
        server.should_exit = True
        await task
        listener.close()


class _Guest(uvicorn.Server):
    """A server in somebody else's process, where signals are the host's business."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
