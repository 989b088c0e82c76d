"""POST /v1/chat/completions: the life of a paid request, up to its hold. Then: delivery.py."""

import asyncio
from typing import assert_never

from billing.types import Ask
from config.kit.money import ceil_div
from paywalls.decisions import (
    Allowed,
    Decision,
    Limited,
    NeedsGrant,
    NeedsTopUp,
    Refused,
    Repeated,
)
from paywalls.pricing import worst_nanos
from providers import tokens
from proxy import answers, chat_body, delivery, messages, surcharges, telling
from proxy.chat_body import Chat
from proxy.chat_errors import MaxCostExceededError
from proxy.dispatch import Dispatch, Plan
from proxy.errors import ModelNotAllowedError, TokenLimitError, refusal_of
from proxy.estimate import BOUND_PERCENT, estimate, output_bound
from proxy.offers import Offer, find_offers
from proxy.requests import Call
from proxy.responses import NO_RETRY, send_error
from proxy.services import Services
from proxy.surcharges import Surcharges


async def complete(services: Services, call: Call) -> None:
    """Answer a chat: understand, route, price, hold, ask, pass on, book.

    Raises: PaywallsError while nothing has been sent.
    """
    chat = chat_body.read(call.body)
    try:
        offers = await find_offers(call.caller, chat.model, call.feature)
        plan = await make_plan(call, chat, offers)
    except ModelNotAllowedError as error:
        telling.blocked(services, call, "model_not_allowed")
        if not delivery.is_graceful(call):
            raise
        await messages.send_unavailable(call, chat, error)
        return
    except TokenLimitError as error:
        telling.blocked(services, call, "policy_violation")
        await send_error(call, error, [NO_RETRY])  # The same prompt is as long next time.
        return
    decision, plan = await _hold(services, call, plan)
    if isinstance(decision, Allowed):
        await delivery.serve(Dispatch(services, call, plan, decision))
    else:
        await _refuse(services, call, chat, decision)


async def _refuse(
    services: Services,
    call: Call,
    chat: Chat,
    decision: NeedsTopUp | NeedsGrant | Limited | Refused | Repeated,
) -> None:
    match decision:
        case NeedsTopUp() | NeedsGrant():
            await messages.send_decision(call, chat, decision)
        case Repeated():
            await answers.send_again(services, call, decision)
        case Limited() | Refused():
            raise refusal_of(decision)
        case _:
            assert_never(decision)


async def make_plan(call: Call, chat: Chat, offers: list[Offer]) -> Plan:
    """The worst case, from the body's size alone; the prompt is counted only where that decides.

    Raises: TokenLimitError, MaxCostExceededError; InvalidRequestError for a field whose cost no
        offer covers.
    """
    extra = surcharges.find(call.body)
    if extra is not surcharges.NONE:
        offers = _covered(offers, extra)
    media, has_tools = tokens.media(call.body), bool(call.body.get("tools"))
    bound = max(
        tokens.prompt_bound(len(call.raw), media, model=offer.model.upstream, tools=has_tools)
        for offer in offers
    )
    bound += extra.prompt_tokens
    if prompt_caps := _caps(call, "prompt_tokens"):
        await _check_prompt(call, offers[0], bound, *min(prompt_caps))
    plan = _priced(call, chat, offers, extra, bound=bound, prompt_tokens=bound)
    if call.max_cost_nanos is not None and plan.estimate.least_nanos > call.max_cost_nanos:
        plan = await recount(call, plan)
        if plan.estimate.least_nanos > call.max_cost_nanos:
            raise MaxCostExceededError(least_nanos=plan.estimate.least_nanos)
    return plan


def _covered(offers: list[Offer], extra: Surcharges) -> list[Offer]:
    """Those whose price covers all that is asked for.

    Raises: InvalidRequestError when none does.
    """
    missing = [extra.not_covered(it.rates, it.model.endpoint.policy) for it in offers]
    if all(missing):
        raise surcharges.refusal(missing[0])
    return [offer for offer, field in zip(offers, missing, strict=True) if not field]


