"""Background jobs for asyncio, on Redis or Valkey, and without them."""

from jobqueue.claim import Claim, ClaimedJob
from jobqueue.clock import Clock
from jobqueue.codecs.codec import Codec
from jobqueue.codecs.encrypted import Encrypted
from jobqueue.codecs.signed import Signed
from jobqueue.connect import connect
from jobqueue.dead_letters import DEAD_LETTER, DeadLetters, Letter
from jobqueue.default_backend import close_default_backend
from jobqueue.delivery import WEBHOOK_DELIVERY, Delivery, DeliveryTry
from jobqueue.errors import (
    AccessDenied,
    BackendClosed,
    BackendError,
    BackendFull,
    BackendUnavailable,
    BadSignature,
    ConfigurationError,
    GroupFull,
    InvalidData,
    InvalidInput,
    InvalidName,
    InvalidOption,
    InvalidState,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobQueueError,
    JobSignal,
    JobTimeout,
    KeyHeld,
    LeaseLost,
    MissingExtra,
    PayloadTooLarge,
    QueueFull,
    RateLimited,
    RegistrationError,
    ScheduleNotFound,
    Snooze,
    Undelivered,
    UnknownOption,
    Unrecoverable,
    WaitForChildren,
    WebhookNotFound,
    WrongServer,
)
from jobqueue.flow import Flow, Node, Reference
from jobqueue.flow_handle import FlowHandle, FlowNode, FlowStatus
from jobqueue.group import Group, GroupInfo
from jobqueue.inputs import Dependencies, Dependency, Results
from jobqueue.job import Job
from jobqueue.job_type import JobType
from jobqueue.listener import Happening, JobEvent
from jobqueue.log_line import LogLine
from jobqueue.logs import JobLogHandler, add_job_context
from jobqueue.model.batch import Batch
from jobqueue.model.events import Event, EventType
from jobqueue.model.letter import DeadLetter
from jobqueue.model.limits import GroupLimits, Limits, Rate
from jobqueue.model.links import After, OnFailure
from jobqueue.model.options import JobOptions, Keep, Priority
from jobqueue.model.record import JobError, JobState
from jobqueue.model.retry import Retry
from jobqueue.model.stats import JobStats
from jobqueue.model.unique import Unique
from jobqueue.new_job import JobDefaults, NewJob
from jobqueue.operating import Counts
from jobqueue.processors import BatchProcessor, Processor
from jobqueue.queue import Queue
from jobqueue.registry import Registry, on, processor, scheduled
from jobqueue.schedule import Schedule
from jobqueue.schedules import Schedules
from jobqueue.settings import Settings
from jobqueue.stored_schedule import StoredSchedule
from jobqueue.sync import SyncJob, SyncQueue, close_sync
from jobqueue.webhook import StoredWebhook, Webhook
from jobqueue.webhook_handle import Webhooks
from jobqueue.worker.executor import CallNext, Middleware
from jobqueue.worker.worker import Worker
from jobqueue.worker_list import WorkerInfo, workers

__all__ = [
    "DEAD_LETTER",
    "WEBHOOK_DELIVERY",
    "AccessDenied",
    "After",
    "BackendClosed",
    "BackendError",
    "BackendFull",
    "BackendUnavailable",
    "BadSignature",
    "Batch",
    "BatchProcessor",
    "CallNext",
    "Claim",
    "ClaimedJob",
    "Clock",
    "Codec",
    "ConfigurationError",
    "Counts",
    "DeadLetter",
    "DeadLetters",
    "Delivery",
    "DeliveryTry",
    "Dependencies",
    "Dependency",
    "Encrypted",
    "Event",
    "EventType",
    "Flow",
    "FlowHandle",
    "FlowNode",
    "FlowStatus",
    "Group",
    "GroupFull",
    "GroupInfo",
    "GroupLimits",
    "Happening",
    "InvalidData",
    "InvalidInput",
    "InvalidName",
    "InvalidOption",
    "InvalidState",
    "Job",
    "JobCancelled",
    "JobDefaults",
    "JobError",
    "JobEvent",
    "JobFailed",
    "JobLogHandler",
    "JobNotFound",
    "JobOptions",
    "JobQueueError",
    "JobSignal",
    "JobState",
    "JobStats",
    "JobTimeout",
    "JobType",
    "Keep",
    "KeyHeld",
    "LeaseLost",
    "Letter",
    "Limits",
    "LogLine",
    "Middleware",
    "MissingExtra",
    "NewJob",
    "Node",
    "OnFailure",
    "PayloadTooLarge",
    "Priority",
    "Processor",
    "Queue",
    "QueueFull",
    "Rate",
    "RateLimited",
    "Reference",
    "RegistrationError",
    "Registry",
    "Results",
    "Retry",
    "Schedule",
    "ScheduleNotFound",
    "Schedules",
    "Settings",
    "Signed",
    "Snooze",
    "StoredSchedule",
    "StoredWebhook",
    "SyncJob",
    "SyncQueue",
    "Undelivered",
    "Unique",
    "UnknownOption",
    "Unrecoverable",
    "WaitForChildren",
    "Webhook",
    "WebhookNotFound",
    "Webhooks",
    "Worker",
    "WorkerInfo",
    "WrongServer",
    "add_job_context",
    "close_default_backend",
    "close_sync",
    "connect",
    "on",
    "processor",
    "scheduled",
    "workers",
]
