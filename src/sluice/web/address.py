"""Which addresses may be connected to: public ones, and what a recipe allows by name.

What a list of URLs names is a stranger's choice. Without this, one row could read a cloud's metadata service, a router
or a database of the machine's own network (server-side request forgery).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
# By name alone these are never allowed: their names are anyone's to choose, their answers hold keys.
_METADATA: Final = tuple(map(ip_address, ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")))


class UnsafeAddressError(OSError):
    """An address that nothing may be fetched from."""


class Allowed:
    """The hosts that a recipe allows by name, and the networks.

    >>> allowed = Allowed(["images.intranet", "10.1.0.0/16"])
    >>> allowed.why_not("images.intranet", "192.168.0.7"), allowed.why_not("example.org", "10.1.2.3")
    (None, None)
    >>> allowed.why_not("example.org", "::ffff:127.0.0.1")
    'example.org is at ::ffff:127.0.0.1, an address that is not public; `fetch.allow` names what may be reached'
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._suffixes: list[str] = []
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in entries:
            name = entry.strip().lower().rstrip(".")
            try:
                self._networks.append(ip_network(name.strip("[]")))
            except ValueError:
                if not name or "/" in name or ":" in name:
                    raise ValueError(f"allow: {entry!r} is neither the name of a host nor a network") from None
                if name.startswith("*."):
                    self._suffixes.append(name[1:])
                else:
                    self._names.add(name)

    def why_not(self, host: str, address: str) -> str | None:
        """Why a connection for `host` must not go to `address`; None where it may."""
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return f"{host} is at {address}, which is no address"
        meant = _meant(found)
        if _is_public(meant) and _is_public(found):
            return None
        if any(one in network for network in self._networks for one in (found, meant)):
            return None
        if meant not in _METADATA and not meant.is_link_local and self._named(host):
            return None
        return f"{host} is at {address}, an address that is not public; `fetch.allow` names what may be reached"

    def check(self, host: str, address: str) -> None:
        """Raise `UnsafeAddressError` where a connection for `host` must not go to `address`."""
        why = self.why_not(host, address)
        if why is not None:
            raise UnsafeAddressError(why)

    def _named(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return name in self._names or name.endswith(tuple(self._suffixes))


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does: mapped, 6to4, Teredo, NAT64."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _NAT64) or int(address) >> 32 == 0:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return _is_public(address.ipv4_mapped)
    if address in _METADATA or any(address in network for network in _NAT64 if network.version == address.version):
        return address not in _METADATA
    return address.is_global and not address.is_multicast
