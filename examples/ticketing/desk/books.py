"""The books: what must have happened by the end, held against what did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from examples.ticketing.contracts import REPORT_NIGHTLY, SMS
from examples.ticketing.desk.accounting import read_bookings
from examples.ticketing.desk.audit import Owed, audit, nights
from examples.ticketing.desk.case import Case
from examples.ticketing.desk.portfolio import Portfolio
from examples.ticketing.desk.proof import (
    events_stored,
    invoices_booked,
    invoices_follow,
    is_update,
    rate_kept,
    report_made,
    turns_taken,
    updates_settle,
)
from examples.ticketing.desk.screen import Screen
from examples.ticketing.desk.sms_gateway import read_calls
from examples.ticketing.desk.stage import Stage
from examples.ticketing.desk.summary import Summary
from examples.ticketing.events import Figures, Milestone
from examples.ticketing.ledger import read_ledgers
from examples.ticketing.warehouse import Warehouse
from jobqueue import StoredSchedule


@dataclass(frozen=True, slots=True)
class Report:
    """The nightly report: when it is due, and what the one that was run by hand said."""

    schedule: StoredSchedule
    job_id: str
    figures: Figures


@dataclass(slots=True)
class Books:
    """What people did at the desk; ``report`` is entered when it has been made."""

    cases: Sequence[Case]
    portfolio: Portfolio
    report: Report | None = None

    def close(self, stage: Stage, screen: Screen) -> bool:
        """Reads what ``stage`` left behind, shows what was found and tells whether all of it is as it must be."""
        assert self.report is not None  # noqa: S101 - without a report the demonstration is not over
        report = self.report
        news = [*(one for case in self.cases for one in case.news), *self.portfolio.steps]
        entries, mails = list(read_ledgers(stage.ledgers)), stage.mailbox.messages()
        owed = Owed.by(news)
        runs = Summary.of(entries).runs
        for job_id in (report.job_id, *nights(runs, REPORT_NIGHTLY.name)):
            owed.mails[f"{job_id}.mail"] = stage.settings.manager
        letters = [mail for mail in mails if not is_update(mail)]
        result = audit(owed, letters, read_calls(stage.gateway_log), runs)
        proofs = [
            report_made(report.schedule, report.figures, self._figures()),
            invoices_follow(entries, letters, self.cases),
            invoices_booked(read_bookings(stage.accounting_log), self.cases),
            events_stored(
                Warehouse(stage.settings.warehouse),
                [f"{one.job_id}.tracked" for one in news if isinstance(one, Milestone)],
            ),
            updates_settle(mails, self.cases),
            rate_kept((entry for entry in entries if entry.queue == SMS), stage.settings.sms_per_second),
            turns_taken(entries, self.portfolio),
        ]
        screen.audit(result)
        screen.proofs(proofs)
        holds = result.holds and all(proof.holds for proof in proofs)
        screen.verdict(holds=holds)
        return holds

    def _figures(self) -> Figures:
        """What the report must say: it all happened today."""
        return Figures(
            reported=len(self.cases) + len(self.portfolio.steps),
            invoiced=len(self.cases),
            paid=len(self.cases),
            takings=sum((case.payment.amount for case in self.cases), Decimal("0.00")),
        )
