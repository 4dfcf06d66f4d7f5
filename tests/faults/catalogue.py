"""All the faults there are, by their numbers in the list, each with a long form (``make faults``) and one of seconds.

Not here: F18 (``test_starting.py``), F22 (``tests/model``), F23 (``tests/simulation``), F24 (``soak.py``), F28
(``tests/security``).
"""

from __future__ import annotations

from tests.faults import strikes
from tests.faults.blocks import blocked_loops, blocks_are_told_of_and_results_fenced
from tests.faults.clocks import none_started_early, wrong_clocked_workers, wrong_clocks
from tests.faults.clusters import (
    ClusteredServers,
    HastyServers,
    killed_primaries,
    moved_slots,
)
from tests.faults.disk import CrampedServer, full_disk
from tests.faults.doubles import doubled_workers, forked_workers, tokens_are_unique
from tests.faults.failover import failovers, what_failovers_lost
from tests.faults.fault import Fault
from tests.faults.flow_worker import SECOND
from tests.faults.flows import each_in_its_turn, killed_in_flows, workers_of_two_queues
from tests.faults.flushes import flushed_scripts, nobody_noticed
from tests.faults.groups import killed_in_turns, one_at_a_time
from tests.faults.herd import many_lanes, thundering_herd
from tests.faults.hooks import all_was_told, killed_with_notices, workers_and_deliverers
from tests.faults.keys import killed_with_keys, one_for_each_key, workers_of_keyed_jobs
from tests.faults.memory import full_server, producers_were_refused
from tests.faults.network import bad_networks, no_lease_was_lost_to_slowness
from tests.faults.nothing import all_ran_once_and_left_nothing, nothing_at_all
from tests.faults.outage import long_outage, outages_are_borne_quietly
from tests.faults.power import RelaxedServer, failed_power
from tests.faults.racing import racing_producers
from tests.faults.releases import both_have_worked, last_release, rolling_upgrades
from tests.faults.replicas import ReplicatedServers
from tests.faults.scene import Plan
from tests.faults.steps import AdjustedServer, adjusted_clock, told_the_time
from tests.faults.stops import no_attempt_was_spent, resisted_stops
from tests.faults.ticks import killed_between_ticks, none_overlapped
from tests.faults.worker_process import QUEUE

FAULTS: dict[str, Fault] = {
    "F1": Fault(nothing_at_all, inspect=all_ran_once_and_left_nothing),
    # Whatever is there when three workers are killed, one after the other, is buried: nobody can tell it from a cause.
    "F2": Fault(strikes.killed_workers, recovers=True, innocent=False),
    "F3": Fault(strikes.killed_server, outages=True),
    "F4": Fault(strikes.stalled_server, outages=True),
    "F5": Fault(long_outage, proxied=True, outages=True, inspect=outages_are_borne_quietly, loaded=False),
    "F6": Fault(strikes.dropped_replies, proxied=True, outages=True),
    "F7": Fault(strikes.stopped_workers),
    "F8": Fault(strikes.reset_connections, proxied=True, outages=True),
    "F9": Fault(failed_power, outages=True, server=RelaxedServer),
    "F10": Fault(strikes.rolling_stops),
    "F11": Fault(resisted_stops, inspect=no_attempt_was_spent),
    "F12": Fault(strikes.poison, inspect=strikes.all_poison_is_buried),
    "F13": Fault(blocked_loops, inspect=blocks_are_told_of_and_results_fenced),
    "F14": Fault(wrong_clocked_workers, dress=wrong_clocks, inspect=none_started_early),
    "F15": Fault(adjusted_clock, outages=True, server=AdjustedServer, dress=told_the_time),
    "F16": Fault(flushed_scripts, outages=True, inspect=nobody_noticed),
    "F17": Fault(full_server, inspect=producers_were_refused, loaded=False),
    "F19": Fault(failovers, outages=True, inspect=what_failovers_lost, server=ReplicatedServers),
    "F20": Fault(bad_networks, proxied=True, outages=True, inspect=no_lease_was_lost_to_slowness),
    "F21": Fault(strikes.cancelled_callers),
    "F25": Fault(thundering_herd, dress=many_lanes, loaded=False),
    "F26": Fault(rolling_upgrades, dress=last_release, inspect=both_have_worked),
    "F27": Fault(racing_producers),
    "F29": Fault(doubled_workers, proxied=True, outages=True, dress=forked_workers, inspect=tokens_are_unique),
    "F30": Fault(full_disk, outages=True, server=CrampedServer),
    "F31": Fault(moved_slots, server=ClusteredServers),
    "F32": Fault(killed_primaries, outages=True, inspect=what_failovers_lost, server=HastyServers),
    "F33": Fault(killed_between_ticks, proxied=True, inspect=none_overlapped, loaded=False, innocent=False),
    "F34": Fault(
        killed_in_flows,
        proxied=True,
        inspect=each_in_its_turn,
        loaded=False,
        dress=workers_of_two_queues,
        queues=(QUEUE, SECOND),
    ),
    "F35": Fault(killed_in_turns, proxied=True, inspect=one_at_a_time, loaded=False, innocent=False),
    "F36": Fault(killed_with_notices, proxied=True, inspect=all_was_told, loaded=False, dress=workers_and_deliverers),
    "F37": Fault(killed_with_keys, proxied=True, inspect=one_for_each_key, loaded=False, dress=workers_of_keyed_jobs),
}

