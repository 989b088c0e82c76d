"""How objects at Stripe are known as ours: by names in their metadata."""

from collections.abc import Mapping
from typing import Any, Final

from billing.stripe.handlers import Outcome
from billing.stripe.models import Order, StripeAccount
from config.kit import ids

ORDER: Final = "paywalls_order"
PAYWALL: Final = "paywalls_paywall"


def metadata_of(order: Order) -> dict[str, str]:
    """What an order's sessions and payments say of themselves."""
    return {PAYWALL: ids.encode("pw", order.paywall_id), ORDER: order.public_id}


def order_named(account: StripeAccount, metadata: Mapping[str, str] | None) -> Order | Outcome:
    """The order that an object says it is for, or why there is none.

    It may be of another key of the same paywall: keys are replaced, and both hear of everything.
    """
    named = metadata or {}
    if ORDER not in named and PAYWALL not in named:
        return Outcome("ignored", "not one of ours")
    if named.get(PAYWALL) != ids.encode("pw", account.paywall_id):
        return Outcome("quarantined", "it says that it is another paywall's")
    order_id = ids.decode("ord", named.get(ORDER, ""))
    mine = Order.objects.filter(**of_account(account))
    return (order_id and mine.filter(pk=order_id).first()) or Outcome(
        "quarantined", "there is no such order"
    )


def of_account(account: StripeAccount) -> dict[str, Any]:
    """Conditions on orders that this account may speak about."""
    return {"paywall": account.paywall_id, "livemode": account.livemode}


def id_of(value: Any) -> str:
    """The id of what may be expanded, or not be there."""
    return value["id"] if isinstance(value, dict) else value or ""
