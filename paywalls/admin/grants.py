"""What people allow: staff look at it; only people themselves, and apps, change it."""

from django.contrib import admin

from config.kit.admin import money, public_id
from paywalls.admin.base import ReadOnlyAdmin
from paywalls.models import Grant, GrantRequest


@admin.register(Grant)
class GrantAdmin(ReadOnlyAdmin[Grant]):
    """What one user of one paywall may spend of a person's wallet."""

    list_display = ("id_", "paywall", "person", "cap_", "cap_period", "ends_at", "revoked_at")
    list_filter = ("livemode", "cap_period")
    list_select_related = ("paywall", "person")
    id_fields = ("pk", "person_id", "end_user_id", "paywall_id")
    when_empty = "Grants appear when people allow a Shared paywall."
    id_ = public_id("id", "grt", "id")
    cap_ = money("cap", "limit")
    request_most_ = money("request_most", "limit of a request")


@admin.register(GrantRequest)
class GrantRequestAdmin(ReadOnlyAdmin[GrantRequest]):
    """Wishes of apps for a wallet; approvals are shown to nobody."""

    list_display = ("id_", "paywall", "end_user", "state", "reason", "created_at", "closed_at")
    list_filter = ("state",)
    list_select_related = ("paywall", "end_user")
    id_fields = ("pk", "end_user_id", "paywall_id")
    when_empty = "A refused request of a Shared paywall makes one."
    id_ = public_id("id", "grt", "id")
