"""Refusals of webhooks."""

from typing import ClassVar

from config.kit.errors import PaywallsError


class SubscriptionNotFoundError(PaywallsError):
    """There is no subscription under this id."""

    status: ClassVar[int] = 404
    code: ClassVar[str] = "subscription_not_found"


class DeliveryNotFoundError(PaywallsError):
    """There is no delivery under this id."""

    status: ClassVar[int] = 404
    code: ClassVar[str] = "delivery_not_found"


class SubscriptionInactiveError(PaywallsError):
    """A subscription that is switched off cannot be delivered to."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "subscription_inactive"
