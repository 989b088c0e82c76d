"""What a request used, as the provider says or as counted here, and what that costs."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from billing.types import Progress, Status, UsageSource
from config.kit.limits import ANSWER_MEMBERS_MAX, TOOL_CALLS_MAX
from config.kit.money import NANOS, ceil_div
from paywalls.pricing import Usage, price_nanos
from providers import tokens
from proxy import sse
from proxy.estimate import BYTES_PER_TOKEN
from proxy.offers import Offer

LOOK_EVENTS: Final = 16
LOOK_BYTES: Final = 16_384
"""Output that may pass between two looks at whether the hold still pays for it."""

TOKEN_BYTES: Final = 8
ENVELOPE_BYTES_MAX: Final = 512
"""What is taken for the JSON around a token, going by the shortest event; the rest is text."""

SLACK_TOKENS: Final = 16
"""Counting here differs from the provider's: an answer is cut only well beyond its bound."""

KEPT_BYTES_MAX: Final = 262_144
"""Output that is kept uncounted: about a thousand events."""

NO_USAGE: Final = Usage()

logger = logging.getLogger("paywalls.proxy")


@dataclass(slots=True, kw_only=True)
class Measure:
    """What goes on the bill. policy: the rule that decided, as `name:value`."""

    usage: Usage
    source: UsageSource
    policy: str
    charge_nanos: int
    provider_cost_nanos: int


@dataclass(slots=True, kw_only=True)
class Terms:
    """What one provider is asked for, and at which price.

    output_tokens: of all choices; predicted_tokens: the most that may be paid like these although
    nobody gets to see them. prompt_tokens: as many as the body's bytes can be at most.
    usd_rate_nanos: nanos of the paywall's currency for a dollar. is_free: a trial request.
    """

    offer: Offer
    request: Mapping[str, object]
    body_bytes: int
    prompt_tokens: int
    output_tokens: int
    is_free: bool
    usd_rate_nanos: int
    predicted_tokens: int = 0


