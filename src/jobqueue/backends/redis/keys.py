"""Every key of a queue, its Redis type and what it holds. No key of undone work ever has a TTL.

All keys of a queue begin with ``<namespace>:{<queue>}:``; the braces are the cluster's hash tag, so that one
queue lives in one slot and queues spread over a cluster by themselves. Scripts are given that prefix as their
one declared key and derive the rest from it.

| key after the prefix | type   | holds |
|---|---|---|
| ``job:<id>``         | string | the job as it was enqueued: "created priority type" and, if it has one, " @group"; \
options; data; a line each |
| ``end:<id>``         | string | how it completed: "started finished", and its result on the next line |
| ``life:<id>``        | hash   | what else became of it (failures, error, progress ...); most jobs have none |
| ``log:<id>``         | list   | its log lines |
| ``waiting``          | zset   | priority * 2^32 + sequence |
| ``delayed``          | zset   | due ms * 4096 + arrival |
| ``active``           | zset   | lease deadline in ms: the lease set is the active set |
| ``blocked``          | zset   | ms since when * 4096 + sequence |
| ``completed`` ``failed`` ``cancelled`` | zset | finishing ms * 4096 + sequence |
| ``leases``           | hash   | id to "token, claimed at, worker" (? before that: not begun, see trial.py), and on \
two more lines a limited type and a group |
| ``cancelling``       | hash   | id to reason, for active jobs |
| ``expiring``         | zset   | ms at which an unstarted job expires |
| ``retention``        | zset   | ms at which a finished job is forgotten |
| ``meta``             | hash   | tail, head, token (counters), done (the last score in ``completed``), paused, hold, \
lives, logged, linked, lined, keyed (whether any job has ever had such a key, waited for another, stood in ``aside``, \
or asked for a unique key), \
limited, bounded (whether there are limits to starting, to enqueueing), pace (what has started under the queue's \
rate), awaited (until when a producer waits for room), stuck, retries, lists (counters), hooked (whether anybody is \
told of jobs) |
| ``needs:<id>``       | hash   | what it still waits for: "queue/id" of a job, or its flow's gate, to policy \
(f fail, r run, i ignore, g gate) |
| ``asked:<id>``       | hash   | of those that it has asked for again, since it was retried: the number of the retry |
| ``inputs:<id>``      | hash   | what became of that: "queue/id" to "policy state", error or reason, result, by line |
| ``heirs:<id>``       | hash   | whom to tell when it ends: "queue/id" of a job, to policy, or of a flow (F; S: with \
the result); behind a policy the number of the asking ("f3", see asked), and of the list if it came while that \
is read out ("f3+7"); '' the number of the list while the outbox has some still to tell, ! behind it once the job is \
gone |
| ``list:<number>``    | hash   | such a list, where another job of that id has heirs meanwhile |
| ``unique``           | hash   | a key to who holds it: "id since until ended next", "*" for what is not (holds.lua) |
| ``lasting``          | zset   | ms until which a key is held whether its job is done or not |
| ``staged:<flow>``    | hash   | a flow's jobs, by place, its gate once it is committed, and whether it has been \
written, until they are let go; what is not committed expires |
| ``graph:<flow>``     | hash   | what a flow remembers of its members, by "queue/id" |
| ``ended:<flow>``     | hash   | those of them that have ended: "state ms", and result on the next line |
| ``reopened:<flow>``  | hash   | those that have been retried: the number of the last retry that is known of |
| ``flows`` ``flowed`` | zset   | flows under way, by ms of submission; the last that ended, like finished jobs     |
| ``calls``            | hash   | caller to its last call: "sequence ms" and what it came to, so that it is carried \
out once (calls.lua, writes.lua, exchange.lua); gates that are open |
| ``wake``             | zset   | the marker that one idle worker pops |
| ``events``           | stream | what happened, one entry a script |
| ``outbox``           | stream | effects for other queues, and flows, not yet delivered |
| ``seen`` ``workers`` | zset, hash | live workers |
| ``stats:<minute>``   | hash   | counters of the attempts that ended in it (model/stats.py); expires after a day |
| ``schedules``        | zset   | ms at which a schedule is due (+inf: it will not be), held back while one fires it |
| ``schedule:<id>``    | hash   | a schedule: its plan and job as JSON, its next tick, what it has counted |
| ``declared``         | set    | ids of schedules that were declared in code |
| ``limits`` ``overrides`` | hash | limits of the queue; what is set for single groups (model/limits.py) |
| ``aside``            | zset   | waiting jobs of groups, and those set aside: not in ``waiting``, scored as there |
| ``line:<group>``     | zset   | a group's waiting jobs, scored as in ``waiting`` |
| ``parked:<type> <group>`` | zset | its jobs that were set aside, because their type has no room |
| ``parked`` ``holding:<type>`` | zset | types of which jobs are set aside, and in which groups |
| ``groups``           | zset   | groups with jobs waiting or something set for them, by name |
| ``turns``            | zset   | groups that may start something, by virtual time |
| ``stuck:<type>``     | zset   | groups that wait for room for a type, in order |
| ``resting``          | zset   | ms at which a group may start something again |
| ``rates`` ``fading`` | hash, zset | what groups have started under their rates, and when that counts no more |
| ``busy`` ``running:<type>`` | zset | active jobs of groups, as "group id", and those of a type that is limited |
| ``room``             | zset   | the marker that one producer pops who waits for room |
| ``endpoints``        | hash   | whom webhooks go to: id to "revision state since", rules, reason, address and \
secrets as JSON, by line |
| ``hooks``            | hash   | of those that are told anything: id to rules, "occasions parts whole target types": \
letters (c f x r completed, failed, cancelled, retrying; d r e data, result, error), 0 or 1, a queue, names |
| ``orders:<worker>``  | list   | what others want of a worker; expires after a minute |

Beside them stands ``<namespace>:queues``, a set of the names of all queues.
"""

from __future__ import annotations


def prefix(namespace: str, queue: str) -> str:
    """What every key of ``queue`` begins with."""
    return f"{namespace}:{{{queue}}}:"


def queues(namespace: str) -> str:
    """The set of the names of all queues."""
    return f"{namespace}:queues"


def wake(namespace: str, queue: str) -> str:
    """The marker that one idle worker pops."""
    return prefix(namespace, queue) + "wake"


def events(namespace: str, queue: str) -> str:
    """The stream of what happened."""
    return prefix(namespace, queue) + "events"


def outbox(namespace: str, queue: str) -> str:
    """The stream of effects for other queues."""
    return prefix(namespace, queue) + "outbox"


def orders(namespace: str, queue: str, worker: str) -> str:
    """The list of what others want of ``worker``."""
    return prefix(namespace, queue) + "orders:" + worker


def logs(namespace: str, queue: str, job_id: str) -> str:
    """The list of a job's log lines."""
    return prefix(namespace, queue) + "log:" + job_id


def named(namespace: str, queue: str, name: str) -> str:
    """Any other key of the table above."""
    return prefix(namespace, queue) + name
