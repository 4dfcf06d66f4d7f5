"""Which addresses may be reached, whatever a name comes to mean and however an address is dressed up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, strategies as st

from jobqueue import InvalidOption
from jobqueue.webhooks import AddressRefused
from jobqueue.webhooks.guard import Address, Guard, embedded, parsed, unfit

INSIDE = [
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "0.0.0.0", "0.1.2.3"),  # noqa: S104
    *("169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1"),
    *("198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("192.88.99.1", "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "fd12:3456::1", "ff02::1"),
    *("2001:db8::1", "2001::1", "2001:10::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "100::1", "5f00::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "::8.8.8.8", "64:ff9b::7f00:1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "64:ff9b:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "4000::1"),
]
OUTSIDE = [
    *("8.8.8.8", "1.1.1.1", "93.184.215.14", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1"),
    *("2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"),
]
open_guard = Guard()


def judged(text: str, *, port: int = 443, plain: bool = False, guard: Guard = open_guard) -> str | None:
    """Why an address may not be reached."""
    address = parsed(text)
    assert address is not None
    return guard.refusal(address, port, plain=plain)


@pytest.mark.parametrize("text", INSIDE)
def test_nothing_inside_is_reached(text: str) -> None:
    assert judged(text) is not None


@pytest.mark.parametrize("text", OUTSIDE)
def test_what_is_public_is_reached(text: str) -> None:
    assert judged(text) is None


@pytest.mark.parametrize("port", [22, 25, 53, 80, 1023])
def test_ports_of_other_services_are_not_reached(port: int) -> None:
    assert judged("8.8.8.8", port=port) is not None


@pytest.mark.parametrize("port", [443, 1024, 8443])
def test_ports_of_web_servers_are_reached(port: int) -> None:
    assert judged("8.8.8.8", port=port) is None


def test_without_tls_only_what_is_allowed_by_name() -> None:
    assert judged("8.8.8.8", port=80, plain=True) is not None
    guard = Guard(["8.8.8.0/24", "10.1.0.0/16"])
    assert judged("8.8.8.8", port=80, plain=True, guard=guard) is None
    assert judged("10.1.2.3", port=22, guard=guard) is None
    assert judged("::ffff:10.1.2.3", guard=guard) is None
    assert judged("64:ff9b::a01:203", guard=guard) is None
    assert judged("10.2.0.1", guard=guard) is not None
    assert judged("2002:a01:203::", guard=Guard(["10.0.0.0/8", "2000::/3"])) is not None, "a tunnel leads anywhere"


def test_addresses_bound_to_an_interface_are_none() -> None:
    assert parsed("fe80::1%eth0") is None
    assert parsed("2606:4700::1%1") is None
    assert parsed("localhost") is None


def test_networks_must_be_networks() -> None:
    with pytest.raises(InvalidOption, match="allow"):
        Guard(["10.0.0.1/8"])
    with pytest.raises(InvalidOption, match="list"):
        Guard("10.0.0.0/8")


v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
v6 = st.integers(0, 2**128 - 1).map(IPv6Address)
special = st.sampled_from([ip_address(text) for text in INSIDE + OUTSIDE])


@given(st.one_of(v4, v6, special))
def test_what_is_let_through_is_global_by_every_measure(address: Address) -> None:
    if open_guard.refusal(address, 443, plain=False) is not None:
        return
    meant = embedded(address)
    assert meant is not None
    assert meant.is_global
    kinds = (meant.is_private, meant.is_loopback, meant.is_link_local, meant.is_multicast, meant.is_reserved)
    assert not any(kinds)
    assert not meant.is_unspecified
    if isinstance(meant, IPv6Address):
        assert meant in ip_network("2000::/3")
        assert meant.sixtofour is None
        assert meant.teredo is None


@given(v4)
def test_no_clothes_make_an_address_another(address: IPv4Address) -> None:
    naked = unfit(address)
    for dressed in (IPv6Address(0xFFFF << 32 | int(address)), IPv6Address(0x64FF9B << 96 | int(address))):
        meant = embedded(dressed)
        assert meant == address
        assert (open_guard.refusal(dressed, 443, plain=False) is None) == (naked is None)
    tunnel = IPv6Address(0x2002 << 112 | int(address) << 80)
    assert open_guard.refusal(tunnel, 443, plain=False) is not None


@given(st.lists(st.one_of(v4, v6, special), min_size=1, max_size=4))
def test_one_bad_address_spoils_the_name(addresses: Sequence[Address]) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return [str(address) for address in addresses]

    guard = Guard(resolve=resolve)
    clean = all(guard.refusal(address, 443, plain=False) is None for address in addresses)
    try:
        found = asyncio.run(guard.addresses("books.example", 443, plain=False))
    except AddressRefused:
        assert not clean
    else:
        assert clean
        assert found == list(dict.fromkeys(str(address) for address in addresses))


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "127.0.0.1", "a" * 70 + ".example"]
)
async def test_numbers_in_disguise_are_seen_through(host: str) -> None:
    try:
        found = await Guard().addresses(host, 443, plain=False)
    except (AddressRefused, OSError):
        return
    raise AssertionError(f"{host} leads to {found}")
