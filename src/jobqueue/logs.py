"""Every log event this library emits, by name, with its fields; and the running job on every line that user
code writes.

The library never configures logging for its host. Its events go to the standard logger ``jobqueue`` through
structlog, with the event's name as the message and its fields as the record's attributes; what becomes of them
is the host's business.

| event | level | fields |
|---|---|---|
| ``job.enqueued`` | debug | job_id, type, queue, state |
| ``job.started`` | debug | job_id, type, queue, attempt |
| ``job.completed`` | info | job_id, type, queue, attempt, seconds |
| ``job.retrying`` | warning | job_id, type, queue, attempt, error, in_seconds |
| ``job.failed`` | error | job_id, type, queue, attempt, error |
| ``job.released`` | info | job_id, type, queue, reason |
| ``job.parked`` (it waits for jobs it has added) | info | job_id, type, queue |
| ``job.cancelled`` | info | job_id, type, queue, reason |
| ``job.recovered`` | warning | job_id, queue |
| ``job.unknown_type`` | warning | job_id, type, queue, in_seconds |
| ``job.newer`` (a newer release has written it) | warning | job_id, type, queue, in_seconds |
| ``job.stubborn`` | error | job_id, type, queue |
| ``job.suspect`` (it has cost workers and runs alone) | warning | job_id, type, queue, workers_lost |
| ``schedule.fired`` | debug | schedule, queue, job_id |
| ``schedule.skipped`` (its last job is unfinished) | info | schedule, queue, ticks |
| ``schedule.missed`` (ticks were dropped: nobody was there) | warning | schedule, queue, since |
| ``schedule.unreadable`` (by this worker) | error | schedule, queue, error |
| ``schedule.declared`` ``schedule.withdrawn`` | info | schedule, queue |
| ``webhook.disabled`` (its receiver says that it is gone) | warning | webhook, queue, status |
| ``lease.lost`` | warning | job_id, type, queue |
| ``outbox.stuck`` (letters, news for jobs that wait) | warning | queue, to, error |
| ``outbox.cleared`` | info | queue |
| ``listener.failed`` | error | event_name, job_id, listener, error |
| ``listener.dropped`` | warning | event_name, job_id |
| ``worker.started`` ``worker.stopping`` ``worker.stopped`` | info | worker, queues |
| ``worker.blocked`` (its event loop does not answer) | warning | queue, seconds, job_ids; the one that blocks it, if \
known: job_id, type, where (module, line, function) |
| ``backend.lost`` | warning | queue, error |
| ``backend.restored`` | info | queue |
| ``backend.fallback`` | warning | reason, advice |
| ``backend.risk`` | warning, info | setting, advice |
| ``backend.unchecked`` | info | error |
| ``backend.dropped`` | warning | queue, job_id, type |

No event ever carries a payload, a result or an error's message (which may quote a payload): only its type. The
one exception is the logging fallback, which says what it would have done, with sensitive fields masked.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import structlog

from jobqueue.clock import SYSTEM_CLOCK
from jobqueue.running import CURRENT

JOB_ENQUEUED: Final = "job.enqueued"
JOB_STARTED: Final = "job.started"
JOB_COMPLETED: Final = "job.completed"
JOB_RETRYING: Final = "job.retrying"
JOB_FAILED: Final = "job.failed"
JOB_RELEASED: Final = "job.released"
JOB_CANCELLED: Final = "job.cancelled"
JOB_PARKED: Final = "job.parked"
JOB_RECOVERED: Final = "job.recovered"
JOB_SUSPECT: Final = "job.suspect"
JOB_UNKNOWN_TYPE: Final = "job.unknown_type"
JOB_NEWER: Final = "job.newer"
JOB_STUBBORN: Final = "job.stubborn"
SCHEDULE_FIRED: Final = "schedule.fired"
SCHEDULE_SKIPPED: Final = "schedule.skipped"
SCHEDULE_MISSED: Final = "schedule.missed"
SCHEDULE_UNREADABLE: Final = "schedule.unreadable"
SCHEDULE_DECLARED: Final = "schedule.declared"
SCHEDULE_WITHDRAWN: Final = "schedule.withdrawn"
WEBHOOK_DISABLED: Final = "webhook.disabled"
LEASE_LOST: Final = "lease.lost"
OUTBOX_STUCK: Final = "outbox.stuck"
OUTBOX_CLEARED: Final = "outbox.cleared"
LISTENER_FAILED: Final = "listener.failed"
LISTENER_DROPPED: Final = "listener.dropped"
WORKER_STARTED: Final = "worker.started"
WORKER_STOPPING: Final = "worker.stopping"
WORKER_STOPPED: Final = "worker.stopped"
WORKER_BLOCKED: Final = "worker.blocked"
BACKEND_LOST: Final = "backend.lost"
BACKEND_RESTORED: Final = "backend.restored"
BACKEND_FALLBACK: Final = "backend.fallback"
BACKEND_DROPPED: Final = "backend.dropped"
BACKEND_RISK: Final = "backend.risk"
BACKEND_UNCHECKED: Final = "backend.unchecked"

_STANDARD = logging.getLogger("jobqueue")
_EVENTS = structlog.wrap_logger(
    _STANDARD, processors=[structlog.stdlib.render_to_log_kwargs], wrapper_class=structlog.stdlib.BoundLogger
)


def emit(level: int, event: str, **fields: Any) -> None:
    """Emit one event. Next to nothing where nobody listens at ``level``."""
    if _STANDARD.isEnabledFor(level):
        _EVENTS.log(level, event, **fields)


listening = _STANDARD.isEnabledFor
"""Whether anyone listens at a level, for callers that would have to gather the fields first. Asked for every job."""


# The running job on every line.


def add_job_context(logger: Any, method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: adds job_id, job_type, queue and attempt to lines written inside a processor, and
    keeps those lines as the job's logs. Put it before the renderer.
    """
    del logger
    attempt = CURRENT.get()
    if attempt is not None:
        fields = dict(event_dict)
        attempt.write(SYSTEM_CLOCK.now_ms(), method, str(fields.pop("event", "")), fields)
        record = attempt.record
        event_dict.setdefault("job_id", record.id)
        event_dict.setdefault("job_type", record.type)
        event_dict.setdefault("queue", record.queue)
        event_dict.setdefault("attempt", record.attempt)
    return event_dict


