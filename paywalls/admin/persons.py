"""People with a wallet of their own: staff look at them and change nothing."""

from django.contrib import admin

from config.kit.admin import public_id
from paywalls.admin.base import ReadOnlyAdmin
from paywalls.models import Person


@admin.register(Person)
class PersonAdmin(ReadOnlyAdmin[Person]):
    """Who pays in Shared mode. Sessions, codes and approvals are shown to nobody."""

    list_display = ("id_", "email", "terms_version", "created_at", "closed_at")
    search_fields = ("email",)
    ordering = ("-pk",)
    when_empty = "People appear when they first sign in at /wallet."
    id_ = public_id("id", "per", "id")
