"""The audit: holds what arrived against what must have, message by message.

Every message must be there once, at the right address, and nothing else. A mail may be there more often,
since nobody can promise exactly one over SMTP: a worker that dies after the server's "250 OK" leaves no trace
of it. Such a repeat is explained if its job was begun at least so often; then it carries the same Message-ID
and the recipient's mail program shows one. The gateway knows keys and must never have accepted one twice.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, time
from zoneinfo import ZoneInfo

from examples.ticketing.correspondence import Notice, notices_for
from examples.ticketing.desk.sms_gateway import GatewayCall, Verdict
from examples.ticketing.desk.smtp_server import StoredMail
from examples.ticketing.mailer import job_id_of
from examples.ticketing.steps import News

_NIGHT, _THERE = time(2), ZoneInfo("America/Los_Angeles")


@dataclass(frozen=True, slots=True)
class Owed:
    """The messages that must arrive: job id to address."""

    mails: dict[str, str]
    texts: dict[str, str]

    @classmethod
    def by(cls, news: Iterable[News]) -> Owed:
        owed = cls({}, {})
        for one in news:
            for notice in notices_for(one):
                owed.add(notice)
        return owed

    def add(self, notice: Notice) -> None:
        if notice.to.email is not None:
            self.mails[notice.job_id] = notice.to.email
        elif notice.to.phone is not None:
            self.texts[notice.job_id] = notice.to.phone


@dataclass(slots=True)
class Finding:
    """What was found on one channel. Lists hold job ids."""

    owed: int
    arrived: int
    missing: list[str] = field(default_factory=list[str])
    unexpected: list[str] = field(default_factory=list[str])
    misdirected: list[str] = field(default_factory=list[str])
    repeats_explained: list[str] = field(default_factory=list[str])
    repeats_unexplained: list[str] = field(default_factory=list[str])

    @property
    def holds(self) -> bool:
        return not (self.missing or self.unexpected or self.misdirected or self.repeats_unexplained)


@dataclass(frozen=True, slots=True)
class Audit:
    """Both channels, and how often the gateway said no or was asked again on the way."""

    mails: Finding
    texts: Finding
    refused_calls: int
    lost_replies: int
    repeated_calls: int

    @property
    def holds(self) -> bool:
        return self.mails.holds and self.texts.holds


def audit(owed: Owed, mails: Iterable[StoredMail], calls: Iterable[GatewayCall], runs: Counter[str]) -> Audit:
    """``runs`` is how often each job was begun, by the workers' ledgers."""
    arrivals = [(job_id_of(mail.message_id), mail.recipient) for mail in mails]
    log = list(calls)
    accepted = [(call.key, call.to) for call in log if call.verdict is Verdict.ACCEPTED]
    return Audit(
        mails=_compare(owed.mails, arrivals, runs),
        # No number of runs excuses a second acceptance of one key: that would be two messages on a phone.
        texts=_compare(owed.texts, accepted, Counter()),
        refused_calls=sum(call.verdict is Verdict.REFUSED for call in log),
        lost_replies=sum(call.reply_lost for call in log),
        repeated_calls=sum(call.verdict is Verdict.REPEATED for call in log),
    )


def _compare(owed: dict[str, str], arrivals: list[tuple[str, str]], runs: Counter[str]) -> Finding:
    times = Counter(job_id for job_id, _ in arrivals)
    repeated = sorted(job_id for job_id, count in times.items() if count > 1)
    return Finding(
        owed=len(owed),
        arrived=len(arrivals),
        missing=sorted(owed.keys() - times.keys()),
        unexpected=sorted(times.keys() - owed.keys()),
        misdirected=sorted({job_id for job_id, address in arrivals if owed.get(job_id, address) != address}),
        repeats_explained=[job_id for job_id in repeated if times[job_id] <= runs[job_id]],
        repeats_unexplained=[job_id for job_id in repeated if times[job_id] > runs[job_id]],
    )


def nights(runs: Iterable[str], name: str) -> list[str]:
    """Of the jobs that were begun the nightly reports that fell due: it may be two in the morning there."""
    found: list[str] = []
    for job_id in runs:
        kind, _, tick = job_id.partition(":")
        with contextlib.suppress(ValueError):
            if kind == name and datetime.fromisoformat(tick).astimezone(_THERE).time() == _NIGHT:
                found.append(job_id)
    return found
