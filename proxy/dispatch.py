"""One request that has its hold: the providers it is tried at, and the one bill at its end."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Final
from uuid import UUID

import orjson
from django.conf import settings

from billing.errors import GateUnavailableError
from billing.types import Bill, Progress, Settled, Status
from config.kit import crypto
from config.kit.limits import ANSWER_BYTES_MAX, OUTPUT_TOKENS_LEAST
from config.kit.money import NANOS
from paywalls.decisions import Allowed
from paywalls.pricing import Usage
from providers.errors import AccountError, ProviderError
from providers.upstream import Reply
from proxy.chat_body import Chat
from proxy.estimate import Estimate, granted_output_tokens
from proxy.meter import Measure, Meter, Terms
from proxy.offers import Offer
from proxy.requests import Call
from proxy.services import Services

PATH: Final = "/chat/completions"
NOTHING: Final = Progress(charge_nanos=0, provider_cost_nanos=0, delivered=False, usage={})
PSEUDONYMS_KEPT: Final = 10_000
LIMIT_FIELDS: Final = ("max_tokens", "max_completion_tokens")
SETTLE_WAIT_S: Final = 20.0
"""How long a client waits for the booking before it is told that there is none yet."""

logger = logging.getLogger("paywalls.proxy")


@dataclass(slots=True, kw_only=True)
class Plan:
    """What was decided before the hold. prompt_tokens: as many as the body's bytes allow."""

    chat: Chat
    offers: list[Offer]
    estimate: Estimate
    prompt_tokens: int


