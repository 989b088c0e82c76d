"""POST /v1/user/balance/deposit."""

from billing.types import Movement
from config.kit import ids
from config.kit.money import format_micros
from proxy import fields
from proxy.errors import WrongModeError, refusal_of
from proxy.requests import Call
from proxy.responses import money_headers, send_json
from proxy.services import Services


async def create(services: Services, call: Call) -> None:
    """Credit a user with money that the developer took outside.

    Raises: InvalidRequestError; WrongModeError; what the gate refuses with.
    """
    caller = call.caller
    if caller.paywall.mode != "default":
        raise WrongModeError(
            "Deposits exist in Default mode only: in Shared mode people top up their own wallet."
        )
    key = call.idempotency
    outcome = await services.gate.deposit(
        call.payer,
        transaction_id=ids.uuid7(),
        amount_nanos=fields.amount_nanos(call),
        expires_at=fields.expires_at(call),
        key=key.digest if key else None,
        fingerprint=key.fingerprint if key else None,
        metadata=fields.metadata(call),
    )
    if not isinstance(outcome, Movement):
        raise refusal_of(outcome)
    answer: dict[str, object] = {
        "balanceFormatted": format_micros(outcome.balance_nanos),
        "transactionId": ids.encode("txn", outcome.transaction_id),
    }
    call.facts["decision"] = "deposited"
    await send_json(
        call, 200, answer, money_headers("deposited", balance_nanos=outcome.balance_nanos)
    )
