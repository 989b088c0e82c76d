"""Where the server may connect to, when somebody else chose the address (T1, T2).

One policy for provider URLs, webhooks and whatever comes later: parse strictly, resolve once,
check every address, connect to the checked address. Nothing here knows a setting or a client.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import ClassVar, Final, Literal

from config.kit.errors import PaywallsError

URL_CHARS_MAX: Final = 2_000
HOST_CHARS_MAX: Final = 253
PORTS: Final = frozenset({80, 443, 8443})
DEFAULT_PORT: Final = {"http": 80, "https": 443}

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Lookup = Callable[[str, int], Awaitable[list[str]]]

# Everything that a URL may be; userinfo, fragments, backslashes, blanks and control characters
# have no place in it, so that no two parsers can read it differently.
_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)",
    re.ASCII,
)
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
# What resolvers read as a number: 2130706433, 0177.0.0.1, 0x7f000001, 127.1.
_NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)
_LOCAL_SUFFIXES: Final = ("localhost", "local", "internal", "lan", "home.arpa", "localdomain")

_PRIVATE: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)
"""What an operator means by a host of the own network: a listed name may stand for these."""

_NEVER: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "64:ff9b:1::/48",
        "100::/64",
        "2001:db8::/32",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
"""Reserved, metadata and link-local: only for whom the network itself is listed."""

_V4_COMPATIBLE: Final = ip_network("::/96")
_V4_TRANSLATED: Final = ip_network("::ffff:0:0:0/96")
_NAT64: Final = ip_network("64:ff9b::/96")


class DestinationRefusedError(PaywallsError):
    """An address that this server does not connect to."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "destination_refused"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows beyond https to public addresses. Made by `policy`.

    hosts: names or literals, each with a port or None for any. own: (host, port) of ourselves.
    """

    hosts: frozenset[tuple[str, int | None]] = field(default_factory=frozenset)
    networks: tuple[Network, ...] = ()
    own: frozenset[tuple[str, int]] = field(default_factory=frozenset)

    def lists(self, host: str, port: int) -> bool:
        """Whether the operator listed this host, by name or by its network."""
        if (host, None) in self.hosts or (host, port) in self.hosts:
            return True
        address = _literal(host)
        return address is not None and self.covers(address)

    def covers(self, address: Address) -> bool:
        """Whether the address is in a listed network."""
        return any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A parsed and allowed URL. host: lower case, IPv6 without brackets. target: path and query."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """For the Host header: without the scheme's own port.

        >>> Destination(scheme="https", host="::1", port=8443, target="/v1").authority
        '[::1]:8443'
        """
        return _authority(self.host, None if self.port == DEFAULT_PORT[self.scheme] else self.port)

    @property
    def origin(self) -> str:
        """Scheme, host and port, always with the port: what a stored key is bound to."""
        return f"{self.scheme}://{_authority(self.host, self.port)}"

    def pinned_url(self, address: str) -> str:
        """The same URL at a checked address; send `authority` as Host and `host` as SNI."""
        return f"{self.scheme}://{_authority(address, self.port)}{self.target or '/'}"


def policy(allow: Iterable[str] = (), *, own: Iterable[str] = ()) -> Policy:
    """The operator's list, ready to be asked.

    allow: host names and addresses, each with or without a port, and networks in CIDR notation.
    own: URLs of this server, which are never a destination.
    """
    hosts: set[tuple[str, int | None]] = set()
    networks: list[Network] = []
    for entry in allow:
        network = _network(entry)
        if network is not None:
            networks.append(network)
        else:
            host, _, port = (
                entry.lower().rpartition(":") if ":" in entry else (entry.lower(), "", "")
            )
            hosts.add((host.strip("[]"), int(port) if port else None))
    ours = {(url.host, url.port) for url in (_split(text) for text in own) if url is not None}
    return Policy(frozenset(hosts), tuple(networks), frozenset(ours))


def parse(url: str, rules: Policy) -> Destination:
    """The URL, if it may be connected to as far as its text tells; no look-up.

    Raises: DestinationRefusedError, with what to change.
    """
    found = _split(url) if len(url) <= URL_CHARS_MAX else None
    if found is None:
        raise DestinationRefusedError(
            "This is not an address that can be used. Write https://host/path or "
            f"https://host:port/path, at most {URL_CHARS_MAX} ASCII characters (a name in its "
            "xn-- form), without user name, password, fragment, backslash or blank."
        )
    _check_host(found, rules)
    if rules.lists(found.host, found.port):
        return found
    if found.scheme != "https":
        raise DestinationRefusedError(
            "Use https. Plain http is only for hosts that the operator lists in EGRESS_ALLOW."
        )
    if found.port not in PORTS:
        raise DestinationRefusedError(
            f"Port {found.port} is not open to outgoing calls; use 443 or 8443, or ask the "
            "operator to list the host in EGRESS_ALLOW."
        )
    return found


def check_address(address: str, rules: Policy, *, listed: bool = False) -> None:
    """Refuse an address that is not public, also when it is wrapped in an IPv6 form.

    listed: the name that led here is on the operator's list, so it may be a private one.

    Raises: DestinationRefusedError. ValueError when it is no address.
    """
    outer = ip_address(address.partition("%")[0])
    for inner in (outer, *_wrapped(outer)):
        if rules.covers(inner) or rules.covers(outer):
            continue
        refused = any(inner in network for network in _NEVER)
        private = any(inner in network for network in _PRIVATE)
        if refused or (private and not listed):
            raise DestinationRefusedError(
                "The address leads into a private or reserved network. Use a public host, or ask "
                "the operator to list this one in EGRESS_ALLOW."
            )


async def system_lookup(host: str, port: int) -> list[str]:
    """All addresses of a name, from the system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(entry[4][0]) for entry in found]


