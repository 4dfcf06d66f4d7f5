"""What nodes tell of a cluster, and what a URL says of where to begin."""

from __future__ import annotations

import pytest

from jobqueue import ConfigurationError, connect
from jobqueue.backends import ClusterBackend
from jobqueue.backends.redis import keys
from jobqueue.backends.redis.slots import SLOTS, Address, SlotMap, slot_of

ASKED = Address("10.0.0.1", 7000)


def test_the_map_has_the_primary_of_each_slot() -> None:
    reply: list[object] = [
        [0, 100, [b"10.0.0.1", 7000, b"a", []], [b"10.0.0.2", 7000, b"b", []]],
        [101, SLOTS - 2, [b"node-3.example", 7001, b"c", [b"ip", b"10.0.0.3"]]],
    ]
    found = SlotMap.read(reply, ASKED)
    assert [found.owner(slot) for slot in (0, 100)] == [ASKED] * 2
    assert [found.owner(slot) for slot in (101, SLOTS - 2)] == [Address("node-3.example", 7001)] * 2
    assert found.owner(SLOTS - 1) is None
    assert found.primaries == (ASKED, Address("node-3.example", 7001))
    assert set(found.nodes) == {*found.primaries, Address("10.0.0.2", 7000)}


@pytest.mark.parametrize("nameless", [None, b"", ""])
def test_a_node_without_a_name_is_where_it_was_asked(nameless: bytes | str | None) -> None:
    found = SlotMap.read([[0, SLOTS - 1, [nameless, 7002, b"a", []]]], ASKED)
    assert found.owner(5) == Address("10.0.0.1", 7002)


def test_a_node_whose_name_is_not_known_yet_is_left_out() -> None:
    reply: list[object] = [
        [0, 9, [b"?", 7000, b"a", []], [b"10.0.0.2", 7000, b"b", []]],
        [10, 19, [b"10.0.0.3", 7000, b"c", []]],
    ]
    found = SlotMap.read(reply, ASKED)
    assert found.owner(0) is None
    assert found.primaries == (Address("10.0.0.3", 7000),)
    assert Address("10.0.0.2", 7000) in found.nodes


def test_one_slot_is_corrected() -> None:
    found = SlotMap.read([[0, SLOTS - 1, [b"10.0.0.1", 7000, b"a", []]]], ASKED)
    newcomer = Address("10.0.0.9", 7000)
    found.correct(7, newcomer)
    assert [found.owner(slot) for slot in (6, 7, 8)] == [ASKED, newcomer, ASKED]
    assert newcomer in found.primaries


def test_all_keys_of_a_queue_are_in_one_slot() -> None:
    of_queue = {
        slot_of(key)
        for key in (
            keys.prefix("jobqueue", "tickets"),
            keys.wake("jobqueue", "tickets"),
            keys.outbox("jobqueue", "tickets"),
            keys.orders("jobqueue", "tickets", "w{x}"),
            keys.logs("jobqueue", "tickets", "{job}"),
        )
    }
    assert of_queue == {slot_of("tickets")}


async def test_the_url_names_some_nodes_and_what_holds_for_all() -> None:
    backend = ClusterBackend.from_url("rediss+cluster://ann:p%40ss@one:7000,[::1]:7001,three/?ssl_check_hostname=false")
    seeds = (Address("one", 7000), Address("::1", 7001), Address("three", 6379))
    assert backend.nodes == seeds
    settings = backend._client.connection_pool.connection_kwargs  # pyright: ignore[reportPrivateUsage]
    assert (settings["username"], settings["password"]) == ("ann", "p@ss")
    assert settings["ssl_check_hostname"] is False
    await backend.close()


@pytest.mark.parametrize("path", ["1", "/3", "x"])
async def test_a_cluster_has_one_database(path: str) -> None:
    with pytest.raises(ConfigurationError, match="database 0"):
        await connect(f"redis+cluster://:secret@one:7000/{path}", fallback="never")


@pytest.mark.parametrize("hosts", ["", "one:port", "one,,two", "one:99999999", "[::1"])
async def test_hosts_that_are_none(hosts: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await connect(f"redis+cluster://ann:canary@{hosts}/", fallback="never")
    assert "canary" not in str(caught.value)
    assert "host:port" in str(caught.value)
