"""A contestant's running program: started, asked over its standard input and output, ended."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from benchmarks import board
from benchmarks.environments import ROOT
from benchmarks.protocol import Reply, Request
from benchmarks.roster import Entry

_PATIENCE = {"fill": 300.0}
_USUAL_PATIENCE = 90.0


class ContestantFailed(Exception):
    """It broke, or did not answer."""


class Unsupported(Exception):
    """It has no such ability; says why."""


class Program:
    """One contestant. ``ask`` is a blocking call, because nothing else may run while a contestant is measured."""

    def __init__(self, entry: Entry, command: list[str], *, url: str, direct_url: str) -> None:
        self.entry = entry
        self._command = command
        self._url, self._direct_url = url, direct_url
        self._next_number = 0
        self.spent = False
        """It gave its figures, but does not come to rest: the next trial takes a new one."""

    def __enter__(self) -> Program:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-board-")
        path = str(Path(self._folder.name) / "board")
        board.create(path)
        self._log: IO[bytes] = tempfile.TemporaryFile()
        environment = {
            **os.environ,
            "BENCH_URL": self._url,
            "BENCH_DIRECT_URL": self._direct_url,
            board.VARIABLE: path,
            "PYTHONPATH": str(ROOT),
            "NODE_ENV": "production",
        }
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # The worker processes that a broken contestant left behind would take the jobs of the next trials.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.stdout.close()
        self._log.close()
        self._folder.cleanup()

    def numbers(self, count: int) -> int:
        """The first of ``count`` job numbers that this program has not used yet."""
        first = self._next_number
        self._next_number += count
        if self._next_number > board.CAPACITY:
            raise ContestantFailed("out of job numbers; start a new program")
        return first

    @property
    def used_up(self) -> bool:
        """Whether the next trial, which may want a million job numbers, should have a new program."""
        return self.spent or self._next_number > board.CAPACITY // 4

    @property
    def peak_resident_bytes(self) -> int:
        """The most resident memory that the program's process has had (Linux)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def twin(self) -> Program:
        """Another program of the same contestant, not yet started."""
        return Program(self.entry, self._command, url=self._url, direct_url=self._direct_url)

    def ask(self, measure: str, **params: Any) -> dict[str, Any]:
        """One request. Raises Unsupported or ContestantFailed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(Request(measure, params).line().encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ContestantFailed(self._last_words()) from None
        reply = Reply.parse(self._line(_PATIENCE.get(measure, _USUAL_PATIENCE)))
        if reply.unsupported is not None:
            raise Unsupported(reply.unsupported)
        if reply.error is not None:
            raise ContestantFailed(reply.error)
        assert reply.result is not None
        return reply.result

    def _line(self, patience: float) -> str:
        assert self._process.stdout is not None
        deadline = time.monotonic() + patience
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(deadline - time.monotonic()):
                raise ContestantFailed(f"no answer within {patience:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise ContestantFailed(self._last_words())
        return line.decode()

    def _last_words(self) -> str:
        self._log.seek(0)
        return "it ended: " + self._log.read()[-600:].decode(errors="replace").strip()
