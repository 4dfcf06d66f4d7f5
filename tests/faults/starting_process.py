"""A program that starts a worker on a server and stops it again: ``python -m tests.faults.starting_process URL``.

It logs to standard error as JSON; its last line says how it went and how long that took.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time

from jobqueue import JobQueueError, Queue, Registry, Worker, connect

_USUAL = set(vars(logging.makeLogRecord({})))


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        told = {name: value for name, value in vars(record).items() if name not in _USUAL}
        line = {"event": record.getMessage(), "level": record.levelname, **told}
        sys.stderr.write(json.dumps(line, default=str) + "\n")


async def main(url: str) -> None:
    """Start, or be refused."""
    async with connect(url, fallback="never") as backend, Worker(Queue("f18", backend=backend), registry=Registry()):
        pass


if __name__ == "__main__":
    logging.getLogger("jobqueue").addHandler(_Lines())
    logging.getLogger("jobqueue").setLevel(logging.INFO)
    began, refusal = time.monotonic(), ""
    try:
        asyncio.run(main(sys.argv[1]))
    except JobQueueError as error:
        refusal = f"{type(error).__name__}: {error}"
    sys.stderr.write(json.dumps({"event": "end", "refusal": refusal, "seconds": time.monotonic() - began}) + "\n")
    sys.exit(1 if refusal else 0)