async def resolve(
    host: str, port: int, rules: Policy, *, timeout_s: float, lookup: Lookup = system_lookup
) -> list[str]:
    """The addresses of a host, every one of them checked: connect to these, look up no more.

    One refused address among good ones refuses the host.

    Raises: DestinationRefusedError. OSError (TimeoutError too) when the name does not resolve.
    """
    if _literal(host) is not None:
        addresses = [host]
    else:
        async with asyncio.timeout(timeout_s):
            addresses = await lookup(host, port)
    return _checked(host, port, addresses, rules)


def resolve_now(host: str, port: int, rules: Policy) -> list[str]:
    """`resolve` for threads and workers. The resolver's own timeout applies."""
    if _literal(host) is not None:
        return _checked(host, port, [host], rules)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return _checked(host, port, [str(entry[4][0]) for entry in found], rules)


def _checked(host: str, port: int, addresses: list[str], rules: Policy) -> list[str]:
    if not addresses:
        raise OSError(f"{host} has no address")
    listed = rules.lists(host, port)
    for address in addresses:
        check_address(address, rules, listed=listed)
    return list(dict.fromkeys(addresses))


def _split(url: str) -> Destination | None:
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme: Literal["http", "https"] = "http" if match["scheme"] == "http" else "https"
    port = int(match["port"] or DEFAULT_PORT[scheme])
    if not 0 < port <= 65_535:
        return None
    host = match["host"].lower().strip("[]")
    return Destination(scheme=scheme, host=host, port=port, target=match["target"])


def _check_host(found: Destination, rules: Policy) -> None:
    """Refuse ourselves, numbers that only resolvers understand, and names of the own network."""
    if (found.host, found.port) in rules.own:
        raise DestinationRefusedError("This is our own address; name the provider's.")
    address = _literal(found.host)
    if address is not None:
        check_address(found.host, rules, listed=rules.lists(found.host, found.port))
        return
    labels = found.host.split(".")
    well_formed = len(found.host) <= HOST_CHARS_MAX and all(map(_LABEL.fullmatch, labels))
    if not well_formed or _NUMBER.fullmatch(labels[-1]):
        raise DestinationRefusedError(
            "The host must be a name such as api.example.com, or an address in its full form."
        )
    is_local = len(labels) == 1 or any(
        found.host == suffix or found.host.endswith(f".{suffix}") for suffix in _LOCAL_SUFFIXES
    )
    if is_local and not rules.lists(found.host, found.port):
        raise DestinationRefusedError(
            "The host is a name of the local network. Use a public host, or ask the operator to "
            "list this one in EGRESS_ALLOW."
        )


def _wrapped(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address carries inside: where a packet would end up."""
    if isinstance(address, IPv4Address):
        return []
    found: list[Address] = [
        inner
        for inner in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
        if inner is not None
    ]
    if any(address in net for net in (_NAT64, _V4_COMPATIBLE, _V4_TRANSLATED)):
        found.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    # ::1 and :: are themselves, not 0.0.0.1 and 0.0.0.0.
    return [] if int(address) <= 1 else found


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None


def _authority(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"
