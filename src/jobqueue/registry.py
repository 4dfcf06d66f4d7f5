"""@processor, @on and Registry: which function runs which job type, and which hears what has become of jobs."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, Unpack, cast, get_args, get_origin, get_type_hints, overload
from zoneinfo import ZoneInfo

from typing_extensions import TypeVar

from jobqueue.catalogue import KNOWN_TYPES, Catalogue
from jobqueue.declarations import Declaration, Declarations
from jobqueue.errors import InvalidOption, RegistrationError
from jobqueue.job import Job
from jobqueue.job_type import JobType, UniqueOf, checked_unique
from jobqueue.listener import Happening, JobEvent, Listener
from jobqueue.model.batch import Batch
from jobqueue.model.limits import checked_concurrency
from jobqueue.model.naming import checked_name
from jobqueue.model.options import Keep, options
from jobqueue.model.plan import CatchUp, Overlap
from jobqueue.model.retry import Retry
from jobqueue.model.times import Seconds
from jobqueue.new_job import JobWishes
from jobqueue.processors import BatchProcessor, Place, Processor
from jobqueue.schedule import plan_of

DataT = TypeVar("DataT")
ReturnT = TypeVar("ReturnT")
ListenerT = TypeVar("ListenerT", bound=Callable[[JobEvent], object])
DecoratedT = TypeVar("DecoratedT", bound=Callable[..., Any])

BatchResults = Sequence[Any] | None
"""What a batch processor returns: a result, or an exception, for each job in order; None for None throughout."""


class _Decorate(Generic[DataT]):
    """What ``@processor(JobType)`` is before it meets its function: typed by the job type's data."""

    def __init__(self, register: Callable[[Callable[[Job[Any, Any]], Any]], Processor[Any, Any]]) -> None:
        self._register = register

    def __call__(self, function: Callable[[Job[DataT, Any]], ReturnT]) -> Processor[DataT, ReturnT]:
        return self._register(cast("Callable[[Job[Any, Any]], Any]", function))


class _DecorateAny:
    """What ``@processor("name")`` is before it meets its function: the data's type comes from the annotation."""

    def __init__(self, register: Callable[[Callable[[Job[Any, Any]], Any]], Processor[Any, Any]]) -> None:
        self._register = register

    @overload
    def __call__(
        self, function: Callable[[Job[DataT, Any]], Awaitable[ReturnT]]
    ) -> Processor[DataT, Awaitable[ReturnT]]: ...
    @overload
    def __call__(self, function: Callable[[Job[DataT, Any]], ReturnT]) -> Processor[DataT, ReturnT]: ...
    def __call__(self, function: Callable[[Job[Any, Any]], Any]) -> Processor[Any, Any]:
        return self._register(function)


class _DecorateBatch:
    """What ``@processor(type, batch=...)`` is before it meets its function, which takes a list of jobs."""

    def __init__(self, register: Callable[[Callable[[list[Job[Any, Any]]], Any]], BatchProcessor[Any, Any]]) -> None:
        self._register = register

    @overload
    def __call__(
        self, function: Callable[[list[Job[DataT, Any]]], Awaitable[BatchResults]]
    ) -> BatchProcessor[DataT, Awaitable[BatchResults]]: ...
    @overload
    def __call__(
        self, function: Callable[[list[Job[DataT, Any]]], BatchResults]
    ) -> BatchProcessor[DataT, BatchResults]: ...
    def __call__(self, function: Callable[[list[Job[Any, Any]]], Any]) -> BatchProcessor[Any, Any]:
        return self._register(function)