class Meter:
    """Watches one provider's answer.

    What was delivered is kept only until it is counted, and it is counted only when somebody must
    know: to cut off a provider that does not stop, or to bill an answer without a usage block.
    """

    def __init__(self, terms: Terms) -> None:
        self.usage: Usage | None = None
        self.size = 0
        self.finished: set[int] = set()
        self._terms = terms
        self._pieces: list[bytes] = []
        self._answer: Mapping[str, Any] | None = None
        self._events = 0
        self._counted = 0
        self._is_doubtful = False
        self._reported_cost: int | None = None
        self._look_at_events = terms.output_tokens + LOOK_EVENTS
        self._look_at_bytes = TOKEN_BYTES * terms.output_tokens + LOOK_BYTES
        self._envelope_bytes = ENVELOPE_BYTES_MAX
        self._count_at_bytes = KEPT_BYTES_MAX

    def took(self, block: bytes) -> bool:
        """Note events that go to the client; whether they are more than the hold pays for."""
        size = len(block)
        self._pieces.append(block)
        self._events += block.count(b"data:")
        self.size += size
        if size < self._envelope_bytes:  # noqa: PLR1730 - min() costs three times as much.
            self._envelope_bytes = size
        text_bytes = self.size - self._events * self._envelope_bytes
        if (
            self._events < self._look_at_events
            and text_bytes < self._look_at_bytes
            and self.size < self._count_at_bytes
        ):
            return False
        left = self._terms.output_tokens - self._count()
        self._count_at_bytes = self.size + KEPT_BYTES_MAX
        self._look_at_events = self._events + max(left, LOOK_EVENTS)
        self._look_at_bytes = text_bytes + TOKEN_BYTES * max(left, 0) + LOOK_BYTES
        return left + self._terms.output_tokens // 4 + SLACK_TOKENS < 0

    def took_answer(self, answer: Mapping[str, Any], size: int) -> None:
        """Note a whole answer in JSON."""
        self.size = size
        self._answer = answer
        self.report(answer)

    def report(self, payload: Mapping[str, Any]) -> None:
        """Note the usage in an answer or chunk, unless it cannot be true. The last one counts."""
        adapter = self._terms.offer.model.endpoint.adapter
        try:
            usage = adapter.usage(payload)
        except ValueError:
            self.usage, self._is_doubtful = None, True
            return
        if usage is not None:
            self.usage, self._is_doubtful = usage, False
            self._reported_cost = adapter.cost_nanos(payload)

    def is_finished(self, choices: int) -> bool:
        """Whether every choice gave a reason why it ended."""
        self._count()
        return len(self.finished) >= choices

    def progress(self) -> Progress:
        """What the reaper bills if this process dies now. Cheap: an event counts as a token."""
        usage = self.usage or Usage(
            prompt=self._guessed_prompt(), completion=max(self._counted, self._events)
        )
        return Progress(
            charge_nanos=self._charge(usage) if self.size else 0,
            provider_cost_nanos=self._cost(usage) if self.size else 0,
            delivered=self.size > 0,
            usage=usage.as_dict() if self.size else {},
        )

    async def measure(self, status: Status) -> Measure:
        """Apply the connection's settlement policy to how the request ended."""
        policy = self._terms.offer.model.endpoint.policy
        if status == "failed":
            return self._waive("failed")
        rules = {
            "client_gone": ("client_gone", policy.client_gone),
            "truncated": ("upstream_error", policy.upstream_error),
        }
        name, rule = rules.get(status, ("completed", "usage"))
        if rule == "free":
            return self._waive(f"{name}:free")
        usage = self._believed()
        if usage is None and status == "completed":
            name, rule = "usage_missing", policy.usage_missing
            if rule == "free":
                return self._waive("usage_missing:free")
        source: UsageSource = "provider" if usage is not None else "estimated"
        if usage is None:
            usage = await self._counted_usage()
            rule = "estimate" if rule == "drain" else rule  # It was not drained to its usage.
        if not usage.completion and not await self._has_output():
            if policy.zero_output == "free" or status != "completed":
                return self._waive("zero_output:free")
            name, rule = "zero_output", "prompt"
        return Measure(
            usage=usage,
            source=source,
            policy=f"{name}:{rule}",
            charge_nanos=self._charge(usage),
            provider_cost_nanos=self._cost(usage),
        )

    def _waive(self, policy: str) -> Measure:
        """Nothing is charged; what the provider reported is still kept as a cost."""
        usage = self.usage or NO_USAGE
        return Measure(
            usage=usage,
            source="provider" if self.usage is not None else "none",
            policy=policy,
            charge_nanos=0,
            provider_cost_nanos=self._cost(usage),
        )

    def _believed(self) -> Usage | None:
        """The reported usage, unless it says more than was asked or can have been delivered."""
        usage = self.usage
        if usage is not None:
            terms = self._terms
            visible = usage.completion - usage.reasoning - usage.audio_completion
            most = self.size
            if terms.offer.model.endpoint.adapter.hides_reasoning:
                most = max(most, terms.output_tokens)
            most += terms.predicted_tokens + SLACK_TOKENS
            is_bounded = usage.prompt <= terms.prompt_tokens and usage.tools <= TOOL_CALLS_MAX
            if visible > most or not is_bounded:
                usage, self._is_doubtful = None, True
        if self._is_doubtful:
            model = self._terms.offer.model
            logger.warning("usage that cannot be true, counted instead", extra={"model": model.id})
        return usage

    async def _counted_usage(self) -> Usage:
        terms = self._terms
        model = terms.offer.model.upstream
        if tokens.is_quick(model, terms.body_bytes + self.size):
            prompt, completion = tokens.count_prompt(terms.request, model), self._count()
        else:
            prompt = await asyncio.to_thread(tokens.count_prompt, terms.request, model)
            completion = await asyncio.to_thread(self._count)
        return Usage(prompt=min(prompt, terms.prompt_tokens), completion=completion)

    async def _has_output(self) -> bool:
        return self._counted > 0 or await asyncio.to_thread(self._count) > 0

    def _count(self) -> int:
        """Count what has not been counted yet, and let go of it."""
        pieces, self._pieces = self._pieces, []
        found: list[str] = []
        if self._answer is not None:
            found.extend(texts(self._answer, self.finished))
            self._answer = None
        for piece in pieces:
            for event in sse.split(piece):
                data = sse.read(event).data
                chunk = parsed(data) if data else None
                if chunk is not None:
                    found.extend(texts(chunk, self.finished))
        if text := "".join(found):
            self._counted += tokens.count_tokens(text, self._terms.offer.model.upstream)
        return self._counted

    def _guessed_prompt(self) -> int:
        terms = self._terms
        return min(terms.prompt_tokens, terms.body_bytes // (BYTES_PER_TOKEN + 1))

    def _charge(self, usage: Usage) -> int:
        """The full price: the ledger takes at most the hold, and the rest is written off."""
        return 0 if self._terms.is_free else price_nanos(usage, self._terms.offer.rates)

    def _cost(self, usage: Usage) -> int:
        """What the provider takes for it, in the paywall's currency; 0 where it is not known."""
        dollars = self._reported_cost
        if dollars is None:
            cost = self._terms.offer.model.cost
            dollars = price_nanos(usage, cost) if cost is not None else 0
        return ceil_div(dollars * self._terms.usd_rate_nanos, NANOS)


def parsed(data: bytes) -> dict[str, Any] | None:
    """A JSON object, or None when it is something else, or has absurdly many members."""
    if len(data) > ANSWER_MEMBERS_MAX and _members(data) > ANSWER_MEMBERS_MAX:
        return None
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _members(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def texts(answer: Mapping[str, Any], finished: set[int]) -> Iterator[str]:
    """All text that a model wrote in an answer or chunk; adds the choices that ended to `finished`.

    Visible text, refusals, reasoning, and the names and arguments of tool calls. Whatever has
    another form than OpenAI's is passed over.
    """
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        if choice.get("finish_reason"):
            index = choice.get("index")
            finished.add(index if isinstance(index, int) else 0)
        said = choice.get("delta") or choice.get("message")
        if isinstance(said, dict):
            yield from _said(said)


def _said(said: Mapping[str, Any]) -> Iterator[str]:
    reasoning = said.get("reasoning_content") or said.get("reasoning")
    calls = said.get("tool_calls")
    functions = [call.get("function") for call in calls or () if isinstance(call, dict)]
    candidates = [said.get("content"), said.get("refusal"), reasoning]
    for function in (*functions, said.get("function_call")):
        if isinstance(function, dict):
            candidates += function.get("name"), function.get("arguments")
    for text in candidates:
        if isinstance(text, str):
            yield text
