"""Prices: versions are made by `set_price` and the dashboard, and never edited."""

from django.contrib import admin

from paywalls.admin.base import ReadOnlyAdmin
from paywalls.models import PriceVersion, Rate


@admin.register(PriceVersion)
class PriceVersionAdmin(ReadOnlyAdmin[PriceVersion]):
    """Whole price lists, one after the other."""

    list_display = ("paywall", "number", "trial_nanos", "trial_requests", "actor", "created_at")
    list_filter = ("created_at",)
    search_fields = ("paywall__name", "id", "actor")
    list_select_related = ("paywall",)
    ordering = ("-id",)


@admin.register(Rate)
class RateAdmin(ReadOnlyAdmin[Rate]):
    """The figures that charges were computed from."""

    list_display = ("model", "feature", "version", "selling", "cost", "created_at")
    list_filter = ("created_at",)
    search_fields = ("model__startswith", "id", "version__paywall__name")
    list_select_related = ("version__paywall",)
    exclude = ("digest",)
    ordering = ("-id",)