def _priced(
    call: Call,
    chat: Chat,
    offers: list[Offer],
    extra: Surcharges,
    *,
    bound: int,
    prompt_tokens: int,
) -> Plan:
    model = offers[0].model
    output_tokens = output_bound(
        asked=chat.max_tokens,
        model_max=model.output_tokens_max,
        context_tokens=model.context_tokens,
        body_bytes=len(call.raw),
        cap=min((cap for cap, _ in _caps(call, "output_tokens")), default=None),
    )
    estimated = estimate(
        [offer.rates for offer in offers],
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        choices=chat.drafts,
        extra=extra,
        max_cost_nanos=call.max_cost_nanos,
    )
    return Plan(chat=chat, offers=offers, estimate=estimated, prompt_tokens=bound)


async def recount(call: Call, plan: Plan) -> Plan:
    """The same plan with the prompt counted; other tokenizers may count somewhat more."""
    counted = await count_prompt(call, plan.offers[0])
    extra = plan.estimate.extra
    prompt_tokens = ceil_div(counted * BOUND_PERCENT, 100) + extra.prompt_tokens
    prompt_tokens = min(plan.prompt_tokens, prompt_tokens)
    return _priced(
        call, plan.chat, plan.offers, extra, bound=plan.prompt_tokens, prompt_tokens=prompt_tokens
    )


async def _hold(services: Services, call: Call, plan: Plan) -> tuple[Decision, Plan]:
    """Ask the gate; once more with the prompt counted, where that may make it fit the balance."""
    decision = await services.gate.reserve(_ask(call, plan))
    if isinstance(decision, NeedsTopUp) and not decision.debt:
        rates, tokens_least = plan.offers[0].rates, plan.estimate.choices
        least = worst_nanos(prompt_tokens=0, output_tokens=tokens_least, rates=rates)
        if least <= decision.balance_nanos:
            counted = await recount(call, plan)
            if counted.estimate.least_nanos <= decision.balance_nanos:
                plan = counted
                decision = await services.gate.reserve(_ask(call, plan))
    word = _word(decision)
    services.metrics.decided(word)
    call.facts["decision"] = word
    return decision, plan


def _ask(call: Call, plan: Plan) -> Ask:
    offer, key = plan.offers[0], call.idempotency
    return Ask(
        request_id=call.request_id,
        payer=call.payer,
        want_nanos=plan.estimate.want_nanos,
        least_nanos=plan.estimate.least_nanos,
        facts={
            "model": offer.model.id,
            "connection": offer.model.endpoint.connection_id,
            "rate": offer.rate_id,
            "feature": call.feature,
            "run": call.run,
            "streamed": plan.chat.stream,
            "started_at": call.started_at,
        },
        idempotency_key=key.digest if key else None,
        fingerprint=key.fingerprint if key else None,
    )


async def _check_prompt(call: Call, offer: Offer, bound: int, cap: int, subject: str) -> None:
    """Refuse a prompt that is longer than a limit of the developer's.

    Raises: TokenLimitError.
    """
    if bound <= cap or await count_prompt(call, offer) <= cap:
        return
    raise TokenLimitError(
        Limited(
            code="token_limit", kind="prompt_tokens", subject=subject, limit=cap, retry_after_s=0
        )
    )


async def count_prompt(call: Call, offer: Offer) -> int:
    """Exactly, by the model's own tokenizer where it is known; long prompts in a thread."""
    model = offer.model.upstream
    if tokens.is_quick(model, len(call.raw)):
        return tokens.count_prompt(call.body, model)
    return await asyncio.to_thread(tokens.count_prompt, call.body, model)


def _caps(call: Call, kind: str) -> list[tuple[int, str]]:
    """The limits of a kind that apply to a call, with whose they are."""
    paywall, key = call.caller.paywall, call.caller.key
    if not (paywall.user_caps or key.caps or paywall.paywall_caps):
        return []
    all_caps = (("user", paywall.user_caps), ("key", key.caps), ("paywall", paywall.paywall_caps))
    return [(caps[kind], subject) for subject, caps in all_caps if kind in caps]


def _word(decision: Decision) -> str:
    """A decision in one word, for metrics and the log."""
    match decision:
        case Allowed():
            return "allowed"
        case NeedsTopUp(debt=debt):
            return "debt" if debt else "topup_required"
        case NeedsGrant(cap_reached=cap_reached):
            return "cap_reached" if cap_reached else "authorization_required"
        case Limited(code=code) | Refused(code=code):
            return code
        case Repeated(state=state):
            return f"repeated_{state}"
        case _:
            assert_never(decision)
