"""POST /v1/user/charge."""

from billing.types import Movement
from config.kit import ids
from config.kit.money import format_nanos
from paywalls.decisions import NeedsGrant, NeedsTopUp
from proxy import fields, messages
from proxy.errors import refusal_of
from proxy.requests import Call
from proxy.responses import money_headers, send_json
from proxy.services import Services


async def create(services: Services, call: Call) -> None:
    """Charge a user for something of the developer's own; all or nothing.

    Raises: InvalidRequestError; what the gate refuses with.
    """
    key = call.idempotency
    outcome = await services.gate.charge(
        call.payer,
        transaction_id=ids.uuid7(),
        amount_nanos=fields.amount_nanos(call),
        key=key.digest if key else None,
        fingerprint=key.fingerprint if key else None,
        metadata=fields.metadata(call),
    )
    match outcome:
        case Movement():
            await _answer_charged(services, call, outcome)
        case NeedsTopUp() | NeedsGrant():
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
        "allowed",
        cost_nanos=movement.amount_nanos,
        balance_nanos=None if call.payer.shared else movement.balance_nanos,
    )
    await send_json(call, 200, answer, headers)


async def _answer_broke(services: Services, call: Call, decision: NeedsTopUp | NeedsGrant) -> None:
    """A text with the link, ready to render; or 402 with the same facts."""
    notice = await messages.worded(call, messages.notice_of(call, decision))
    services.metrics.decided(notice.status)
    call.facts["decision"] = notice.status
    if call.error_mode:
        await messages.send_refusal(call, notice)
        return
    answer: dict[str, object] = {
        "success": False,
        "message": notice.text,
        "url": notice.url,
        "reason": notice.reason,
    }
    await send_json(call, 200, answer, messages.headers_of(notice))
