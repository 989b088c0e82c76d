"""POST /v1/user/charge."""

from billing.types import Movement
from config.kit import ids
from config.kit.money import format_nanos
from paywalls import links, messages
from paywalls.decisions import NeedsTopUp
from proxy import fields
from proxy.errors import payment_required, refusal_of
from proxy.requests import Call
from proxy.responses import money_headers, send_error, send_json
from proxy.services import Services


async def create(services: Services, call: Call) -> None:
    """Charge a user for something of the developer's own; all or nothing.

    Raises: InvalidRequestError; what the gate refuses with.
    """
    key = call.idempotency
    outcome = await services.gate.charge(
        call.caller.payer(call.user),
        transaction_id=ids.uuid7(),
        amount_nanos=fields.amount_nanos(call),
        key=key.digest if key else None,
        fingerprint=key.fingerprint if key else None,
        metadata=fields.metadata(call),
    )
    match outcome:
        case Movement():
            await _answer_charged(services, call, outcome)
        case NeedsTopUp():
            await _answer_broke(services, call, outcome)
        case _:
            raise refusal_of(outcome)


async def _answer_charged(services: Services, call: Call, movement: Movement) -> None:
    paywall, key = call.caller.paywall, call.caller.key
    if not movement.replayed:
        services.metrics.charged(paywall.currency, movement.amount_nanos, livemode=key.livemode)
    services.metrics.decided("allowed")
    call.facts["decision"] = "allowed"
    answer: dict[str, object] = {
        "success": True,
        "message": f"Charged {format_nanos(movement.amount_nanos)} {paywall.currency}.",
        "transactionId": ids.encode("txn", movement.transaction_id),
    }
    headers = money_headers(
        "allowed", cost_nanos=movement.amount_nanos, balance_nanos=movement.balance_nanos
    )
    await send_json(call, 200, answer, headers)


async def _answer_broke(services: Services, call: Call, decision: NeedsTopUp) -> None:
    """A text with the link, ready to render; or 402 with the same facts."""
    paywall = call.caller.paywall
    reason = "debt" if decision.debt else "topup_required"
    services.metrics.decided(reason)
    call.facts["decision"] = reason
    url = links.checkout_url(decision.user_id)
    message = messages.render(
        paywall.templates[messages.Event.INSUFFICIENT_FUNDS], url=url, name=paywall.name
    )
    headers = money_headers(reason, cost_nanos=0, balance_nanos=decision.balance_nanos)
    if call.error_mode:
        await send_error(call, payment_required(reason, message, url=url), headers)
        return
    answer: dict[str, object] = {
        "success": False,
        "message": message,
        "url": url,
        "reason": reason,
    }
    await send_json(call, 200, answer, headers)
