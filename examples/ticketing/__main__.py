"""``python -m examples.ticketing demo``"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from examples.ticketing.desk.demo import Demo
from examples.ticketing.desk.generator import generate_requests
from examples.ticketing.desk.requests_csv import RequestsCsv, UnreadableRequests
from examples.ticketing.desk.screen import Screen
from examples.ticketing.desk.service_request import ServiceRequest
from examples.ticketing.desk.stage import Plan


def main() -> int:
    options = _parser().parse_args()
    screen = Screen()
    try:
        requests = _requests(options, screen)
    except (OSError, UnreadableRequests) as error:
        screen.say(f"cannot read the requests: {error}")
        return 2
    # Slow enough to be felt, fast enough for nobody to wait for the text messages alone.
    sms_per_second = options.sms_per_second or max(60, len(requests) // 6)
    plan = Plan(options.backend, options.workers, options.seed, options.retry_delay, sms_per_second)
    try:
        with _folder(options.data) as folder:
            return 0 if asyncio.run(_run(Demo(plan, requests, screen), folder)) else 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.say("interrupted; everything that was started has been stopped")
        return 130


async def _run(demo: Demo, folder: Path) -> bool:
    """Takes SIGTERM for what Ctrl-C is, so that everything that was started is stopped in good order."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await demo.run(folder)


@contextmanager
def _folder(chosen: Path | None) -> Generator[Path]:
    """The folder that was asked for, which stays, or a temporary one."""
    if chosen is not None:
        folder = chosen.resolve() / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
        folder.mkdir(parents=True)
        yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="ticketing-") as name:
            yield Path(name)


def _requests(options: argparse.Namespace, screen: Screen) -> list[ServiceRequest]:
    if options.requests is None:
        return list(generate_requests(options.count or 300, options.seed))
    source = RequestsCsv(options.requests)
    requests = list(source)[: options.count]
    screen.say(f"{len(requests)} service requests read from {options.requests}")
    for oddity, times in source.oddities.most_common():
        screen.say(f"  put right: {oddity}, {times} times")
    return requests


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.ticketing", description=__doc__)
    demo = parser.add_subparsers(required=True).add_parser("demo", help="run it all on this machine")
    demo.add_argument("--requests", type=Path, metavar="FILE.csv", help="service requests in the MyLA311 format")
    demo.add_argument("--count", type=_positive, help="how many requests (300, or the whole file)")
    demo.add_argument("--backend", default="embedded", help="embedded (default), memory, or redis://…")
    demo.add_argument("--workers", type=_positive, default=3, help="worker processes (with memory: none but this one)")
    demo.add_argument("--seed", type=int, default=7, help="of the generated requests and the gateway's trouble")
    demo.add_argument("--retry-delay", type=float, default=2.0, help="seconds before a first retry")
    demo.add_argument(
        "--sms-per-second", type=_positive, help="what the gateway allows (60, or a sixth of the requests)"
    )
    demo.add_argument("--data", type=Path, help="where to keep mailbox, logs and database")
    return parser


if __name__ == "__main__":
    sys.exit(main())
