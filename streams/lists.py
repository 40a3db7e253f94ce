"""The lists and databases of one source: what they say about an address, a user agent, a subject.

They are files that `SourceSettings` names; they are read again when they change, without a restart.
"""

import logging
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

from schemas.address import canonical_address, parse_address
from schemas.source import Source
from streams.agents import Agents, read_agents
from streams.geography import locate, open_asn, open_city, operator
from streams.networks import Networks, read_networks
from tailrace.watched import Content, Watched, listed

log = logging.getLogger("tailrace.enrich")

PRIVATE = Networks(
    map(ip_network, ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "::1", "fe80::/10", "fc00::/7"])
)
"""RFC 1918, loopback, link-local, RFC 4193."""

_NO_NETWORKS = Networks([])
_NO_AGENTS = Agents([])
_NO_SUBJECTS: frozenset[str] = frozenset()


class AboutAddress(NamedTuple):
    """What is known about one address. Shared by the documents that have it, so nobody changes it."""

    address: str | None
    """In its canonical spelling; None where the text is no address."""
    tags: tuple[str, ...]
    geoip: dict[str, Any]
    client_class: str | None


class Lists:
    """Raises ConfigError where a list is missing or cannot be used.

    A database that is missing is a warning, since geography is an extra that comes by a subscription: events go on without.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        settings = source.settings
        agents = partial(read_agents, ignore_case=settings.user_agent_case == "insensitive")
        self._own = self._watch("own_networks", read_networks)
        self._robots = self._watch("robot_networks", read_networks)
        self._machine_agents = self._watch("machine_user_agents", agents)
        self._robot_agents = self._watch("robot_user_agents", agents)
        self._subjects = self._watch("admin_subjects", _read_subjects)
        self._city = self._watch("geoip_city", open_city, optional=True)
        self._asn = self._watch("geoip_asn", open_asn, optional=True)
        if source.address_field is not None and settings.geoip_city is None:
            log.info("sources.%s.geoip_city is not set: events go without geography", source.name)
        self.version = self._version()
        """12 hex digits that change with the entries of the lists, and are the same wherever the same lists are in force."""

    def refresh(self) -> bool:
        """Read again what has changed; True if anything has."""
        files = (self._own, self._robots, self._machine_agents, self._robot_agents, self._subjects, self._city, self._asn)
        changed = [file for file in files if file is not None and file.refresh()]
        if changed:
            self.version = self._version()
        return bool(changed)

    def about_address(self, text: str) -> AboutAddress:
        """The tags are dataone_ip, robot_ip, ignore_ip, _geoip_lookup_failure."""
        address, spelling = parse_address(text), canonical_address(text)
        geoip, failed = self._geography(spelling)
        failure = ("_geoip_lookup_failure",) if failed else ()
        if address is None:
            return AboutAddress(None, failure, geoip, None)
        own = address in _content(self._own, _NO_NETWORKS)
        robot = address in _content(self._robots, _NO_NETWORKS)
        client_class = None
        if self._source.client_class:
            client_class = "own" if own else "private" if address in PRIVATE else "public"
            own = False
        tags = (("dataone_ip",) if own else ()) + (("robot_ip",) if robot else ()) + (("ignore_ip",) if own or robot else ())
        return AboutAddress(spelling, tags + failure, geoip, client_class)

    def about_agent(self, agent: str) -> tuple[str, ...]:
        """The tags machine_ua and robot_ua. A missing agent is matched as the empty text, as Logstash's grok filter did."""
        machine = agent in _content(self._machine_agents, _NO_AGENTS)
        robot = agent in _content(self._robot_agents, _NO_AGENTS) and not (machine and self._source.settings.machine_wins)
        return (("machine_ua",) if machine else ()) + (("robot_ua",) if robot else ())

    @property
    def admins(self) -> frozenset[str]:
        """The subjects that are DataONE's own."""
        return _content(self._subjects, _NO_SUBJECTS)

    def _watch(self, name: str, read: Callable[[Path], Content], *, optional: bool = False) -> Watched[Content] | None:
        path: str | None = getattr(self._source.settings, name)
        return None if path is None else Watched(Path(path), read, f"sources.{self._source.name}.{name}", optional=optional)

    def _geography(self, address: str | None) -> tuple[dict[str, Any], bool]:
        """The fields of `geoip`, and whether a City database was asked in vain, be it for want of an address."""
        city = self._city.value if self._city is not None else None
        asn = self._asn.value if self._asn is not None else None
        if address is None:
            return {}, city is not None
        place = locate(city, address) if city is not None else None
        return {**(operator(asn, address) if asn is not None else {}), **(place or {})}, city is not None and place is None

    def _version(self) -> str:
        networks = [_content(file, _NO_NETWORKS).ranges for file in (self._own, self._robots)]
        agents = [_content(file, _NO_AGENTS).patterns for file in (self._machine_agents, self._robot_agents)]
        return blake2b(repr((networks, agents, sorted(self.admins))).encode(), digest_size=6).hexdigest()


def _content(file: Watched[Content] | None, otherwise: Content) -> Content:
    """The content of a file that is configured and there."""
    return otherwise if file is None or file.value is None else file.value


def _read_subjects(path: Path) -> frozenset[str]:
    return frozenset(line.strip() for _, line in listed(path))