LONG: dict[str, Plan] = {
    "F1": Plan(jobs=100_000, times=0, seed=0, longest=0.001),
    "F2": Plan(jobs=20_000, times=200, seed=0, longest=0.1, every=0.5),
    "F3": Plan(jobs=20_000, times=20, seed=0, every=1.5),
    "F4": Plan(jobs=10_000, times=10, seed=0, lease=5, every=2),
    "F5": Plan(jobs=1_000, times=3, seed=0, longest=5, every=10),
    "F6": Plan(jobs=20_000, times=1000, seed=0),
    "F7": Plan(jobs=5_000, times=10, seed=0, lease=5, longest=0.3, every=0.5),
    "F8": Plan(jobs=20_000, times=150, seed=0, every=2),
    "F9": Plan(jobs=20_000, times=20, seed=0, every=2),
    "F10": Plan(jobs=20_000, times=50, seed=0, longest=0.5, every=0.5),
    "F11": Plan(jobs=2_000, times=24, seed=0, lease=5, grace=2),
    "F12": Plan(jobs=5_000, times=10, seed=0, lease=5, longest=0.1, every=1),
    "F13": Plan(jobs=2_000, times=20, seed=0, lease=2),
    "F14": Plan(jobs=5_000, times=100, seed=0, lease=5),
    "F15": Plan(jobs=5_000, times=4, seed=0, longest=0.2, every=20),
    "F16": Plan(jobs=20_000, times=1200, seed=0),
    "F17": Plan(jobs=5_000, times=30, seed=0, longest=0.2),
    "F19": Plan(jobs=20_000, times=6, seed=0, lease=5, every=4),
    "F20": Plan(jobs=20_000, times=6, seed=0, every=10),
    "F21": Plan(jobs=1_000, times=100_000, seed=0),
    "F25": Plan(jobs=50_000, times=60, seed=0, longest=0.01, workers=4, every=1),
    "F26": Plan(jobs=20_000, times=24, seed=0, longest=0.1, every=1),
    "F27": Plan(jobs=20_000, times=50, seed=0, every=10),
    "F29": Plan(jobs=10_000, times=200, seed=0),
    "F30": Plan(jobs=5_000, times=10, seed=0, every=10),
    "F31": Plan(jobs=20_000, times=10, seed=0, every=1),
    "F32": Plan(jobs=20_000, times=6, seed=0, every=3),
    "F33": Plan(jobs=5_000, times=100, seed=0, every=1),
    "F34": Plan(jobs=20_000, times=100, seed=0, longest=0.5, every=1),
    "F35": Plan(jobs=20_000, times=100, seed=0, longest=0.1, every=1),
    "F36": Plan(jobs=10_000, times=100, seed=0, longest=0.1, workers=4, every=1),
    "F37": Plan(jobs=20_000, times=100, seed=0, longest=0.2, every=1),
}

QUICK: dict[str, Plan] = {
    "F1": Plan(jobs=1000, times=0, seed=0, lease=5),
    "F2": Plan(jobs=1000, times=4, seed=0, lease=3, longest=0.2, every=1, slack=3),
    "F3": Plan(jobs=1000, times=3, seed=0, lease=5, every=0.6),
    "F4": Plan(jobs=600, times=2, seed=0, lease=1, every=0.3),
    "F5": Plan(jobs=60, times=1, seed=0, lease=2, longest=2, every=0.5),
    "F6": Plan(jobs=1000, times=25, seed=0, lease=5),
    "F7": Plan(jobs=600, times=2, seed=0, lease=2, longest=0.2),
    "F8": Plan(jobs=1000, times=10, seed=0, lease=5, every=0.2),
    "F9": Plan(jobs=1000, times=3, seed=0, lease=2, every=0.6),
    "F10": Plan(jobs=1000, times=4, seed=0, lease=5, longest=0.2, every=0.3),
    "F11": Plan(jobs=200, times=2, seed=0, lease=3, grace=1, slack=10),
    "F12": Plan(jobs=600, times=3, seed=0, lease=3, longest=0.05, every=0.5),
    "F13": Plan(jobs=200, times=2, seed=0, lease=1.5, slack=10),
    "F14": Plan(jobs=200, times=4, seed=0, lease=5, slack=20),
    "F15": Plan(jobs=200, times=1, seed=0, lease=1, longest=0.2, every=0.6),
    "F16": Plan(jobs=1000, times=40, seed=0, lease=5),
    "F17": Plan(jobs=200, times=1, seed=0, lease=1, longest=0.2),
    "F19": Plan(jobs=1000, times=1, seed=0, lease=5, every=0.5),
    "F20": Plan(jobs=300, times=1, seed=0, every=0.5),
    "F21": Plan(jobs=200, times=3000, seed=0, lease=5),
    "F25": Plan(jobs=1000, times=8, seed=0, longest=0.01, workers=2, every=0.2),
    "F26": Plan(jobs=400, times=2, seed=0, lease=5, workers=2),
    "F27": Plan(jobs=100, times=3, seed=0, every=1.5),
    "F29": Plan(jobs=500, times=2, seed=0, workers=2),
    "F30": Plan(jobs=500, times=1, seed=0, lease=2, every=1),
    "F31": Plan(jobs=1000, times=4, seed=0, every=0.3),
    "F32": Plan(jobs=1000, times=2, seed=0, lease=5, every=0.5),
    "F33": Plan(jobs=100, times=2, seed=0, lease=3, longest=0.1, every=1, slack=3),
    "F34": Plan(jobs=200, times=2, seed=0, lease=3, longest=0.5, every=0.5),
    "F35": Plan(jobs=300, times=2, seed=0, lease=3, longest=0.1, every=1),
    "F36": Plan(jobs=100, times=2, seed=0, lease=3, longest=0.1, workers=4, every=1),
    "F37": Plan(jobs=150, times=2, seed=0, lease=3, longest=0.2, every=1),
}
