"""An SMS gateway as they are: it has bad moments, loses replies, and some numbers do not work until somebody
mends them.

``python -m examples.ticketing.desk.sms_gateway --log FILE [--port 8025] [--seed 7]``

* ``POST /messages`` with ``{"to", "text"}`` and an ``Idempotency-Key``: 202 accepted, 200 for a key accepted
  before, 503 refused.
* ``POST /repair``: from now on everything works.

Every call leaves a line in the log, which is only ever added to. What befalls a message is decided by the
seed, the key and the number of the call, not by chance or by the order of arrival: the same seed gives the
same trouble.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path

import uvicorn
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.ticketing.desk.child_process import announce, end_with_parent
from examples.ticketing.desk.loopback_server import configuration, loopback_socket, port_of


class TextMessage(BaseModel):
    """What a caller wants sent."""

    to: str
    text: str


class Verdict(StrEnum):
    """What became of one call."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class GatewayCall:
    """One line of the log. ``call`` counts the calls with this key; ``reply_lost`` says that the caller was
    not told."""

    key: str
    to: str
    attempt: int
    call: int
    verdict: Verdict
    reply_lost: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """How bad the gateway is, as shares of one.

    ``shaky``: of first and of second calls that are refused; a third gets through. ``broken``: of phone
    numbers for which every call is refused until the repair. ``lost_replies``: of first calls that are
    accepted while the caller hears of an error.
    """

    seed: int = 7
    shaky: float = 0.1
    broken: float = 0.02
    lost_replies: float = 0.02

    def number_is_broken(self, phone: str) -> bool:
        return self._lot("number", phone) < self.broken

    def call_is_refused(self, key: str, call: int) -> bool:
        return call <= 2 and self._lot("call", f"{key}/{call}") < self.shaky

    def reply_is_lost(self, key: str, call: int) -> bool:
        return call == 1 and self._lot("reply", key) < self.lost_replies

    def _lot(self, kind: str, subject: str) -> float:
        """A number from 0 to 1, the same each time for the same subject."""
        digest = blake2b(f"{self.seed}/{kind}/{subject}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64


class Gateway:
    """Takes each message once, in its good moments."""

    def __init__(self, log: Path, trouble: Trouble) -> None:
        # Line-buffered: whoever reads the log while we run sees whole lines.
        self._log = log.open("a", buffering=1, encoding="utf-8")
        self._trouble = trouble
        self._repaired = False
        self._calls: Counter[str] = Counter()
        self._accepted: set[str] = set()

    def repair(self) -> None:
        self._repaired = True

    def close(self) -> None:
        self._log.close()

    def take(self, key: str, phone: str, attempt: int) -> GatewayCall:
        self._calls[key] += 1
        number = self._calls[key]
        verdict = self._verdict(key, phone, number)
        lost = verdict is Verdict.ACCEPTED and not self._repaired and self._trouble.reply_is_lost(key, number)
        call = GatewayCall(key, phone, attempt, number, verdict, reply_lost=lost)
        if verdict is Verdict.ACCEPTED:
            self._accepted.add(key)
        self._log.write(json.dumps(asdict(call)) + "\n")
        return call

    def _verdict(self, key: str, phone: str, call: int) -> Verdict:
        if key in self._accepted:
            return Verdict.REPEATED
        if self._repaired:
            return Verdict.ACCEPTED
        if self._trouble.number_is_broken(phone) or self._trouble.call_is_refused(key, call):
            return Verdict.REFUSED
        return Verdict.ACCEPTED


def read_calls(log: Path) -> Iterator[GatewayCall]:
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            fields = json.loads(line)
            yield GatewayCall(**fields | {"verdict": Verdict(fields["verdict"])})


def create_app(gateway: Gateway) -> Starlette:
    async def messages(request: Request) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        try:
            message = TextMessage.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"error": str(error)}, 400)
        if not key:
            return JSONResponse({"error": "an Idempotency-Key is needed"}, 400)
        call = gateway.take(key, message.to, int(request.headers.get("X-Attempt", "0")))
        if call.reply_lost:
            return JSONResponse({"error": "gateway time-out"}, 504)
        match call.verdict:
            case Verdict.ACCEPTED:
                return JSONResponse({"accepted": key}, 202)
            case Verdict.REPEATED:
                return JSONResponse({"accepted": key, "repeated": True}, 200)
            case Verdict.REFUSED:
                return JSONResponse({"error": "try again later"}, 503)

    async def repair(_: Request) -> Response:
        gateway.repair()
        return JSONResponse({"repaired": True})

    return Starlette(
        routes=[Route("/messages", messages, methods=["POST"]), Route("/repair", repair, methods=["POST"])]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="An SMS gateway with seeded trouble.")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--attached", action="store_true", help="end with the parent process")
    options = parser.parse_args()
    if options.attached:
        end_with_parent()
    gateway = Gateway(options.log, Trouble(options.seed))
    listener = loopback_socket(options.port)
    announce(f"http://127.0.0.1:{port_of(listener)}")
    uvicorn.Server(configuration(create_app(gateway))).run(sockets=[listener])
    gateway.close()


if __name__ == "__main__":
    main()