@dataclass(slots=True)
class Dispatch:
    """A held request on its way. It is settled once, whoever asks for it first.

    has_started: whether bytes have gone to the client, after which nothing is tried again.
    offer, meter: of the provider that is being tried. kept: what is delivered, where the answer
    is to be kept.
    """

    services: Services
    call: Call
    plan: Plan
    allowed: Allowed
    has_started: bool = False
    meter: Meter | None = None
    offer: Offer | None = None
    attempts: list[dict[str, object]] = field(default_factory=list)
    first_byte_ms: int | None = None
    kept: list[bytes] | None = None
    measured: Measure | None = None
    _settling: "asyncio.Task[Settled | None] | None" = None

    def progress(self) -> Progress:
        """For the gate's heartbeat."""
        return self.meter.progress() if self.meter is not None else NOTHING

    def worth_trying(self) -> list[tuple[Offer, int]]:
        """The offers that the hold pays for, with their output tokens; the first one always."""
        estimate, allowed = self.plan.estimate, self.allowed
        if allowed.trial:
            return [(offer, estimate.output_tokens) for offer in self.plan.offers]
        least = min(estimate.output_tokens, OUTPUT_TOKENS_LEAST)
        granted = [
            (
                offer,
                granted_output_tokens(estimate, offer.rates, granted_nanos=allowed.granted_nanos),
            )
            for offer in self.plan.offers
        ]
        return [granted[0], *(each for each in granted[1:] if each[1] >= least)]

    async def post(self, offer: Offer, output_tokens: int) -> Reply:
        """Ask one provider; whatever it answers is noted as an attempt.

        Raises: ProviderError, also for an answer that is a refusal.
        """
        endpoint, adapter = offer.model.endpoint, offer.model.endpoint.adapter
        body = adapter.body(
            _limited(self.call.body, output_tokens, adapter.output_limit_field),
            model=offer.model.upstream,
            stream=self.plan.chat.stream,
            user=pseudonym(self.call),
        )
        self.offer, self.meter = offer, self._meter(offer, output_tokens)
        attempt: dict[str, object] = {
            "connection": str(endpoint.connection_id),
            "model": offer.model.upstream,
            "at_ms": self._elapsed_ms(),
        }
        self.attempts.append(attempt)
        reply = await self.services.upstream.post(endpoint, PATH, orjson.dumps(body))
        attempt["status"] = reply.status
        if reply.status >= 400:
            try:
                raise adapter.error(reply.status, reply.headers, await reply.read())
            finally:
                reply.drop()
        return reply

    def failed(self, error: ProviderError) -> None:
        """Note that the last attempt went wrong."""
        self.attempts[-1]["error"] = error.code
        self.services.metrics.upstream_failed(error.code)
        if isinstance(error, AccountError):
            self.attempts[-1]["trouble"] = error.trouble
            assert self.offer is not None, "somebody was asked"
            connection_id = self.offer.model.endpoint.connection_id
            noted = self.services.snapshots.note_trouble(connection_id, error.trouble)
            self.services.gate.spawn(noted)
            logger.warning(
                "a provider refuses its key",
                extra={"request_id": self.call.id_text, "attempt": self.attempts[-1]},
            )

    def note_garbage(self, lines: int) -> None:
        """Note how many lines of a stream were dropped because they were none of SSE's."""
        if lines:
            self.attempts[-1]["garbage_lines"] = lines

    def keep(self, block: bytes) -> None:
        """Collect what is delivered; more than can be kept is not kept in part."""
        assert self.kept is not None, "nothing shall be kept"
        self.kept.append(block)
        if self.meter is not None and self.meter.size > ANSWER_BYTES_MAX:
            self.kept = None

    def begin(self) -> None:
        """The first byte goes to the client now."""
        self.has_started = True
        self.first_byte_ms = self._elapsed_ms()

    def settle(
        self, status: Status, *, error_code: str = "", http_status: int = 200
    ) -> "asyncio.Task[Settled | None]":
        """Book the end in a task of its own, which outlives the request. Once: see the class."""
        if self._settling is None:
            work = self._settle(status, error_code, http_status)
            self._settling = self.services.gate.spawn(work)
        return self._settling

    async def settled(
        self, status: Status, *, error_code: str = "", http_status: int = 200
    ) -> Settled | None:
        """`settle`, and wait for it; cancelling the wait does not cancel the booking.

        None: the database stays away. The booking is still tried; should that come to nothing,
        the hold ends by its last checkpoint.
        """
        booking = self.settle(status, error_code=error_code, http_status=http_status)
        if not booking.done():
            await _end_of(booking, within_s=SETTLE_WAIT_S)
        return booking.result() if booking.done() else None

    def usage_chunk(self) -> dict[str, Any]:
        """A last chunk for a client that asked for usage, where the provider sent none."""
        usage = self.measured.usage if self.measured is not None else Usage()
        return {
            "id": f"chatcmpl-{self.call.request_id.hex}",
            "object": "chat.completion.chunk",
            "created": int(self.call.started_at.timestamp()),
            "model": self.plan.chat.model,
            "choices": [],
            "usage": {
                "prompt_tokens": usage.prompt,
                "completion_tokens": usage.completion,
                "total_tokens": usage.prompt + usage.completion,
            },
        }

    async def _settle(self, status: Status, error_code: str, http_status: int) -> Settled | None:
        started = time.monotonic()
        bill = await self._bill(status, error_code, http_status)
        try:
            settled = await self.services.gate.settle(bill)
        except GateUnavailableError:
            return None
        if bill.charge_nanos > settled.charged_nanos:
            logger.warning(
                "a request cost more than its hold: the rest is written off",
                extra={
                    "request_id": self.call.id_text,
                    "written_off_nanos": bill.charge_nanos - settled.charged_nanos,
                },
            )
        metrics, paywall = self.services.metrics, self.call.caller.paywall
        metrics.settled(time.monotonic() - started)
        metrics.charged(
            paywall.currency, settled.charged_nanos, livemode=self.call.caller.key.livemode
        )
        self.call.facts["charged_nanos"] = settled.charged_nanos
        return settled

    async def _bill(self, status: Status, error_code: str, http_status: int) -> Bill:
        call, offer = self.call, self.offer or self.plan.offers[0]
        if self.meter is not None:
            self.measured = await self.meter.measure(status)
        measure = self.measured
        return Bill(
            request_id=call.request_id,
            payer=call.payer,
            charge_nanos=measure.charge_nanos if measure else 0,
            provider_cost_nanos=measure.provider_cost_nanos if measure else 0,
            status=status,
            policy=measure.policy if measure else "not_dispatched",
            usage=(measure.usage if measure else Usage()).as_dict(),
            usage_source=measure.source if measure else "none",
            model=offer.model.id,
            connection_id=offer.model.endpoint.connection_id,
            rate_id=offer.rate_id,
            feature=call.feature,
            run=call.run,
            streamed=self.plan.chat.stream,
            http_status=http_status,
            error_code=error_code,
            first_byte_ms=self.first_byte_ms,
            duration_ms=self._elapsed_ms(),
            attempts=self.attempts,
        )

    def _meter(self, offer: Offer, output_tokens: int) -> Meter:
        estimate, prices = self.plan.estimate, self.call.caller.paywall.prices
        rate = prices.usd_rate_nanos if prices is not None else None
        return Meter(
            Terms(
                offer=offer,
                request=self.call.body,
                body_bytes=len(self.call.raw),
                prompt_tokens=self.plan.prompt_tokens,
                output_tokens=output_tokens * estimate.choices,
                predicted_tokens=estimate.extra.predicted_tokens * estimate.choices,
                is_free=self.allowed.trial,
                usd_rate_nanos=NANOS if rate is None else rate,
            )
        )

    def _elapsed_ms(self) -> int:
        return int((time.monotonic() - self.call.started) * 1000)


async def _end_of(task: "asyncio.Task[Any]", *, within_s: float) -> None:
    """Wait for it, but no longer; as `asyncio.wait`, in a third of its time."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def end(_ended: object = None) -> None:
        if not over.done():
            over.set_result(None)

    timer = loop.call_later(within_s, end)
    task.add_done_callback(end)
    try:
        await over
    finally:
        timer.cancel()
        task.remove_done_callback(end)


def pseudonym(call: Call) -> str:
    """What providers are told of the end user: always the same, and nothing about the person."""
    return _pseudonym(call.caller.paywall.id, call.user)


@lru_cache(maxsize=PSEUDONYMS_KEPT)
def _pseudonym(paywall_id: UUID, user: str) -> str:
    return crypto.keyed_hash(f"{paywall_id}:{user}", pepper=_pepper()).hex()[:32]


@cache
def _pepper() -> bytes:
    return hashlib.sha256(b"paywalls:pseudonym:" + settings.SECRET_KEY.encode()).digest()


def _limited(
    request: Mapping[str, object], output_tokens: int, default_field: str
) -> Mapping[str, object]:
    """The caller's request with its output limit clamped, in the field or fields it used."""
    fields = [name for name in LIMIT_FIELDS if request.get(name) is not None]
    return {**request, **dict.fromkeys(fields or (default_field,), output_tokens)}
