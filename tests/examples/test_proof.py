"""Each proof holds for what is as it must be, and fails for what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from examples.ticketing.desk.accounting import Booking, Call
from examples.ticketing.desk.case import Case
from examples.ticketing.desk.generator import generate_requests
from examples.ticketing.desk.portfolio import Portfolio
from examples.ticketing.desk.proof import (
    events_stored,
    invoices_booked,
    invoices_follow,
    is_update,
    most_in_a_second,
    rate_kept,
    turns_taken,
    updates_settle,
)
from examples.ticketing.desk.smtp_server import StoredMail
from examples.ticketing.ledger import Entry, Mark
from examples.ticketing.mailer import message_id
from examples.ticketing.warehouse import Warehouse

CASE = Case(next(generate_requests(1, seed=1)))
APPROVED, COMPLETED, INVOICED = (f"{CASE.ticket.id}.{step}" for step in ("approved", "completed", "invoiced"))
INVOICE = StoredMail(message_id(f"{INVOICED}.landlord"), "ann@x.example", 1, f"Invoice: ${CASE.invoice.total}")
PORTFOLIO = Portfolio.made_up(seed=1)


def began(job_id: str, at: float, *, waited: float = 0.0) -> Entry:
    return Entry(Mark.BEGAN, job_id, "q", "t", attempt=1, at=at, started=at, waited=waited)


def done(job_id: str, at: float) -> Entry:
    return Entry(Mark.DONE, job_id, "q", "t", attempt=1, at=at)


@pytest.mark.parametrize(
    ("starts", "most"),
    [([], 0), ([5.0], 1), ([0.0, 0.5, 0.999], 3), ([0.0, 0.5, 1.0], 2), ([0.0, 0.9, 1.0, 1.8, 1.899, 1.9], 4)],
)
def test_a_second_is_wherever_it_holds_most(starts: list[float], most: int) -> None:
    assert most_in_a_second(starts) == most


def test_a_rate_is_kept_or_it_is_not() -> None:
    entries = [began(str(number), 10 + number / 10) for number in range(20)]
    assert rate_kept(entries, 10).holds
    assert not rate_kept(entries, 9).holds


def test_repeated_runs_count_against_the_rate_as_well() -> None:
    entries = [replace(began("same", 10.0), attempt=attempt) for attempt in (1, 2, 3)]
    assert not rate_kept(entries, 2).holds


@pytest.mark.parametrize(("small_ones_begin", "holds"), [(0.02, True), (400.0, False)])
def test_turns_are_taken_if_the_small_ones_come_before_the_rest(small_ones_begin: float, *, holds: bool) -> None:
    big = [began(step.job_id, at=float(number)) for number, step in enumerate(PORTFOLIO.big)]
    small = [began(step.job_id, at=small_ones_begin, waited=small_ones_begin - 0.01) for step in PORTFOLIO.small]
    assert turns_taken(big + small, PORTFOLIO).holds is holds


def test_an_invoice_comes_after_both() -> None:
    entries = [done(APPROVED, 1.0), done(COMPLETED, 2.0), began(INVOICED, 3.0)]
    assert invoices_follow(entries, [INVOICE], [CASE]).holds


def test_an_invoice_before_either_is_found_out() -> None:
    early = [done(APPROVED, 1.0), done(COMPLETED, 4.0), began(INVOICED, 3.0)]
    assert not invoices_follow(early, [INVOICE], [CASE]).holds
    assert not invoices_follow(early[::2], [INVOICE], [CASE]).holds, "or if one was never done"


def test_an_invoice_over_another_amount_is_found_out() -> None:
    entries = [done(APPROVED, 1.0), done(COMPLETED, 2.0), began(INVOICED, 3.0)]
    assert not invoices_follow(entries, [replace(INVOICE, subject="Invoice: $1.00")], [CASE]).holds


BOOKED = Booking(Call.BOOKED, "msg_1", CASE.invoice.number, str(CASE.invoice.total))
FORGED = Booking(Call.FORGED)


def test_an_invoice_is_booked_once_and_a_forgery_not_at_all() -> None:
    again = [Booking(Call.BAD_MOMENT, "msg_1"), BOOKED, Booking(Call.KNOWN, "msg_1"), FORGED]
    assert invoices_booked(again, [CASE]).holds


@pytest.mark.parametrize(
    "bookings",
    [
        [FORGED],
        [BOOKED, BOOKED, FORGED],
        [replace(BOOKED, total="1.00"), FORGED],
        [BOOKED, replace(BOOKED, invoice="INV-0"), FORGED],
        [BOOKED],
    ],
)
def test_books_that_do_not_tally_are_found_out(bookings: list[Booking]) -> None:
    assert not invoices_booked(bookings, [CASE]).holds


@pytest.mark.parametrize(
    ("steps", "holds"),
    [(["paid"], True), (["approved", "paid"], True), (["paid", "approved"], False), (["approved"], False), ([], False)],
)
def test_the_last_update_says_how_it_ended(steps: list[str], *, holds: bool) -> None:
    mails = [StoredMail("id", "ann@x.example", 1, f"Ticket {CASE.ticket.id} updated: {step}") for step in steps]
    assert updates_settle(mails, [CASE]).holds is holds


def test_only_updates_pass_for_updates() -> None:
    assert is_update(StoredMail("id", "ann@x.example", 1, "Ticket T-1 updated: paid"))
    assert not is_update(replace(INVOICE, subject="Ticket T-1 updated: paid, please see it"))
    assert not is_update(INVOICE)


def test_an_event_too_few_or_too_many_is_found_out(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse.sqlite3")
    assert events_stored(warehouse, []).holds
    assert not events_stored(warehouse, ["one"]).holds