class Registry:
    """A set of processors. The bare ``@processor`` belongs to the default one; one's own keeps tests and applications
    in one process apart."""

    def __init__(self, *, catalogue: Catalogue | None = None) -> None:
        self._catalogue = catalogue or Catalogue()
        self._processors: dict[str, Processor[Any, Any] | BatchProcessor[Any, Any]] = {}
        self._listeners: list[Listener] = []
        self.batches: dict[str, Batch] = {}
        """The job types that are processed in batches."""
        self.declarations = Declarations()

    @overload
    def processor(
        self,
        type: str | JobType[Any, Any],
        *,
        batch: Batch,
        queue: str | None = None,
        retry: Retry | int | bool | None = None,
        timeout: Seconds | None = None,
        keep: Keep | None = None,
        unique: UniqueOf | None = None,
        run_in: Literal["thread"] | None = None,
    ) -> _DecorateBatch: ...
    @overload
    def processor(
        self,
        type: JobType[DataT, Any],
        *,
        queue: str | None = None,
        retry: Retry | int | bool | None = None,
        timeout: Seconds | None = None,
        keep: Keep | None = None,
        unique: UniqueOf | None = None,
        run_in: Literal["thread", "process"] | None = None,
        concurrency: int | None = None,
    ) -> _Decorate[DataT]: ...
    @overload
    def processor(
        self,
        type: str,
        *,
        queue: str | None = None,
        retry: Retry | int | bool | None = None,
        timeout: Seconds | None = None,
        keep: Keep | None = None,
        unique: UniqueOf | None = None,
        run_in: Literal["thread", "process"] | None = None,
        concurrency: int | None = None,
    ) -> _DecorateAny: ...
    def processor(
        self,
        type: str | JobType[Any, Any],  # noqa: A002  (the design's word for it)
        *,
        batch: Batch | None = None,
        queue: str | None = None,
        retry: Retry | int | bool | None = None,
        timeout: Seconds | None = None,
        keep: Keep | None = None,
        unique: UniqueOf | None = None,
        run_in: Literal["thread", "process"] | None = None,
        concurrency: int | None = None,
    ) -> _Decorate[Any] | _DecorateAny | _DecorateBatch:
        """Make the decorated function the processor of a job type.

            @processor("ticket.created")
            async def notify(job: Job[TicketCreated]) -> None: ...

        With a string the data's model is read from the annotation ``Job[Model]``; without one any JSON is
        taken. ``async def`` runs on the event loop, ``def`` in a thread, ``run_in="process"`` in a process of
        its own that a timeout kills. ``retry``, ``timeout``, ``keep`` and ``unique`` (a key, or a function
        that makes it of the data) hold for this type where the call asks for nothing else. ``concurrency`` is how many
        of its jobs one worker runs at the same time.

        With ``batch`` the function takes a list of jobs and returns a list, in the same order, of their results, or of
        exceptions for those that failed; or None. An exception that it raises fails them all. Each is retried for
        itself. The shortest timeout of the jobs holds for the batch. Middleware does not wrap it.

        Raises InvalidOption; and RegistrationError, at import, if the type has a processor already or stands for
        another model.
        """
        checked_concurrency(concurrency)
        if not isinstance(type, (str, JobType)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise RegistrationError('a processor is declared with its job type: @processor("ticket.created")')
        if run_in not in (None, "thread", "process"):
            raise InvalidOption(f'run_in must be "thread" or "process", not {run_in!r:.60}')

        def declared(function: Callable[..., Any]) -> JobType[Any, Any]:
            job_type = _job_type(type, function, queue=queue, retry=retry, timeout=timeout, keep=keep, unique=unique)
            if job_type.name in self._processors:
                other = self._processors[job_type.name].function
                raise RegistrationError(
                    f"{job_type.name!r} has a processor already: {other.__module__}.{other.__qualname__}"
                )
            self._catalogue.add(job_type)
            self.declarations.found(function, job_type)
            return job_type

        def register(function: Callable[[Job[Any, Any]], Any]) -> Processor[Any, Any]:
            place = _place(function, run_in)
            made = Processor(function, declared(function), place, concurrency)
            self._processors[made.job_type.name] = made
            return made

        if batch is not None:
            if concurrency is not None:
                raise InvalidOption("a batch takes its jobs together: limit it by its size, or by Limits(types=...)")
            if run_in == "process":
                raise InvalidOption('a batch runs on the loop or in a thread: run_in="process" is for single jobs')

            def register_batch(function: Callable[[list[Job[Any, Any]]], Any]) -> BatchProcessor[Any, Any]:
                place = _place(function, run_in)
                made = BatchProcessor(function, declared(function), place, batch)
                self._processors[made.job_type.name] = made
                self.batches[made.job_type.name] = batch
                return made

            return _DecorateBatch(register_batch)
        return _Decorate(register) if isinstance(type, JobType) else _DecorateAny(register)

    def on(
        self,
        *names: str,
        queue: str | None = None,
        type: str | JobType[Any, Any] | None = None,  # noqa: A002
    ) -> Callable[[ListenerT], ListenerT]:
        """Have the decorated function called in the worker's process when an attempt there has ended.

            @on("job.failed", queue="tickets")
            async def tell_support(event: JobEvent) -> None: ...

        The names are ``job.completed``, ``job.failed``, ``job.retrying``, ``job.released`` and ``job.cancelled``. The
        function gets a :class:`~jobqueue.listener.JobEvent` after the backend has accepted the outcome; ``def`` runs in
        a thread. At most once: what must not be lost belongs into a job or a webhook. Workers that are started later
        know it. Raises InvalidOption, InvalidName.
        """
        known = {happening.value: happening for happening in Happening}
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise InvalidOption(
                f"no such event: {', '.join(unknown) or 'none was named'}; there are {', '.join(known)}"
            )
        wanted = frozenset(known[name] for name in names)
        of_queue = None if queue is None else checked_name("queue", queue)
        of_type = type.name if isinstance(type, JobType) else None if type is None else checked_name("job type", type)

        def register(function: ListenerT) -> ListenerT:
            self._listeners.append(Listener(function, wanted, of_queue, of_type))
            return function

        return register

    def listeners(self, queue: str) -> tuple[Listener, ...]:
        """Those who want to hear of this queue."""
        return tuple(listener for listener in self._listeners if listener.queue in (None, queue))

    def scheduled(
        self,
        cron: str | None = None,
        *,
        every: Seconds | None = None,
        timezone: str | ZoneInfo = "UTC",
        id: str | None = None,  # noqa: A002  (the design's word for it)
        queue: str | None = None,
        data: object = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        jitter: Seconds = 0,
        catch_up: CatchUp = "skip",
        overlap: Overlap = "allow",
        **options: Unpack[JobWishes],
    ) -> Callable[[DecoratedT], DecoratedT]:
        """Run the decorated processor by the clock: workers that have it put the schedule when they start.

            @scheduled("0 2 * * *", timezone="Europe/Berlin")
            @processor("report.nightly", queue="reports")
            async def report(job: Job) -> None: ...

        ``id`` is the job type's name unless given. ``queue``: else the processor's, else the only queue of the worker.
        ``data`` is what each job carries, ``options`` are those of ``enqueue`` but ``delay``, ``run_at`` and
        ``job_id``; the others are those of :class:`~jobqueue.schedule.Schedule`. The code is the truth: what it says
        replaces what is stored, and what it no longer says is removed when a worker starts; only a pause stays.

        Raises InvalidInput or RegistrationError, at import.
        """
        plan = plan_of(
            cron=cron, every=every, timezone=timezone, start=start, end=end,
            limit=limit, jitter=jitter, catch_up=catch_up, overlap=overlap,
        )  # fmt: skip

        def declare(decorated: DecoratedT) -> DecoratedT:
            declaration = Declaration(plan, id, queue, data, options)
            made = cast("object", decorated)
            if isinstance(made, (Processor, BatchProcessor)):
                known = cast("Processor[Any, Any] | BatchProcessor[Any, Any]", made)
                self.declarations.add(declaration, known.job_type)
            else:
                self.declarations.wait_for(decorated, declaration)
            return decorated

        return declare

    def get(self, name: str) -> Processor[Any, Any] | BatchProcessor[Any, Any] | None:
        """The processor of a job type."""
        return self._processors.get(name)

    def concurrency(self) -> dict[str, int]:
        """How many jobs of a type one worker runs at the same time, for the types that say so."""
        return {name: found.concurrency for name, found in self._processors.items() if found.concurrency is not None}

    def types(self) -> tuple[str, ...]:
        """The job types that have a processor, sorted."""
        return tuple(sorted(self._processors))


def _job_type(
    declared: str | JobType[Any, Any],
    function: Callable[..., Any],
    *,
    queue: str | None,
    retry: Retry | int | bool | None,
    timeout: Seconds | None,
    keep: Keep | None,
    unique: UniqueOf | None,
) -> JobType[Any, Any]:
    model = _annotated_model(function)
    if isinstance(declared, str):
        return JobType(declared, model, queue=queue, retry=retry, timeout=timeout, keep=keep, unique=unique)
    if model is not None and declared.data.annotation is not None and model != declared.data.annotation:
        raise RegistrationError(
            f"{declared.name!r} carries {declared.data.name}, but {function.__qualname__} takes Job[{model.__name__}]"
        )
    if queue is None and retry is None and timeout is None and keep is None and unique is None:
        return declared
    own = JobType[Any, Any](
        declared.name,
        declared.data.annotation,
        result=declared.result.annotation,
        queue=queue or declared.queue,
    )
    own.priority, own.expires_in_ms = declared.priority, declared.expires_in_ms
    own.unique = declared.unique if unique is None else checked_unique(unique)
    own.options = options(retry=retry, timeout=timeout, keep=keep).over(declared.options)
    return own


def _annotated_model(function: Callable[..., Any]) -> Any:
    """``Model`` where the first parameter is annotated ``Job[Model]``, ``Job[Model, Result]`` or a list of these; else
    None."""
    first = _only_parameter(function)
    try:
        hint = get_type_hints(function).get(first)
    except NameError as error:
        if "Job" not in str(function.__annotations__.get(first, "")):
            return None
        raise RegistrationError(
            f"the annotation of {function.__qualname__} cannot be read ({error}): define or import the model at module "
            "level and not under TYPE_CHECKING, or pass a JobType to @processor"
        ) from error
    if get_origin(hint) is list:
        (hint,) = get_args(hint) or (None,)
    if get_origin(hint) is not Job:
        return None
    model = get_args(hint)[0]
    return None if model is Any or isinstance(model, TypeVar) else model


def _only_parameter(function: Callable[..., Any]) -> str:
    parameters = inspect.signature(function).parameters
    if not parameters:
        raise RegistrationError(f"{function.__qualname__} takes no parameter: a processor is given its job")
    wanted = [
        one.name
        for one in parameters.values()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if len(wanted) > 1:
        raise RegistrationError(
            f"{function.__qualname__} needs {', '.join(wanted)}: a processor is given its job and nothing else; "
            "what it works with is in job.resources"
        )
    return next(iter(parameters))


def _place(function: Callable[..., Any], run_in: Literal["thread", "process"] | None) -> Place:
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise RegistrationError(f"{function.__qualname__} yields: a processor returns its result")
    if run_in == "process" and ("<lambda>" in function.__qualname__ or "<locals>" in function.__qualname__):
        raise RegistrationError(
            f"{function.__qualname__} cannot be found by its name in another process: define it at module level"
        )
    if inspect.iscoroutinefunction(function):
        if run_in is not None:
            raise InvalidOption(f'{function.__qualname__} is async and runs on the loop: run_in="{run_in}" is for def')
        return "loop"
    return run_in or "thread"


DEFAULT_REGISTRY = Registry(catalogue=KNOWN_TYPES)
processor = DEFAULT_REGISTRY.processor
on = DEFAULT_REGISTRY.on
scheduled = DEFAULT_REGISTRY.scheduled
