"""A child process of the demonstration: started, waited for until it is ready, and ended whatever happens.

1. ``python -m <module> <arguments>`` is started in a process group of its own, so that Ctrl-C reaches only
   the parent, which then ends its children in good order.
2. The child prints one line, ``ready <where>``, when it can be used; starting waits for that line.
3. At the end the child is asked to stop by SIGTERM, and killed if it has not stopped in time.
4. A child lives no longer than its parent: its standard input is a pipe from the parent, which closes when
   the parent is gone, be it by ``kill -9``; see :func:`end_with_parent`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
READY = "ready "


class ChildError(RuntimeError):
    """A child process ended before it was ready."""


@dataclass(frozen=True, slots=True)
class Child:
    """A child that is ready. ``where`` is what it said of itself: the address it listens on, if any."""

    name: str
    where: str
    process: asyncio.subprocess.Process

    @property
    def alive(self) -> bool:
        return self.process.returncode is None


@asynccontextmanager
async def child_process(
    module: str, *arguments: str, log: Path, settings: Mapping[str, str] | None = None, grace: float = 20
) -> AsyncGenerator[Child]:
    """A running ``python -m module arguments`` whose errors go to ``log``; ended on leaving, after ``grace``
    seconds by force."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            "--attached",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env=os.environ | dict(settings or {}),
            start_new_session=True,
        )
    try:
        yield Child(module.rpartition(".")[2], await _ready(process, module, log), process)
    finally:
        await _end(process, grace)


async def _ready(process: asyncio.subprocess.Process, module: str, log: Path) -> str:
    assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe
    async with asyncio.timeout(30):
        line = (await process.stdout.readline()).decode()
    if not line.startswith(READY):
        raise ChildError(f"{module} did not start; see {log}:\n{_end_of(log)}")
    return line.removeprefix(READY).strip()


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


async def _end(process: asyncio.subprocess.Process, grace: float) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(grace):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    except asyncio.CancelledError:
        # Cancelled once more while tidying up: no time left for manners.
        process.kill()
        raise


# The child's side.


def announce(where: str = "") -> None:
    """Tells the parent that this process can be used."""
    print(f"{READY}{where}", flush=True)


def end_with_parent() -> None:
    """From now on this process is told to stop (SIGTERM) as soon as its parent is gone."""
    threading.Thread(target=_watch_parent, name="end-with-parent", daemon=True).start()


def _watch_parent() -> None:
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
