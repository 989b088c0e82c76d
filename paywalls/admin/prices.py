"""Prices: versions are made by `set_price` and the dashboard, and never edited."""

from typing import Any, Final

from django.contrib import admin

from config.kit.admin import money
from config.kit.money import format_nanos
from paywalls.admin.base import ReadOnlyAdmin
from paywalls.models import PriceVersion, Rate

BASIS_POINTS_PER_PERCENT: Final = 100


def rates(field: str, label: str) -> Any:
    """A column that shows what stands in a rate: money, and the markup in percent."""

    @admin.display(description=f"{label} (per million tokens, or each)")
    def column(_admin: object, row: Rate) -> str:
        stored: dict[str, int] = dict(getattr(row, field) or {})
        markup = stored.pop("markup_bps", 0)
        parts = [f"{name} {format_nanos(nanos)}" for name, nanos in stored.items()]
        percent = f"{markup / BASIS_POINTS_PER_PERCENT:g}"
        return ", ".join([*parts, f"plus {percent} %"] if markup else parts)

    return column


@admin.register(PriceVersion)
class PriceVersionAdmin(ReadOnlyAdmin[PriceVersion]):
    """Whole price lists, one after the other."""

    list_display = ("paywall", "number", "trial_nanos_", "trial_requests", "actor", "created_at")
    list_filter = ("created_at",)
    search_fields = ("paywall__name", "actor")
    when_empty = "Nothing can be sold yet: set prices with manage.py set_price."
    list_select_related = ("paywall",)
    ordering = ("-id",)
    usd_rate_nanos_ = money("usd_rate_nanos", "rate of the US dollar")
    trial_nanos_ = money("trial_nanos", "trial")


@admin.register(Rate)
class RateAdmin(ReadOnlyAdmin[Rate]):
    """The figures that charges were computed from."""

    list_display = ("model", "feature", "selling_", "cost_", "version", "created_at")
    list_filter = ("created_at",)
    search_fields = ("model__startswith", "version__paywall__name")
    when_empty = "A model's first request after a change of prices makes its rate."
    list_select_related = ("version__paywall",)
    exclude = ("digest",)
    ordering = ("-id",)
    selling_ = rates("selling", "price")
    cost_ = rates("cost", "provider's cost")
