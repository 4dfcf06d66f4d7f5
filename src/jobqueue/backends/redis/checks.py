"""What a server's settings put at risk, read once when a backend is opened.

A queue on a server that evicts keys loses jobs without a word, so the word is said at start. Nothing here refuses a
server that works, because a setting may be changed, and a replica promoted, while the program runs; a server that
is too old to run the scripts is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

OLDEST = (6, 2)


@dataclass(frozen=True, slots=True)
class Risk:
    """One thing that may cost jobs: what it is, and what to do about it."""

    setting: str
    advice: str
    grave: bool = True
    """Whether acknowledged jobs can be lost, or not even taken, while everything runs as it should."""


def facts_of(info: str) -> dict[str, str]:
    """The ``name:value`` lines of an ``INFO`` reply."""
    lines = (line.partition(":") for line in info.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


def too_old(facts: Mapping[str, str]) -> str | None:
    """The version of a server that is older than Redis 6.2, or None. Valkey and others that name no version are not."""
    found = re.match(r"(\d+)\.(\d+)", facts.get("redis_version", ""))
    if found is None or (int(found[1]), int(found[2])) >= OLDEST:
        return None
    return facts["redis_version"]


def risks(facts: Mapping[str, str], *, in_cluster: bool = False) -> list[Risk]:
    """What the facts put at risk; what they do not tell is not guessed at. ``in_cluster``: the backend knows its way
    about a cluster.
    """
    found: list[Risk] = []
    if facts.get("cluster_enabled") == "1" and not in_cluster:
        advice = (
            "this server is one node of a cluster, and queues of other nodes are out of reach: use redis+cluster://"
        )
        found.append(Risk("cluster-enabled yes", advice))
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        advice = "a server that is short of memory throws jobs away: set maxmemory-policy noeviction"
        # Without a limit nothing is evicted, until somebody sets one.
        found.append(Risk(f"maxmemory-policy {policy}", advice, grave=facts.get("maxmemory", "0") != "0"))
    if facts.get("role") == "slave":
        found.append(Risk("replica", "it takes no jobs until it is promoted: connect to the primary"))
    if facts.get("aof_enabled") == "0":
        advice = "a crash loses every job since the last snapshot: set appendonly yes"
        found.append(Risk("appendonly no", advice, grave=False))
    return found
