"""The accounting system believes only what is signed, books once what is repeated, and takes a second call."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from examples.ticketing.desk import accounting
from examples.ticketing.desk.accounting import Accounts, Booking, Call, read_bookings

SECRET = f"whsec_{b64encode(bytes(32)).decode()}"
BODY = json.dumps({"type": "job.completed", "data": {"result": {"number": "INV-1", "lines": [{"amount": "2.50"}] * 2}}})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "accounting.jsonl"


def told(accounts: Accounts, id_: str = "msg_1", *, secret: str = SECRET, body: str = BODY) -> Booking:
    now = datetime.now(UTC)
    signature = Webhook(secret).sign(id_, now, BODY)
    headers = {"webhook-id": id_, "webhook-timestamp": f"{int(now.timestamp())}", "webhook-signature": signature}
    return accounts.take(body.encode(), headers)


def test_what_is_repeated_is_booked_once(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "BAD_MOMENTS", 0.0)
    accounts = Accounts(log, SECRET)
    assert told(accounts) == Booking(Call.BOOKED, "msg_1", "INV-1", "5.00")
    assert told(accounts).call is Call.KNOWN
    accounts.close()
    assert [booking.call for booking in read_bookings(log)] == [Call.BOOKED, Call.KNOWN]


def test_after_a_bad_moment_the_repeat_is_booked(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "BAD_MOMENTS", 1.0)
    accounts = Accounts(log, SECRET)
    assert [told(accounts).call for _ in range(3)] == [Call.BAD_MOMENT, Call.BOOKED, Call.KNOWN]
    accounts.close()


def test_another_secret_is_not_believed(log: Path) -> None:
    accounts = Accounts(log, SECRET)
    assert told(accounts, secret=f"whsec_{b64encode(b'x' * 32).decode()}") == Booking(Call.FORGED)
    accounts.close()


def test_another_body_than_was_signed_is_not_believed(log: Path) -> None:
    accounts = Accounts(log, SECRET)
    assert told(accounts, body=BODY.replace("2.50", "9.99")) == Booking(Call.FORGED)
    assert accounts.take(b"{}", {}) == Booking(Call.FORGED)
    accounts.close()
