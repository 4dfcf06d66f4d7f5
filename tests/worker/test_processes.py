"""Other processes: processors in children, signals, an embedded server that several share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from jobqueue import ConfigurationError, JobFailed, JobState, Queue, Worker, connect
from jobqueue.backends import MemoryBackend
from tests.worker.child_jobs import REGISTRY


async def test_a_child_process_runs_the_job() -> None:
    queue = Queue("tickets", backend=MemoryBackend())
    async with Worker(queue, registry=REGISTRY):
        job = await queue.enqueue("where", 1)
        pid, number = await job.result(timeout=30)
    assert pid != os.getpid()
    assert number == 2
    assert [(line.message, line.fields) for line in await job.logs()] == [("counted", {"pid": pid})]


async def test_a_child_s_error_says_what_should_happen() -> None:
    queue = Queue("tickets", backend=MemoryBackend())
    async with Worker(queue, registry=REGISTRY):
        job = await queue.enqueue("hopeless", 7)
        with pytest.raises(JobFailed, match="not even with 7"):
            await job.result(timeout=30)
    await job.refresh()
    assert job.attempt == 1


async def test_a_child_that_is_killed_is_said_to_be() -> None:
    queue = Queue("tickets", backend=MemoryBackend())
    async with Worker(queue, registry=REGISTRY):
        job = await queue.enqueue("dying", 1)
        with pytest.raises(JobFailed, match=r"BrokenWorkerProcess: .*out of memory"):
            await job.result(timeout=30)


async def test_a_timeout_kills_the_child(tmp_path: Path) -> None:
    queue = Queue("tickets", backend=MemoryBackend())
    mark = tmp_path / "pid"
    async with Worker(queue, registry=REGISTRY):
        # Where the machine is busy, the shorter ones are over before the child has begun.
        for seconds in (3, 12, 48):
            job = await queue.enqueue("endless", str(mark), timeout=seconds)
            with pytest.raises(JobFailed, match="JobTimeout"):
                await job.result(timeout=seconds + 30)
            if mark.exists():
                break
    pid = int(mark.read_text())
    with anyio.fail_after(10):
        while _alive(pid):  # noqa: ASYNC110  (another process tells nobody when it ends)
            await anyio.sleep(0.02)


async def test_a_job_that_exits_takes_no_child_with_it() -> None:
    queue = Queue("tickets", backend=MemoryBackend())
    async with Worker(queue, registry=REGISTRY, concurrency=1):
        job = await queue.enqueue("leaving", 7)
        with pytest.raises(JobFailed, match="SystemExit: 7"):
            await job.result(timeout=30)
        job = await queue.enqueue("where", 1)
        assert (await job.result(timeout=30))[1] == 2


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


_PROGRAM = """
import asyncio, sys
from jobqueue import Job, Queue, Worker, connect, processor

@processor("long")
async def long(job: Job) -> None:
    print("running", flush=True)
    await asyncio.sleep(60)

async def main() -> None:
    async with connect(sys.argv[1], fallback="never") as backend:
        await Worker(Queue("tickets", backend=backend), grace=0.1).run()

asyncio.run(main())
"""


async def test_sigterm_hands_the_job_back(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path / 'jobs'}"
    async with connect(url, fallback="never") as backend:
        queue = Queue("tickets", backend=backend)
        job = await queue.enqueue("long")
        command = [sys.executable, "-c", _PROGRAM, url]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
        try:
            assert child.stdout is not None
            assert await anyio.to_thread.run_sync(child.stdout.readline) == "running\n"
            child.send_signal(signal.SIGTERM)
            assert await anyio.to_thread.run_sync(lambda: child.wait(20)) == 0
        finally:
            child.kill()
            child.communicate()
        await job.refresh()
        assert (job.state, job.attempt) == (JobState.WAITING, 0)


async def test_an_embedded_server_keeps_its_jobs_and_ends_with_its_last_user(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    url = f"embedded://{folder}"
    async with connect(url, fallback="never") as one:
        async with connect(url, fallback="never") as other:
            await Queue("tickets", backend=other).enqueue("n", 1, job_id="kept")
        assert await Queue("tickets", backend=one).get("kept") is not None, "it serves on while someone uses it"
    assert not (folder / "valkey.sock").exists()
    async with connect(url, fallback="never") as again:
        assert await Queue("tickets", backend=again).get("kept") is not None


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be made"):
        await connect(f"embedded://{tmp_path / 'file' / 'jobs'}", fallback="never")
