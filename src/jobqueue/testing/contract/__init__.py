"""The seam's specification as a public test suite.

    class TestMine(BackendContract):
        @pytest.fixture
        def clock(self) -> ManualClock: ...

        @pytest.fixture
        async def backend(self, clock: ManualClock) -> AsyncGenerator[Backend]: ...   # open, empty, on that clock

Each theme is a class of its own in a file of its own; :class:`BackendContract` is all of them. Needs pytest and an
asyncio plugin in its automatic mode.
"""

from jobqueue.testing.contract.amending import AmendingContract
from jobqueue.testing.contract.arrivals import ArrivalContract
from jobqueue.testing.contract.carrying import CarryingContract
from jobqueue.testing.contract.controlling import ControllingContract
from jobqueue.testing.contract.dead_letters import DeadLetterContract
from jobqueue.testing.contract.dependencies import DependencyContract
from jobqueue.testing.contract.enqueueing import EnqueueingContract
from jobqueue.testing.contract.events import EventContract
from jobqueue.testing.contract.flows import FlowContract
from jobqueue.testing.contract.group_limits import GroupLimitContract
from jobqueue.testing.contract.groups import GroupContract
from jobqueue.testing.contract.leases import LeaseContract
from jobqueue.testing.contract.limits import LimitContract
from jobqueue.testing.contract.repeats import RepeatContract
from jobqueue.testing.contract.replacing import ReplacingContract
from jobqueue.testing.contract.retention import RetentionContract
from jobqueue.testing.contract.retried_dependants import RetriedDependantContract
from jobqueue.testing.contract.schedules import ScheduleContract
from jobqueue.testing.contract.settling import SettlingContract
from jobqueue.testing.contract.stats import StatsContract
from jobqueue.testing.contract.uniqueness import UniqueContract
from jobqueue.testing.contract.waiting import WaitingContract
from jobqueue.testing.contract.wakeups import WakeupContract
from jobqueue.testing.contract.webhooks import WebhookContract


class BackendContract(
    EnqueueingContract,
    SettlingContract,
    LeaseContract,
    RepeatContract,
    RetentionContract,
    AmendingContract,
    ControllingContract,
    EventContract,
    DeadLetterContract,
    StatsContract,
    DependencyContract,
    RetriedDependantContract,
    FlowContract,
    CarryingContract,
    LimitContract,
    GroupContract,
    GroupLimitContract,
    ArrivalContract,
    ScheduleContract,
    WebhookContract,
    UniqueContract,
    ReplacingContract,
    WaitingContract,
    WakeupContract,
):
    """Every promise of :mod:`jobqueue.backends.protocol`."""


__all__ = ["BackendContract"]
