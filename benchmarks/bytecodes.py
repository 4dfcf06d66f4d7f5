"""What a no-op job costs a worker in bytecodes and calls, function by function: ``python -m benchmarks.bytecodes``.

Times on a shared machine swing by a third; how many steps the interpreter takes does not. So this shows what a change
adds to each job where a stopwatch cannot, also beside other work. It counts Python's steps only: what a call into C
costs is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from types import CodeType, FrameType
from typing import Any

from benchmarks.server import ServerProcess
from jobqueue import Job, NewJob, Queue, Registry, Worker, connect

_FOLDERS = ("/src/", "/site-packages/", "/lib/")


class Steps:
    """Counts what the interpreter does in this thread, by function, between ``begin`` and ``end``."""

    def __init__(self) -> None:
        self.bytecodes: Counter[CodeType] = Counter()
        self.calls: Counter[CodeType] = Counter()
        self._before: Any = None

    def begin(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._trace)

    def end(self) -> None:
        """Whoever traced before, a debugger or a coverage tool, goes on."""
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            self.calls[frame.f_code] += 1
        elif event == "opcode":
            self.bytecodes[frame.f_code] += 1
        return self._trace


async def count(url: str, jobs: int, concurrency: int) -> tuple[Steps, int]:
    """The steps of all jobs but the first fifth, and how many jobs that is."""
    steps, registry, over = Steps(), Registry(), asyncio.Event()
    done, first = 0, jobs // 5

    @registry.processor("nothing")
    async def nothing(_: Job[Any]) -> None:
        nonlocal done
        done += 1
        if done == first:
            steps.begin()
        elif done == jobs:
            steps.end()
            over.set()

    async with connect(url, fallback="never") as backend:
        queue = Queue("bytecodes", backend=backend)
        for start in range(0, jobs, 1000):
            numbers = range(start, min(start + 1000, jobs))
            await queue.enqueue_many([NewJob("nothing", {"number": number}) for number in numbers])
        async with Worker(queue, registry=registry, concurrency=concurrency):
            await over.wait()
    return steps, jobs - first


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bytecodes", description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000, help="how many (5000)")
    parser.add_argument("--concurrency", type=int, default=10, help="how many at once (10)")
    parser.add_argument("--top", type=int, default=25, help="how many functions are shown (25)")
    parser.add_argument(
        "--server", choices=("valkey", "redis"), default="valkey", help="which (valkey, from the wheel)"
    )
    given = parser.parse_args()
    with ServerProcess(given.server) as server:
        steps, jobs = asyncio.run(count(server.url, given.jobs, given.concurrency))
    print(f"{steps.bytecodes.total() / jobs:8.1f} bytecodes and {steps.calls.total() / jobs:.1f} calls a job")
    for code, bytecodes in steps.bytecodes.most_common(given.top):
        print(f"{bytecodes / jobs:8.1f} {steps.calls[code] / jobs:6.2f}  {_place(code)} {code.co_qualname}")


def _place(code: CodeType) -> str:
    path = code.co_filename
    for folder in _FOLDERS:
        path = path.rpartition(folder)[2]
    return path


if __name__ == "__main__":
    main()
