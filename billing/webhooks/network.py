"""Posting to an address that somebody else chose: one checked connection, no redirects, bounded.

A name is resolved for each connection, every address it has is checked, and only checked ones are
connected to; so a name that turns to the own network after it was saved leads nowhere.
"""

import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Final, Self, override

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings

from billing.webhooks.schedule import Outcome
from config.kit import clock, egress

TIMEOUT_S: Final = 15.0
CONNECT_S: Final = 5.0
CONNECTIONS_MAX: Final = 512
KEPT_BYTES: Final = 1_024
"""Of an answer; the rest is not read."""
USER_AGENT: Final = "paywalls-webhooks/1.0"


def policy() -> egress.Policy:
    """What the operator allows; never ourselves."""
    return _policy(tuple(settings.EGRESS_ALLOW), str(settings.BASE_URL))


@cache
def _policy(allow: tuple[str, ...], base_url: str) -> egress.Policy:
    return egress.policy(allow, own=(base_url,))


class _Checked(AbstractResolver):
    """Gives a connection only addresses that the policy allows."""

    def __init__(self, rules: egress.Policy, lookup: egress.Lookup) -> None:
        self._rules = rules
        self._lookup = lookup

    @override
    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found = await egress.resolve(
            host, port, self._rules, timeout_s=CONNECT_S, lookup=self._lookup
        )
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0)
            for each in found
        ]

    @override
    async def close(self) -> None:
        pass


class Poster:
    """A client for addresses of the developers'. `async with` it, or close it."""

    def __init__(
        self,
        rules: egress.Policy | None = None,
        *,
        lookup: egress.Lookup = egress.system_lookup,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._rules = rules or policy()
        connector = aiohttp.TCPConnector(
            resolver=_Checked(self._rules, lookup),
            use_dns_cache=False,
            limit=CONNECTIONS_MAX,
            ssl=tls or ssl.create_default_context(),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, keep_bytes: int = KEPT_BYTES
    ) -> Outcome:
        """Send JSON once; whatever happens is an outcome."""
        started = time.monotonic()
        try:
            outcome = await self._post(url, body, headers, keep_bytes)
        except egress.DestinationRefusedError as refusal:
            outcome = Outcome(code=None, error=refusal.message)
        except TimeoutError:
            outcome = Outcome(code=None, error="No answer in time.")
        except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as problem:
            outcome = Outcome(code=None, error=f"No answer: {_named(problem)}.")
        return replace(outcome, latency_ms=int((time.monotonic() - started) * 1000))

    async def _post(
        self, url: str, body: bytes, headers: Mapping[str, str], keep_bytes: int
    ) -> Outcome:
        place = egress.parse(url, self._rules)  # Literal addresses never reach the resolver.
        target = yarl.URL(f"{place.origin}{place.target or '/'}", encoded=True)
        sent = {
            **headers,
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
        }
        async with self._session.post(
            target, data=body, headers=sent, allow_redirects=False
        ) as answer:
            kept = await _read(answer.content, keep_bytes)
            error = "" if 200 <= answer.status < 300 else f"HTTP {answer.status}."
            if 300 <= answer.status < 400:
                error = f"HTTP {answer.status}: redirects are not followed."
            return Outcome(
                code=answer.status,
                error=error,
                response=kept.decode("utf-8", "replace").replace("\0", ""),
                retry_after_s=_seconds(answer.headers.get("Retry-After", "")),
            )


async def _read(stream: aiohttp.StreamReader, most: int) -> bytes:
    """The beginning of a body. What does not come in time is done without."""
    kept = b""
    while len(kept) < most:
        piece = await stream.read(most - len(kept))
        if not piece:
            break
        kept += piece
    return kept


def _seconds(text: str) -> float | None:
    """Retry-After: a number of seconds, or a date."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - clock.now()).total_seconds())


def _named(problem: BaseException) -> str:
    """A reason for the developer, without addresses of ours or long texts."""
    if isinstance(problem, aiohttp.ClientConnectorDNSError):
        return "the name does not resolve"
    if isinstance(problem, (aiohttp.ClientSSLError, ssl.SSLError)):
        return "TLS failed"
    if isinstance(problem, (aiohttp.ClientConnectorError, ConnectionRefusedError)):
        return "cannot connect"
    return "the connection broke, or it was not HTTP"


def check_now(url: str) -> egress.Destination:
    """The address, if it may be told of anything today: as it reads, and where its name leads.

    Blocks while the name is looked up; a name that does not resolve is not refused.

    Raises: DestinationRefusedError.
    """
    place = egress.parse(url, policy())
    try:
        egress.resolve_now(place.host, place.port, policy())
    except OSError:
        return place  # Its server may come later than its subscription.
    return place
