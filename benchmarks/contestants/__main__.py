"""Runs one contestant: ``python -m benchmarks.contestants MODULE VARIANT [--work CONCURRENCY]``.

1. Standard output is kept for the protocol; whatever the library prints goes to standard error.
2. One request a line is read from standard input and answered by one line, until the input ends.
3. With ``--work`` it runs a worker instead, says ``ready`` and waits for SIGTERM.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TextIO

from benchmarks.contestants.contract import Contestant
from benchmarks.contestants.session import Session
from benchmarks.protocol import Reply, Request


async def answer(contestant: Contestant, answers: TextIO, context: Context) -> None:
    """Serve requests until standard input ends."""
    await contestant.open()
    session = Session(contestant, os.environ["BENCH_DIRECT_URL"], context)
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            request = Request.parse(line)
            try:
                reply = await session.carry_out(request)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a rival's trouble is a line in the report
                traceback.print_exc()
                reply = Reply(error=f"{type(error).__name__}: {error}")
            answers.write(reply.line())
            answers.flush()
    finally:
        await session.rest()


async def work(contestant: Contestant, answers: TextIO, concurrency: int) -> None:
    """Run a worker until SIGTERM."""
    stopping = asyncio.Event()
    await contestant.open()
    await contestant.start(concurrency)
    # After the library's own start, because some libraries put handlers of their own in place of this one.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    answers.write("ready\n")
    answers.flush()
    await stopping.wait()
    await contestant.stop()
    await contestant.close()


def loop_factory(kind: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop that this contestant is documented to run best on."""
    if kind != "uvloop":
        return None
    return importlib.import_module("uvloop").new_event_loop  # type: ignore[no-any-return]


def main(words: list[str]) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # The same for every contestant: nothing is logged, not even the failures that a measure asks for.
    logging.disable(logging.CRITICAL)
    module, variant = words[:2]
    contestant: Contestant = importlib.import_module(module).CONTESTANT(os.environ["BENCH_URL"], variant)
    context = copy_context()
    task: Coroutine[Any, Any, None] = answer(contestant, answers, context)
    if "--work" in words:
        task.close()
        task = work(contestant, answers, int(words[-1]))
    kind = "uvloop" if variant == "uvloop" else contestant.loop
    with asyncio.Runner(loop_factory=loop_factory(kind)) as runner:
        runner.run(task, context=context)
    # Daemon threads of a blocking library must not keep a finished program alive.
    answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
