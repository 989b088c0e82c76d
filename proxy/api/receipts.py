"""GET /v1/receipts/{id}."""

from billing import receipts
from billing.receipts import Item, Receipt
from config.kit import clock, ids
from config.kit.money import format_nanos
from paywalls import links
from proxy.errors import NotFoundError
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def show(services: Services, call: Call) -> None:
    """What a movement on a wallet of this paywall came from; `items` add up to `total` exactly.

    Raises: NotFoundError.
    """
    found = await _find(services, call)
    if found is None:
        raise NotFoundError("This paywall has no movement of this id.", param="id")
    await send_json(call, 200, _shown(found))


async def _find(services: Services, call: Call) -> Receipt | None:
    key = call.caller.key
    transaction_id = ids.decode("txn", call.parts["id"])
    if transaction_id is None:
        return None
    found = await services.loader.once(
        ("receipt", transaction_id), lambda: receipts.find(transaction_id)
    )
    is_theirs = found is not None and (
        (found.paywall.pk, found.livemode) == (key.paywall_id, key.livemode)
        and key.external_user in (None, found.user)
    )
    return found if is_theirs else None


def _shown(receipt: Receipt) -> dict[str, object]:
    return {
        "id": ids.encode("txn", receipt.transaction_id),
        "type": receipt.kind,
        "user": receipt.user,
        "currency": receipt.currency.lower(),
        "amount": format_nanos(receipt.amount_nanos),
        "total": format_nanos(receipt.total_nanos),
        "items": [_item(item) for item in receipt.items],
        **_balances(receipt),
        "requestId": ids.encode("req", receipt.request_id) if receipt.request_id else None,
        "model": receipt.model or None,
        "usage": receipt.usage,
        "usageSource": receipt.usage_source or None,
        "policy": receipt.policy or None,
        "priceVersion": ids.encode("prc", receipt.version_id) if receipt.version_id else None,
        "refunds": [
            {
                "id": ids.encode("txn", refund.transaction_id),
                "amount": format_nanos(refund.amount_nanos),
                "createdAt": clock.wire(refund.created_at),
            }
            for refund in receipt.refunds
        ],
        "of": ids.encode("txn", receipt.of) if receipt.of else None,
        "createdAt": clock.wire(receipt.created_at),
        "receiptUrl": links.receipt_url(receipt.transaction_id),
    }


def _balances(receipt: Receipt) -> dict[str, object]:
    """The wallet before and after; in Shared mode who got what instead."""
    parts = receipt.parts
    if parts is None:
        return {
            "balanceBefore": format_nanos(receipt.balance_before_nanos),
            "balanceAfter": format_nanos(receipt.balance_after_nanos),
            "split": None,
        }
    return {
        "balanceBefore": None,
        "balanceAfter": None,
        "split": {
            "providerCost": format_nanos(parts.cost),
            "platformFee": format_nanos(parts.fee),
            "developerEarnings": format_nanos(parts.earned),
        },
    }


def _item(item: Item) -> dict[str, object]:
    return {
        "name": item.name,
        "count": item.count,
        "rate": None if item.rate is None else format_nanos(item.rate),
        "per": item.per,
        "amount": item.amount,
    }
