"""Which addresses may be reached: an endpoint's is chosen by somebody else, and must not lead into our own house.

The host is looked up here, every address it has is judged, and connections are made to those very addresses, so that
nothing that the name comes to mean a moment later matters.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from jobqueue.errors import InvalidOption
from jobqueue.webhooks.failures import AddressRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64 = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that is routed in the open; loopback, link-local, unique-local (and the metadata service in it),
site-local, multicast and everything deprecated lie outside."""
# By what they are for. Properties of ipaddress change between versions of Python; these hold beside them.
_REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(text), what)
    for text, what in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared between carriers"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's own service"),
        ("169.254.0.0/16", "link-local, and the metadata service"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "for protocols"),
        ("192.0.2.0/24", "for documentation"),
        ("192.31.196.0/24", "for protocols"),
        ("192.52.193.0/24", "for protocols"),
        ("192.88.99.0/24", "a tunnel"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "for protocols"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("2001::/23", "for protocols, and a tunnel"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "a tunnel"),
        ("2620:4f:8000::/48", "for protocols"),
        ("3fff::/20", "for documentation"),
    )
)
_LOWEST_PORT = 1024


class Guard:
    """Lets through what is public, and whatever lies in ``allow`` (networks such as ``"10.1.0.0/16"``).

    Raises InvalidOption for what is no network.
    """

    def __init__(self, allow: Iterable[str | Network] = (), *, resolve: Resolve | None = None) -> None:
        if isinstance(allow, str):
            raise InvalidOption(f"allow is a list of networks: allow=[{allow!r}]")
        try:
            self._allowed: tuple[Network, ...] = tuple(ip_network(network) for network in allow)
        except ValueError as error:
            raise InvalidOption(f"allow: {error}") from None
        self._resolve = resolve or _looked_up

    async def addresses(self, host: str, port: int, *, plain: bool) -> list[str]:
        """The addresses of ``host``, each of which may be reached. ``plain``: it will be talked to without TLS.

        Raises AddressRefused if one of them may not, and DeliveryFailed's other kinds never; OSError where there is
        none.
        """
        found: list[str] = []
        for text in await self._resolve(host, port):
            address = parsed(text)
            if address is None:
                raise AddressRefused(f"{text!r:.60} is no address")
            reason = self.refusal(address, port, plain=plain)
            if reason is not None:
                raise AddressRefused(f"{address} may not be reached: {reason}; workers allow networks by allow=")
            found.append(str(address))
        if not found:
            raise OSError("the host has no address")
        return list(dict.fromkeys(found))

    def refusal(self, address: Address, port: int, *, plain: bool) -> str | None:
        """Why an address may not be reached, None if it may."""
        meant = embedded(address)
        if meant is not None and any(meant in network for network in self._allowed):
            return None
        if meant is None:
            return "it stands for another address"
        why = unfit(meant)
        if why is not None:
            return why
        if plain:
            return "without TLS only what is allowed by name"
        if port != 443 and port < _LOWEST_PORT:
            return f"port {port} is not for web servers with TLS"
        return None


def parsed(text: str) -> Address | None:
    """An address; None for anything else, and for one that is bound to an interface."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id is not None else address


def embedded(address: Address) -> Address | None:
    """The address that is meant: IPv4 in IPv6's clothes (mapped, or by NAT64) is judged as IPv4. None where it means
    one by way of a tunnel (6to4, Teredo) or in a way that nobody uses any more (compatible).
    """
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None or address.teredo is not None:
        return None
    if int(address) >> 32 == 0 and int(address) > 0xFFFF:
        return None
    return address


def unfit(address: Address) -> str | None:
    """Why an address is not one of the open internet; None if it is."""
    for network, what in _REFUSED:
        if address.version == network.version and address in network:
            return f"it is {what}"
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return "it is not of the open internet"
    if (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or not address.is_global
    ):
        return "it is not of the open internet"
    return None


async def _looked_up(host: str, port: int) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("the host's name is none") from error
    return [str(socket_address[0]) for *_, socket_address in found]
