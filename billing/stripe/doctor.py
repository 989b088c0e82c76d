"""What a key may do, found by harmless calls: reading one row, or changing one that cannot exist.

Names of permissions are not guessed: Stripe's refusal says which one is missing.
Source: docs.stripe.com/keys (restricted keys: GET needs read, other methods write).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import stripe

from billing.stripe.errors import ours
from config.kit.errors import PaywallsError

MISSING: Final = re.compile(r"Having the '([a-z_]{1,80})' permission")
KEY: Final = "Key"
PAYMENT: Final = "Payment"
SALES: Final = frozenset({KEY, PAYMENT, "Checkout Sessions: write", "PaymentIntents: write"})
"""Findings without which nobody can pay."""

NOBODY: Final = "paywalls_permission_probe"
"""The end of ids that belong to nothing."""

type Probe = Callable[[stripe.StripeClient], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding. need: what does not work without it; message: what to do, if not ok.

    stops: False for advice: payments work without.
    """

    name: str
    need: str
    ok: bool
    message: str = ""
    stops: bool = True

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Check":
        """One as it was kept."""
        return cls(**kept)


FULL_KEY: Final = Check(
    name="Restricted key",
    need="your safety",
    ok=False,
    message="This secret key can do everything with your Stripe account. Make a restricted key"
    " (rk_…) with the permissions listed here, save it instead, and roll this one.",
    stops=False,
)


PROBES: Final[tuple[tuple[str, str, Probe], ...]] = (
    (
        "Checkout Sessions: write",
        "top-ups, packs, plans",
        lambda c: c.v1.checkout.sessions.expire(f"cs_test_{NOBODY}"),
    ),
    (
        "Customers: write",
        "plans, saved cards, receipts",
        lambda c: c.v1.customers.update(f"cus_{NOBODY}", {"metadata": {}}),
    ),
    (
        "Webhook Endpoints: write",
        "hearing of payments at once",
        lambda c: c.v1.webhook_endpoints.update(f"we_{NOBODY}", {"metadata": {}}),
    ),
    (
        "PaymentIntents: write",
        "what was paid; automatic top-ups",
        lambda c: c.v1.payment_intents.cancel(f"pi_{NOBODY}"),
    ),
    (
        "Charges and Refunds: write",
        "refunds, here and at Stripe",
        lambda c: c.v1.refunds.update(f"re_{NOBODY}", {"metadata": {}}),
    ),
    ("Disputes: read", "chargebacks", lambda c: c.v1.disputes.list({"limit": 1})),
    ("Events: read", "events that were missed", lambda c: c.v1.events.list({"limit": 1})),
    ("Prices: read", "prices synced from Stripe", lambda c: c.v1.prices.list({"limit": 1})),
    ("Invoices: read", "renewals of plans", lambda c: c.v1.invoices.list({"limit": 1})),
    (
        "Subscriptions: write",
        "plans",
        lambda c: c.v1.subscriptions.update(f"sub_{NOBODY}", {"metadata": {}}),
    ),
    (
        "Customer portal: write",
        "the page where people change their plan or card",
        lambda c: c.v1.billing_portal.sessions.create({"customer": f"cus_{NOBODY}"}),
    ),
    (
        "SetupIntents: read",
        "saving a card without a payment",
        lambda c: c.v1.setup_intents.list({"limit": 1}),
    ),
    (
        "Payment Methods: write",
        "forgetting a saved card",
        lambda c: c.v1.payment_methods.detach(f"pm_{NOBODY}"),
    ),
)
ADVICE: Final = frozenset({"SetupIntents: read", "Payment Methods: write"})
"""Of use where people may save a card; payments work without."""


def examine(client: stripe.StripeClient) -> list[Check]:
    """One finding for each permission.

    Raises: StripeFailedError when Stripe cannot be asked, or refuses the key as a whole.
    """
    return [_probe(client, name, need, call) for name, need, call in PROBES]


def _probe(client: stripe.StripeClient, name: str, need: str, call: Probe) -> Check:
    try:
        call(client)
    except stripe.PermissionError as error:
        message, stops = _missing(name, str(error)), name not in ADVICE
        return Check(name=name, need=need, ok=False, message=message, stops=stops)
    except stripe.InvalidRequestError:
        return Check(name=name, need=need, ok=True)  # It was allowed to look, and found nobody.
    except stripe.StripeError as error:
        raise ours(error) from error
    return Check(name=name, need=need, ok=True)


def _missing(name: str, said: str) -> str:
    found = MISSING.search(said)
    exact = f" (Stripe calls it {found[1]})" if found else ""
    return f"Edit the restricted key at Stripe and allow {name}{exact}."


def trouble_of(checks: list[Check]) -> str:
    """What does not work, in one line; empty when all does."""
    names = [check.name for check in checks if check.stops and not check.ok]
    return f"To be repaired: {', '.join(names)}"[:200] if names else ""


def stops_sales(checks: list[Check]) -> bool:
    """Whether nobody can pay: there would be no page, or what was paid could not be seen."""
    return any(check.name in SALES and not check.ok for check in checks)


def unexpected(error: PaywallsError) -> Check:
    """A finding that ends an examination: the key as a whole."""
    return Check(name=KEY, need="everything", ok=False, message=error.message)


def no_webhook(error: PaywallsError) -> Check:
    """A finding: payments are still seen when people come back, and by the hourly comparison."""
    return Check(
        name="Webhook",
        need="hearing of payments at once",
        ok=False,
        message=f"{error.message} Until it is repaired, payments are seen within the hour.",
        stops=False,
    )
