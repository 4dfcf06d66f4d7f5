"""The audit's arithmetic: what counts as missing, repeated, misdirected, and what excuses a repeat."""

from __future__ import annotations

from collections import Counter

from examples.ticketing.desk.audit import Audit, Owed, audit, nights
from examples.ticketing.desk.case import Case
from examples.ticketing.desk.generator import generate_requests
from examples.ticketing.desk.sms_gateway import GatewayCall, Verdict
from examples.ticketing.desk.smtp_server import StoredMail
from examples.ticketing.mailer import message_id

OWED = Owed(mails={"a.landlord": "ann@x.example"}, texts={"a.tenant": "+15550000001"})


def mail(job_id: str = "a.landlord", to: str = "ann@x.example", attempt: int = 1) -> StoredMail:
    return StoredMail(f"{job_id}@ticketing.example", to, attempt)


def call(verdict: Verdict = Verdict.ACCEPTED, key: str = "a.tenant", *, lost: bool = False) -> GatewayCall:
    return GatewayCall(key, "+15550000001", attempt=1, call=1, verdict=verdict, reply_lost=lost)


def audited(mails: list[StoredMail], calls: list[GatewayCall], **runs: int) -> Audit:
    return audit(OWED, mails, calls, Counter({key.replace("_", "."): count for key, count in runs.items()}))


def test_everything_once_holds() -> None:
    assert audited([mail()], [call()]).holds


def test_a_missing_message_does_not_hold() -> None:
    assert audited([], [call()]).mails.missing == ["a.landlord"]
    result = audited([mail()], [call(Verdict.REFUSED)])
    assert result.texts.missing == ["a.tenant"]
    assert not result.holds


def test_an_unexpected_message_does_not_hold() -> None:
    result = audited([mail(), mail("b.landlord")], [call()])
    assert result.mails.unexpected == ["b.landlord"]
    assert not result.holds


def test_a_misdirected_message_does_not_hold() -> None:
    result = audited([mail(to="bob@x.example")], [call()])
    assert result.mails.misdirected == ["a.landlord"]
    assert not result.holds


def test_a_repeated_mail_is_explained_by_as_many_runs() -> None:
    result = audited([mail(), mail(attempt=2)], [call()], a_landlord=2)
    assert result.mails.repeats_explained == ["a.landlord"]
    assert result.holds


def test_a_repeated_mail_without_a_second_run_does_not_hold() -> None:
    result = audited([mail(), mail()], [call()], a_landlord=1)
    assert result.mails.repeats_unexplained == ["a.landlord"]
    assert not result.holds


def test_a_key_the_gateway_accepted_twice_is_never_excused() -> None:
    assert not audited([mail()], [call(), call()], a_tenant=5).holds


def test_a_job_id_with_signs_that_mails_do_not_allow_is_recognised() -> None:
    owed = Owed(mails={"report:1/2.mail": "ann@x.example"}, texts={})
    sent = StoredMail(message_id("report:1/2.mail"), "ann@x.example", attempt=1)
    assert audit(owed, [sent], [], Counter()).holds


def test_refusals_lost_replies_and_repeats_are_counted_and_harmless() -> None:
    calls = [call(Verdict.REFUSED), call(lost=True), call(Verdict.REPEATED)]
    result = audited([mail()], calls)
    assert (result.refused_calls, result.lost_replies, result.repeated_calls) == (1, 1, 1)
    assert result.holds


def test_what_is_owed_is_all_notices_of_all_news() -> None:
    cases = [Case(request) for request in generate_requests(40, seed=7)]
    owed = Owed.by(news for case in cases for news in case.news)
    assert len(owed.mails) + len(owed.texts) == sum(7 if case.ticket.tenant is None else 10 for case in cases)
    assert len(owed.mails) >= 4 * len(cases), "landlords are told by e-mail, four times each"
    assert len(owed.texts) >= 3 * len(cases), "contractors are told by SMS, three times each"


def test_a_report_that_fell_due_by_the_clock_meanwhile_is_owed() -> None:
    """Two in the morning in Los Angeles, in winter and in summer."""
    due = ["report.nightly:2026-11-27T10:00:00Z", "report.nightly:2026-07-27T09:00:00Z"]
    others = [
        "report.nightly:2026-11-27T09:00:00Z",
        "report.nightly:2026-11-27T10:00:01Z",
        "report.nightly:by hand",
        "report.weekly:2026-11-27T10:00:00Z",
        "T-1.created",
    ]
    assert nights([*others, *due], "report.nightly") == due