class JobLogHandler(logging.Handler):
    """A standard handler that writes nowhere but to the running job.

    It gives every record it sees ``job_id``, ``job_type``, ``job_queue`` and ``job_attempt`` (empty outside a
    processor; what the caller set in ``extra`` stays), and keeps lines written inside a processor as the
    job's logs.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line."""
        attempt = CURRENT.get()
        job = attempt.record if attempt is not None else None
        known = record.__dict__
        known.setdefault("job_id", job.id if job else "")
        known.setdefault("job_type", job.type if job else "")
        known.setdefault("job_queue", job.queue if job else "")
        known.setdefault("job_attempt", job.attempt if job else 0)
        if attempt is not None and record.name != "jobqueue":
            try:
                attempt.write(int(record.created * 1000), record.levelname.lower(), record.getMessage())
            except Exception:  # noqa: BLE001  (a broken format string must not fail the job; logging says so)
                self.handleError(record)
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and not self._others_hear(record.name):
            # Where the host has configured nothing, Python itself shows warnings; but not where it sees this handler.
            last.handle(record)

    def _others_hear(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False


_users = 0
_handler = JobLogHandler()


@contextmanager
def capture() -> Generator[None]:
    """While a worker runs: standard log records know the running job, and lines written inside processors are
    its logs.

    One handler stands first at the root logger, so that the host's own handlers there can format what it
    adds; it goes when the last worker has stopped. Levels and formats stay the host's. ``logging.basicConfig()`` does
    nothing while it is there, so call that before (or with ``force=True``).
    """
    global _users  # noqa: PLW0603  (logging is process-wide, so is this count)
    root = logging.getLogger()
    if _users == 0:
        root.handlers.insert(0, _handler)
    _users += 1
    try:
        yield
    finally:
        _users -= 1
        if _users == 0:
            root.removeHandler(_handler)
