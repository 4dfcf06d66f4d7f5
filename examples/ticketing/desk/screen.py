"""What the demonstration shows: a live picture in a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from examples.ticketing.contracts import DEAD_LETTERS, NOTIFICATIONS, SMS, TICKETS
from examples.ticketing.desk.audit import Audit, Finding
from examples.ticketing.desk.proof import Proof
from examples.ticketing.desk.summary import Summary
from examples.ticketing.desk.walk import Walk
from examples.ticketing.desk.watch import View
from jobqueue import Letter

PLAIN_INTERVAL = 2.0
LETTERS_SHOWN = 10


class Screen:
    """Everything printed goes through here."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal:
            # A file has no width; eighty columns would cut ids short.
            self._console.width = 120
        self._live: Live | None = None
        self._last_line = monotonic()
        self.walk: Walk | None = None

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def live(self) -> Generator[None]:
        """While this is open, :meth:`show` keeps the picture up to date."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def show(self, view: View) -> None:
        if self._live:
            self._live.update(self._picture(view), refresh=True)
        elif self._console.is_terminal is False and monotonic() - self._last_line >= PLAIN_INTERVAL:
            self._last_line = monotonic()
            self.say(self._line(view))

    def summary(self, summary: Summary, seconds: float) -> None:
        table = Table(title="What the workers did", box=SIMPLE)
        for column in ("queue", "type"):
            table.add_column(column, no_wrap=True)
        for column in ("done", "retried", "dead", "wait p50", "p95"):
            table.add_column(column, justify="right")
        for (queue, job_type), line in sorted(summary.lines.items(), reverse=True):
            table.add_row(
                queue,
                job_type,
                str(line.done),
                str(line.retried),
                str(line.dead),
                f"{line.median_wait:.3f} s",
                f"{line.slow_wait:.3f} s",
            )
        self._console.print(table)
        self.say(f"{summary.done} jobs in {seconds:.1f} s: {summary.done / seconds:.0f} jobs/s")

    def letters(self, letters: Sequence[Letter]) -> None:
        if not letters:
            self.say("no dead letters")
            return
        table = Table(title=f"Dead letters: {len(letters)}", box=SIMPLE)
        for column, width in (("job", 26), ("type", 8), ("attempts", 8), ("error", 20)):
            table.add_column(column, no_wrap=True, min_width=width)
        for letter in [letter.content for letter in letters[:LETTERS_SHOWN]]:
            table.add_row(letter.job_id, letter.type, str(letter.attempts), letter.error.message)
        self._console.print(table)
        if len(letters) > LETTERS_SHOWN:
            self.say(f"… and {len(letters) - LETTERS_SHOWN} more")

    def audit(self, audit: Audit) -> None:
        self._finding("mailbox", audit.mails)
        self._finding("gateway", audit.texts)
        self.say(
            f"on the way the gateway refused {audit.refused_calls} calls, lost {audit.lost_replies} replies "
            f"and recognised {audit.repeated_calls} repeats by their key"
        )

    def proofs(self, proofs: Iterable[Proof]) -> None:
        self.say("\nWhat the features did")
        for proof in proofs:
            self.say(f"  {proof.feature}: {proof.seen}{'' if proof.holds else ' — WHICH IS NOT AS IT MUST BE'}")

    def verdict(self, *, holds: bool) -> None:
        self.say("\nAUDIT HOLDS: every message is where it must be" if holds else "\nAUDIT FAILED")

    def _finding(self, place: str, finding: Finding) -> None:
        self.say(
            f"{place}: {finding.owed} messages owed, {finding.arrived} there; repeats explained "
            f"by a second run: {len(finding.repeats_explained)}"
        )
        for fault in ("missing", "unexpected", "misdirected", "repeats_unexplained"):
            if job_ids := getattr(finding, fault):
                self.say(f"  {fault.replace('_', ' ')}: {len(job_ids)}, such as {', '.join(job_ids[:3])}")

    def _line(self, view: View) -> str:
        walked = f"{self.walk.cases_done}/{len(self.walk.cases)} tickets paid, " if self.walk else ""
        mails, texts = view[NOTIFICATIONS].unfinished, view[SMS].unfinished
        retried = view[NOTIFICATIONS].delayed + view[SMS].delayed
        sending = f"{mails} e-mails and {texts} text messages under way ({retried} to be retried)"
        return f"{walked}{view[TICKETS].unfinished} ticket jobs, {sending}, {view.letters.waiting} dead letters"

    def _picture(self, view: View) -> RenderableType:
        table = Table(box=SIMPLE)
        table.add_column("queue")
        states = ("blocked", "waiting", "active", "delayed", "failed")
        for state in states:
            table.add_column(state, justify="right")
        for name, queue in (*view.queues.items(), (DEAD_LETTERS, view.letters)):
            table.add_row(name, *(str(getattr(queue, state)) for state in states))
        if self.walk is None:
            return table
        done, total = self.walk.cases_done, len(self.walk.cases)
        return Group(Text(f"{done} of {total} tickets paid"), ProgressBar(total, done, width=60), table)
