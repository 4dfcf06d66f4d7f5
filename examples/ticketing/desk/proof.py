"""Proofs: what each feature is there for, held against what the workers and the world outside wrote down."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from examples.ticketing.desk.accounting import Booking, Call
from examples.ticketing.desk.case import Case
from examples.ticketing.desk.portfolio import OWNER, Portfolio
from examples.ticketing.desk.smtp_server import StoredMail
from examples.ticketing.events import Figures
from examples.ticketing.ledger import Entry, Mark
from examples.ticketing.mailer import job_id_of
from examples.ticketing.steps import InvoiceDue, PaymentReceived
from examples.ticketing.warehouse import Warehouse
from jobqueue import StoredSchedule

_UPDATE = re.compile(r"Ticket (?P<ticket>\S+) updated: (?P<step>[a-z]+)")


@dataclass(frozen=True, slots=True)
class Proof:
    """What was seen of a feature, in words for a newcomer, and whether it is as it must be."""

    feature: str
    seen: str
    holds: bool


def rate_kept(texts: Iterable[Entry], limit: int) -> Proof:
    """However a second is cut out of the day, no more than ``limit`` were given out in it, over all workers."""
    starts = sorted(entry.started for entry in texts if entry.mark is Mark.BEGAN)
    most = most_in_a_second(starts)
    return Proof(
        "rate limit",
        f"{len(starts)} text messages were begun, never more than {most} in any one second; the gateway allows {limit}",
        holds=most <= limit,
    )


def most_in_a_second(starts: Sequence[float]) -> int:
    """Of moments in ascending order: how many there are in the second that has the most, wherever it begins."""
    most = first = 0
    for last, moment in enumerate(starts):
        # In whole milliseconds, which is what the server counts in.
        while round(moment * 1000) - round(starts[first] * 1000) >= 1000:
            first += 1
        most = max(most, last - first + 1)
    return most


def turns_taken(entries: Iterable[Entry], portfolio: Portfolio) -> Proof:
    """Those who came later were begun before most of what then was still waiting of the big landlord."""
    began = {entry.job_id: entry for entry in entries if entry.mark is Mark.BEGAN and entry.attempt == 1}
    big = [began[step.job_id] for step in portfolio.big]
    small = [began[step.job_id] for step in portfolio.small]
    waiting = passed = 0
    for one in small:
        came = one.started - one.waited
        waiting += sum(other.started > came for other in big)
        passed += sum(came < other.started < one.started for other in big)
    return Proof(
        "fairness",
        f"{OWNER} brought {len(big)} tickets at once, which waited {median(one.waited for one in big):.2f} s; "
        f"{len(small)} tickets of others, a moment later, waited {median(one.waited for one in small):.2f} s "
        f"and let {passed / len(small):.0f} of the {waiting / len(small):.0f} still waiting go first",
        holds=passed * 2 <= waiting,
    )


def invoices_follow(entries: Iterable[Entry], mails: Iterable[StoredMail], cases: Sequence[Case]) -> Proof:
    """Each invoice was begun when approval and completion were done, and is over what these two come to."""
    began: dict[str, float] = {}
    done: dict[str, float] = {}
    for entry in entries:
        if entry.mark is Mark.BEGAN:
            began.setdefault(entry.job_id, entry.at)
        elif entry.mark is Mark.DONE:
            done.setdefault(entry.job_id, entry.at)
    subjects = {job_id_of(mail.message_id): mail.subject for mail in mails}
    in_order = right = 0
    for case in cases:
        due = InvoiceDue(ticket=case.ticket)
        begun = began.get(due.job_id, 0.0)
        in_order += all(done.get(needed, begun + 1) <= begun for needed in (due.approval, due.completion))
        right += subjects.get(f"{due.job_id}.landlord", "").endswith(f"${case.invoice.total}")
    return Proof(
        "dependencies",
        f"{len(cases)} invoices: {in_order} begun after approval and completion were both done, {right} over the price "
        "that the one approved and the materials that the other reported",
        holds=in_order == right == len(cases),
    )


def invoices_booked(bookings: Iterable[Booking], cases: Sequence[Case]) -> Proof:
    """The accounting system has each invoice once, over the right amount, and has fallen for no forgery."""
    log = list(bookings)
    calls = Counter(booking.call for booking in log)
    booked = [(booking.invoice, booking.total) for booking in log if booking.call is Call.BOOKED]
    return Proof(
        "webhooks",
        f"the accounting system was told of {len(booked)} invoices by signed webhooks and booked each once; "
        f"{calls[Call.BAD_MOMENT]} it turned away at first and was told again; "
        f"{calls[Call.FORGED]} forgery was not believed",
        holds=sorted(booked) == sorted((case.invoice.number, str(case.invoice.total)) for case in cases)
        and calls[Call.FORGED] == 1,
    )


def events_stored(warehouse: Warehouse, owed: Collection[str]) -> Proof:
    """Every event is in the warehouse, and nothing else is."""
    found, batches = warehouse.ids(), warehouse.batches()
    return Proof(
        "batches",
        f"{len(found)} events for the analysts, of {len(owed)} owed, were written in {batches} transactions, "
        f"{len(found) / max(1, batches):.0f} at a time",
        holds=found == set(owed),
    )


def is_update(mail: StoredMail) -> bool:
    return _UPDATE.fullmatch(mail.subject) is not None


def updates_settle(mails: Iterable[StoredMail], cases: Sequence[Case]) -> Proof:
    """Every landlord was told how each ticket ended, by the last mail on it, and not of everything on the way."""
    told: dict[str, list[str]] = {}
    for mail in mails:
        if update := _UPDATE.fullmatch(mail.subject):
            told.setdefault(update["ticket"], []).append(update["step"])
    updates = sum(len(case.news) - 1 for case in cases)
    sent = sum(len(steps) for steps in told.values())
    ended = sum(told.get(case.ticket.id, [""])[-1] == PaymentReceived.step for case in cases)
    return Proof(
        "debounce",
        f"{updates} updates of {len(cases)} tickets became {sent} mails; the last one says on {ended} how it ended",
        holds=ended == len(cases) == len(told) and sent <= updates,
    )


def report_made(schedule: StoredSchedule, figures: Figures, owed: Figures) -> Proof:
    """The report is due by the clock, and the one that was run by hand says what happened."""
    times = ", ".join(f"{run:%a %d %b %H:%M}" for run in schedule.upcoming(3))
    return Proof(
        "schedule",
        f"{schedule.id} runs {schedule.words}; next {times}; run by hand just now: {figures.reported} tickets "
        f"reported, {figures.invoiced} invoiced, {figures.paid} paid, takings ${figures.takings}",
        holds=figures == owed and schedule.next_run is not None,
    )
