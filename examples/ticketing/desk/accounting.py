"""An accounting system, as somebody else may have written it: it takes webhooks, believes none that is not signed, and
books each invoice once.

``python -m examples.ticketing.desk.accounting --log FILE [--port 8026]``, with the secret in ``ACCOUNTING_SECRET``

``POST /hooks``: 204 booked, or known already; 401 if the desk did not say so; 503 in its bad moments. Every call leaves
a line in the log.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path

import uvicorn
from pydantic import BaseModel
from standardwebhooks.webhooks import Webhook as Verifier, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from examples.ticketing.desk.child_process import announce, end_with_parent
from examples.ticketing.desk.loopback_server import configuration, loopback_socket, port_of

SECRET = "ACCOUNTING_SECRET"  # noqa: S105 - where it is, not what it is
BAD_MOMENTS = 0.1


class InvoiceLine(BaseModel):
    """What this system reads of a line; it knows nothing of the desk's code."""

    amount: Decimal


class Invoice(BaseModel):
    """What it reads of an invoice."""

    number: str
    lines: list[InvoiceLine]


class InvoiceNews(BaseModel):
    """What it reads of a job that has completed."""

    result: Invoice


class Call(StrEnum):
    """What became of one call."""

    BOOKED = "booked"
    KNOWN = "known"
    BAD_MOMENT = "bad moment"
    FORGED = "forged"


@dataclass(frozen=True, slots=True)
class Booking:
    """One line of the log. Of a forged call nothing is believed, and so nothing is written down."""

    call: Call
    webhook_id: str = ""
    invoice: str = ""
    total: str = ""


class Accounts:
    """Books each invoice once, whatever is repeated."""

    def __init__(self, log: Path, secret: str) -> None:
        self._log = log.open("a", buffering=1, encoding="utf-8")
        self._verifier = Verifier(secret)
        self._booked: set[str] = set()
        self._turned_away: set[str] = set()

    def close(self) -> None:
        self._log.close()

    def take(self, body: bytes, headers: Mapping[str, str]) -> Booking:
        booking = self._booking(body, headers)
        self._log.write(json.dumps(asdict(booking)) + "\n")
        return booking

    def _booking(self, body: bytes, headers: Mapping[str, str]) -> Booking:
        try:
            event = self._verifier.verify(body, dict(headers))
        except WebhookVerificationError:
            return Booking(Call.FORGED)
        id_ = headers["webhook-id"]
        if id_ in self._booked:
            return Booking(Call.KNOWN, id_)
        if _is_bad_moment(id_) and id_ not in self._turned_away:
            self._turned_away.add(id_)
            return Booking(Call.BAD_MOMENT, id_)
        invoice = InvoiceNews.model_validate(event["data"]).result
        self._booked.add(id_)
        return Booking(Call.BOOKED, id_, invoice.number, str(sum(line.amount for line in invoice.lines)))


def _is_bad_moment(id_: str) -> bool:
    return int.from_bytes(blake2b(id_.encode(), digest_size=8).digest()) / 2**64 < BAD_MOMENTS


def read_bookings(log: Path) -> Iterator[Booking]:
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            fields = json.loads(line)
            yield Booking(**fields | {"call": Call(fields["call"])})


def create_app(accounts: Accounts) -> Starlette:
    answers = {Call.BOOKED: 204, Call.KNOWN: 204, Call.BAD_MOMENT: 503, Call.FORGED: 401}

    async def hooks(request: Request) -> Response:
        booking = accounts.take(await request.body(), request.headers)
        return Response(status_code=answers[booking.call])

    return Starlette(routes=[Route("/hooks", hooks, methods=["POST"])])


def main() -> None:
    parser = argparse.ArgumentParser(description="An accounting system that takes signed webhooks.")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--attached", action="store_true", help="end with the parent process")
    options = parser.parse_args()
    if options.attached:
        end_with_parent()
    accounts = Accounts(options.log, os.environ[SECRET])
    listener = loopback_socket(options.port)
    announce(f"http://127.0.0.1:{port_of(listener)}/hooks")
    uvicorn.Server(configuration(create_app(accounts))).run(sockets=[listener])
    accounts.close()


if __name__ == "__main__":
    main()
