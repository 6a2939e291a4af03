"""Which network addresses a webhook may reach: the guard against requests forged through names (SSRF).

A host is resolved once; every address it has must be allowed, and the connection goes to one of exactly
these. Allowed by itself is only what is globally reachable, and loopback for a host written as loopback.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Collection, Sequence

from monitor.errors import ActionError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int, float], Sequence[str]]  # host, port, timeout in seconds -> addresses

# Cloud metadata services hand out credentials; no host *name* on an allow list opens them.
METADATA = frozenset(
    ipaddress.ip_address(a)
    for a in (
        *("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("fd00:ec2::254", "fd20:ce::254", "fe80::a9fe:a9fe"),
    )
)
# Prefixes whose last 32 bits are an IPv4 address: NAT64 (RFC 6052), translated (2765), compatible (4291).
_WRAPPING = tuple(ipaddress.IPv6Network(n) for n in ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96"))
_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that has been given out of IPv6
# What ``is_global`` of some Python versions lets pass: protocol assignments, 6to4 relays, documentation.
_RESERVED = tuple(ipaddress.ip_network(n) for n in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20"))


def resolve_host(host: str, port: int, timeout_s: float) -> list[str]:
    """Return the addresses of a host, waiting no longer than ``timeout_s``.

    Raises
    ------
    ActionError
        When the name is unknown or the resolver does not answer in time.
    """
    found: list[str] = []
    failed: list[str] = []

    def look_up() -> None:  # getaddrinfo has no time-out of its own; this thread may outlive us by a little
        try:
            found.extend(str(i[4][0]) for i in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failed.append(str(error))

    thread = threading.Thread(target=look_up, daemon=True, name=f"resolve {host}")
    thread.start()
    thread.join(timeout_s)
    if failed or thread.is_alive():
        raise ActionError(f"{host}: cannot be resolved: {failed[0] if failed else 'no answer in time'}")
    return list(dict.fromkeys(found))


def is_loopback_name(host: str) -> bool:
    """Tell whether a host is *written* as loopback: ``localhost`` or a loopback address.

    >>> [is_loopback_name(h) for h in ("localhost", "127.0.0.9", "::1", "localhost.example")]
    [True, True, True, False]
    """
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_listed(host: str, allow: Collection[str]) -> bool:
    """Tell whether a host, by name or as an address, is on the allow list."""
    names = {entry.lower() for entry in allow}
    try:
        return host.lower() in names or _in_networks(ipaddress.ip_address(host), allow)
    except ValueError:
        return host.lower() in names


def check_addresses(host: str, addresses: Sequence[str], allow: Collection[str]) -> None:
    """Refuse a host of which any address is not allowed.

    Parameters
    ----------
    allow
        Host names, addresses and networks (``10.1.0.0/16``). A listed name may have any address but those of
        metadata services; these must be listed themselves.

    Raises
    ------
    ActionError
        Naming the host, the address, and what would allow it.
    """
    if not addresses:
        raise ActionError(f"{host}: has no address")
    for text in addresses:
        address = _effective(ipaddress.ip_address(text.partition("%")[0]))
        allowed = (
            _in_networks(address, allow)
            or (address not in METADATA and is_listed(host, allow))
            or (address not in METADATA and _is_public(address))
            or (address.is_loopback and is_loopback_name(host))
        )
        if not allowed:
            raise ActionError(
                f"{host}: blocked, its address {text} is not a public one; "
                f"list {_entry(host, address)!r} in the action's 'allow_hosts' if it is meant"
            )


def _entry(host: str, address: Address) -> str:
    return str(address) if address in METADATA else host


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or any(address in network for network in _RESERVED):
        return False
    return isinstance(address, ipaddress.IPv4Address) or address in _UNICAST


def _effective(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 one that only wraps it."""
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback or address.is_unspecified:
        return address
    if any(address in network for network in _WRAPPING):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _in_networks(address: Address, allow: Collection[str]) -> bool:
    for entry in allow:
        try:
            if address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:  # a host name
            continue
    return False
