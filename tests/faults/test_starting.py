"""F18: a program is started on a server that is not fit for jobs. It is refused or warned, in time, and by name."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from jobqueue import BackendUnavailable, Queue, connect
from tests.faults.old_server import old_server
from tests.faults.parts import ROOT
from tests.servers import server, valkey_binary

pytestmark = pytest.mark.timeout(120)

MOST_SECONDS = 5.0
SOUND = ("--appendonly", "yes")


@dataclass(frozen=True, slots=True)
class Start:
    """What came of it. ``refusal`` is empty where the worker started."""

    refusal: str
    seconds: float
    told: dict[str, str]
    """The settings that were named, and how loudly."""


async def _start(url: str) -> Start:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.starting_process", url, cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, written = await process.communicate()
    *lines, end = (json.loads(line) for line in written.decode().splitlines())
    assert process.returncode == (1 if end["refusal"] else 0)
    told = {line["setting"]: line["level"] for line in lines if line["event"] == "backend.risk"}
    return Start(end["refusal"], end["seconds"], told)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((*SOUND, "--maxmemory-policy", "allkeys-lru"), {"maxmemory-policy allkeys-lru": "INFO"}),
        (
            (*SOUND, "--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"),
            {"maxmemory-policy allkeys-lru": "WARNING"},
        ),
        ((), {"appendonly no": "INFO"}),
        (SOUND, {}),
    ],
    ids=["eviction, no limit yet", "eviction", "no persistence", "sound"],
)
async def test_a_risk_is_named_and_the_worker_starts(options: Sequence[str], told: dict[str, str]) -> None:
    with server(valkey_binary(), options=options) as url:
        start = await _start(url)
    assert (start.refusal, start.told) == ("", told)
    assert start.seconds <= MOST_SECONDS


async def test_a_read_only_replica_is_named_and_takes_no_jobs() -> None:
    """It is not refused: it may be promoted while the program runs, and then the worker goes on."""
    options = (*SOUND, "--replicaof", "127.0.0.1 1")
    with server(valkey_binary(), options=options) as url:
        start = await _start(url)
        assert start.refusal == ""
        assert start.told == {"replica": "WARNING"}
        async with connect(url, fallback="never", deadline=0.3) as backend:
            with pytest.raises(BackendUnavailable, match="READONLY"):
                await Queue("starting", backend=backend).enqueue("any", 1)
    assert start.seconds <= MOST_SECONDS


async def test_a_wrong_password_is_refused() -> None:
    options = (*SOUND, "--requirepass", "right")
    with server(valkey_binary(), options=options, access=":right@") as url:
        start = await _start(url.replace("right", "wr0ng"))
        assert start.refusal.startswith("AccessDenied: ")
        assert "password" in start.refusal
        assert "wr0ng" not in start.refusal
        assert (await _start(url)).refusal == ""
    assert start.seconds <= MOST_SECONDS


@pytest.mark.parametrize(
    ("query", "refusal"),
    [("", "WrongServer: the server is too old"), ("?protocol=2", "ConfigurationError: Redis 5.0.14")],
    ids=["greeted", "asked for its version"],
)
async def test_a_server_that_is_too_old_is_refused(query: str, refusal: str) -> None:
    async with old_server() as url:
        start = await _start(url + query)
    assert start.refusal.startswith(refusal)
    assert "6.2" in start.refusal
    assert start.seconds <= MOST_SECONDS
