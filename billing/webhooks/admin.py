"""Who is told of events, and what became of it; the secrets are not shown."""

from django.contrib import admin

from billing.webhooks.models import Delivery, Event, Subscription
from config.kit.admin import ReadOnlyAdmin, public_id
from ledger.admin import PublicIdSearch


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin[Subscription]):
    """Addresses of developers that are told of events."""

    list_display = (
        "id_",
        "kind",
        "url",
        "is_active",
        "consecutive_failures",
        "last_delivered_at",
        "paywall",
    )
    list_filter = ("kind", "is_active")
    list_select_related = ("paywall",)
    search_fields = ("url__startswith",)
    search_help_text = "the beginning of its address, or sub_…"
    id_fields = ("pk", "paywall_id")
    exclude = ("sealed_secret", "sealed_previous")
    when_empty = "POST /v1/webhooks/subscriptions makes one."
    id_ = public_id("id", "sub", "id")


@admin.register(Event)
class EventAdmin(PublicIdSearch[Event]):
    """What happened, where somebody wanted to know."""

    list_display = ("id_", "type", "user_id_", "source", "livemode", "created_at")
    id_fields = ("pk", "paywall_id", "user_id")
    when_empty = "Events are kept for paywalls that have a subscription."
    id_ = public_id("id", "evt", "id")
    paywall_id_ = public_id("paywall_id", "pw", "paywall", page="paywalls_paywall")
    user_id_ = public_id("user_id", "usr", "user", page="billing_wallet")


@admin.register(Delivery)
class DeliveryAdmin(PublicIdSearch[Delivery]):
    """Events on their way, newest first."""

    list_display = ("id_", "type", "status", "attempts", "response_code", "error", "created_at")
    list_filter = ("status",)
    id_fields = ("pk", "event_id", "subscription_id", "paywall_id")
    when_empty = "A delivery is made for each event that a subscription wants."
    id_ = public_id("id", "dly", "id")
    event_id_ = public_id("event_id", "evt", "event", page="billing_event")
    subscription_id_ = public_id(
        "subscription_id", "sub", "subscription", page="billing_subscription"
    )
    paywall_id_ = public_id("paywall_id", "pw", "paywall", page="paywalls_paywall")
