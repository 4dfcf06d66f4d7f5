"""Processors for a child process: it imports this module, so they stand at its top."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from jobqueue import Job, Registry, Unrecoverable

REGISTRY = Registry()


@REGISTRY.processor("where", run_in="process")
def where(job: Job[int]) -> list[int]:
    job.log("counted", pid=os.getpid())
    return [os.getpid(), job.data + 1]


@REGISTRY.processor("hopeless", run_in="process")
def hopeless(job: Job[int]) -> None:
    raise Unrecoverable(f"not even with {job.data}")


@REGISTRY.processor("endless", run_in="process", retry=False)
def endless(job: Job[str]) -> None:
    Path(job.data).write_text(str(os.getpid()))
    while True:
        time.sleep(0.05)


@REGISTRY.processor("dying", run_in="process", retry=False)
def dying(job: Job[int]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@REGISTRY.processor("leaving", run_in="process", retry=False)
def leaving(job: Job[int]) -> None:
    sys.exit(job.data)
