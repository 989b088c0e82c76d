"""What paywalls sell, and who subscribes: added and ended here, never changed.

An order keeps what it promised, so a price or a credit that was on sale stays as it was.
"""

from typing import Any, Final, override

from django import forms
from django.contrib import admin
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from billing.stripe import amounts, payment_settings, products, promos, sale_settings
from billing.stripe.catalog import Pack, PaymentSettings, Plan, Promo
from billing.stripe.models import PlanSubscription
from config.kit.admin import EMPTY, ReadOnlyAdmin, money, public_id
from config.kit.commands import read_amount
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls.admin.base import ServiceAdmin, actor, adopt

SUCH_AS: Final = "in the paywall's currency, such as 12.50"


class AmountField(forms.CharField):
    """Money as people write it; nanos. None where it may be empty and is."""

    def __init__(self, **given: Any) -> None:
        given.setdefault("help_text", SUCH_AS)
        super().__init__(widget=forms.TextInput(attrs={"inputmode": "decimal"}), **given)

    @override
    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        return _read(text) if text else None


class AmountsField(forms.CharField):
    """Several, with commas between them; nanos."""

    @override
    def clean(self, value: Any) -> Any:
        return [_read(text) for text in _listed(super().clean(value))]


def _read(text: str) -> int:
    try:
        return read_amount(text.strip(), param="amount")
    except InvalidRequestError as error:
        raise forms.ValidationError(error.message) from error


def _listed(text: str) -> list[str]:
    return [part for each in text.replace("\n", ",").split(",") if (part := each.strip())]


class SaleAdmin[M: Pack | Plan | Promo](ServiceAdmin[M]):
    """What is added once, shown, and ended."""

    list_select_related = ("paywall",)
    raw_id_fields = ("paywall",)
    id_fields = ("pk", "paywall_id")
    ordering = ("-id",)
    asked: tuple[str, ...]
    """Fields of the form by which one is added."""
    credit_nanos_ = credit_ = money("credit_nanos", "credit")

    @override
    def get_fields(self, request: HttpRequest, obj: M | None = None) -> Any:
        return super().get_fields(request, obj) if obj else self.asked

    @override
    def get_form(self, request: HttpRequest, obj: M | None = None, *args: Any, **given: Any) -> Any:
        # The columns of the row are shown by the page, not by the form.
        if obj is not None:
            given["form"] = forms.ModelForm
        return super().get_form(request, obj, *args, **given)

    @override
    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return obj is None and super().has_change_permission(request)


class ProductAdmin[M: Pack | Plan](SaleAdmin[M]):
    """A pack or a plan."""

    search_fields = ("name", "paywall__name", "stripe_price_id")
    actions = ("stop", "sell")

    @admin.display(description="price", ordering="price_minor")
    def price(self, row: M) -> str:
        return amounts.shown(amounts.to_nanos(row.price_minor, row.currency), row.currency)

    price_minor_ = price

    @admin.action(description="Sell no more; subscriptions go on", permissions=["act"])
    def stop(self, request: HttpRequest, rows: QuerySet[M]) -> None:
        self._each(request, rows, products.stop_selling)

    @admin.action(description="Sell again", permissions=["act"])
    def sell(self, request: HttpRequest, rows: QuerySet[M]) -> None:
        self._each(request, rows, products.sell_again)

    def _each(self, request: HttpRequest, rows: QuerySet[M], do: Any) -> None:
        who = actor(request)
        self.do_for_each(
            request,
            rows.select_related("paywall"),
            lambda row: do(row.paywall, products.public_id(row), actor=who),
        )


class PackForm(forms.ModelForm):  # type: ignore[type-arg]
    """A pack, as it is added."""

    price = AmountField()
    credit = AmountField()
    bonus = AmountField(required=False, help_text="on top, spent first")

    class Meta:
        model = Pack
        fields = ("paywall", "name")


@admin.register(Pack)
class PackAdmin(ProductAdmin[Pack]):
    """Credit for a price, once."""

    form = PackForm
    asked = ("paywall", "name", "price", "credit", "bonus")
    list_display = ("name", "id_", "paywall", "price", "credit_", "bonus_", "is_active")
    list_filter = ("is_active", "currency")
    search_help_text = "a name, pack_… or pw_…, or Stripe's price_…"
    when_empty = "Add a pack, or sync the prices at Stripe: ./run manage sync_prices."
    id_ = public_id("id", "pack", "id")
    bonus_nanos_ = bonus_ = money("bonus_nanos", "bonus")

    @override
    def save_model(self, request: HttpRequest, obj: Pack, form: Any, change: bool) -> None:
        given = form.cleaned_data
        made = products.add_pack(
            obj.paywall,
            obj.name,
            price_nanos=given["price"],
            credit_nanos=given["credit"],
            bonus_nanos=given["bonus"] or 0,
            actor=actor(request),
        )
        adopt(obj, made)


class PlanForm(forms.ModelForm):  # type: ignore[type-arg]
    """A plan, as it is added."""

    price = AmountField(help_text="of a cycle, such as 20")
    credit = AmountField(help_text="that each paid cycle brings; if it drips, each month")
    rollover = forms.BooleanField(required=False, help_text="left-overs stay")
    features = forms.CharField(required=False, help_text="entitlements, with commas between them")

    class Meta:
        model = Plan
        fields = ("paywall", "name", "interval", "interval_count", "drips")

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("drips") and given.get("interval") != Plan.Interval.YEAR:
            self.add_error("drips", "Only a yearly plan gives its credit by months.")
        return given


@admin.register(Plan)
class PlanAdmin(ProductAdmin[Plan]):
    """Credit for each paid cycle."""

    form = PlanForm
    asked = (
        *("paywall", "name", "price", "credit", "interval", "interval_count", "drips"),
        *("rollover", "features"),
    )
    list_display = ("name", "id_", "paywall", "price", "every", "credit_", "drips", "is_active")
    list_filter = ("is_active", "interval", "drips", "resets")
    search_help_text = "a name, plan_… or pw_…, or Stripe's price_…"
    when_empty = "Add a plan, or sync the prices at Stripe: ./run manage sync_prices."
    id_ = public_id("id", "plan", "id")

    @admin.display(description="cycle", ordering="interval")
    def every(self, row: Plan) -> str:
        return row.rhythm

    @override
    def save_model(self, request: HttpRequest, obj: Plan, form: Any, change: bool) -> None:
        given = form.cleaned_data
        terms = products.Terms(
            price_nanos=given["price"],
            credit_nanos=given["credit"],
            interval=obj.interval,
            interval_count=obj.interval_count,
            resets=not given["rollover"],
            drips=obj.drips,
            entitlements=_listed(given["features"]),
        )
        adopt(obj, products.add_plan(obj.paywall, obj.name, terms, actor=actor(request)))


class PromoForm(forms.ModelForm):  # type: ignore[type-arg]
    """A code, as it is made."""

    credit = AmountField(help_text="for each user, such as 5")

    class Meta:
        model = Promo
        fields = ("paywall", "code", "most_uses", "expires_at", "credit_days")

    def clean_code(self) -> str:
        """As it is compared."""
        return str(self.cleaned_data["code"]).strip().upper()


@admin.register(Promo)
class PromoAdmin(SaleAdmin[Promo]):
    """Codes that give credit."""

    form = PromoForm
    asked = ("paywall", "code", "credit", "most_uses", "expires_at", "credit_days")
    list_display = ("code", "paywall", "credit_", "used", "expires_at", "is_active")
    list_filter = ("is_active", ("expires_at", admin.EmptyFieldListFilter))
    search_fields = ("code", "paywall__name")
    search_help_text = "a code, or pw_…"
    when_empty = "Add a code; people type it on the page behind the link."
    actions = ("stop",)

    @admin.display(description="used", ordering="uses")
    def used(self, row: Promo) -> str:
        return f"{row.uses} of {row.most_uses}"

    @admin.action(description="End: it gives nothing more", permissions=["act"])
    def stop(self, request: HttpRequest, rows: QuerySet[Promo]) -> None:
        who = actor(request)
        self.do_for_each(
            request,
            rows.select_related("paywall"),
            lambda row: promos.stop(row.paywall, row.code, actor=who),
        )

    @override
    def save_model(self, request: HttpRequest, obj: Promo, form: Any, change: bool) -> None:
        terms = promos.Terms(
            credit_nanos=form.cleaned_data["credit"],
            most_uses=obj.most_uses,
            days=obj.credit_days,
            until=obj.expires_at,
        )
        adopt(obj, promos.add(obj.paywall, obj.code, terms, actor=actor(request)))


@admin.register(PlanSubscription)
class PlanSubscriptionAdmin(ReadOnlyAdmin[PlanSubscription]):
    """Who has which plan, as Stripe last said; people change and end it in Stripe's portal."""

    list_display = ("subscription_id", "user", "plan", "status", "current_period_end", "months")
    list_filter = ("status", "cancel_at_period_end", "account__livemode")
    list_select_related = ("user", "plan")
    id_fields = ("user_id", "plan_id", "account_id")
    search_fields = ("subscription_id",)
    search_help_text = "usr_…, plan_… or sta_…, or Stripe's sub_…"
    readonly_fields = ("months",)
    when_empty = "Subscriptions appear here when somebody buys a plan."

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[PlanSubscription]:
        return super().get_queryset(request).prefetch_related("drips")

    @admin.display(description="months given")
    def months(self, row: PlanSubscription) -> str:
        found = max(row.drips.all(), key=lambda each: each.starts_at, default=None)
        if found is None:
            return EMPTY
        comes = f", the next on {found.next_at:%Y-%m-%d}" if found.next_at else ""
        return f"{found.given} of {found.months}{comes}"


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    """How a paywall takes money."""

    least = AmountField(initial="1")
    most = AmountField(initial="1000")
    suggested = AmountsField(
        required=False, help_text="such as 10, 25, 50; the first is offered; empty: the usual ones"
    )
    addresses = forms.CharField(
        required=False,
        label="Origins",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="where people may be sent back to, one a line: https://app.example",
    )
    low_balance = AmountField(
        required=False, help_text="a balance that falls below it is told; empty: none is"
    )

    class Meta:
        model = PaymentSettings
        fields = (
            *("paywall", "choose_first", "invoices", "tax", "promotion_codes"),
            *("low_balance_mail", "refills"),
        )

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        row = self.instance
        low = row.low_balance_nanos
        if not row._state.adding:  # noqa: SLF001 - Django's documented way to ask.
            self.initial = {
                **self.initial,
                "least": format_nanos(row.least_nanos),
                "most": format_nanos(row.most_nanos),
                "suggested": ", ".join(map(format_nanos, row.suggested_nanos)),
                "addresses": "\n".join(row.origins),
                "low_balance": "" if low is None else format_nanos(low),
            }


@admin.register(PaymentSettings)
class PaymentSettingsAdmin(ServiceAdmin[PaymentSettings]):
    """How paywalls take money."""

    form = SettingsForm
    fields = (
        *("paywall", "least", "most", "suggested", "choose_first", "invoices", "tax"),
        *("promotion_codes", "addresses", "low_balance", "low_balance_mail", "refills"),
    )
    list_display = ("paywall", "least_", "most_", "choose_first", "invoices", "tax", "refills")
    list_filter = ("choose_first", "invoices", "tax", "promotion_codes", "refills")
    list_select_related = ("paywall",)
    raw_id_fields = ("paywall",)
    search_fields = ("paywall__name",)
    search_help_text = "a paywall's name, or pw_…"
    when_empty = "A paywall without a row here takes from 1 to 1,000 units, and suggests 10."
    least_, most_ = money("least_nanos", "least"), money("most_nanos", "most")

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        return ("paywall",) if obj else ()

    @override
    def save_model(
        self, request: HttpRequest, obj: PaymentSettings, form: Any, change: bool
    ) -> None:
        given, who = form.cleaned_data, actor(request)
        choices = sale_settings.Choices(
            least_nanos=given["least"],
            most_nanos=given["most"],
            suggested_nanos=given["suggested"],
            origins=_listed(given["addresses"]),
            **{name: given[name] for name in ("choose_first", "invoices", "tax")},
            promotion_codes=given["promotion_codes"],
        )
        with transaction.atomic():
            if "refills" in form.changed_data and not obj.refills:
                payment_settings.offer_refills(obj.paywall, is_on=False, actor=who)
            saved = sale_settings.choose(obj.paywall, choices, actor=who)
            if {"low_balance", "low_balance_mail"} & set(form.changed_data):
                payment_settings.tell_low_balances(
                    obj.paywall, given["low_balance"], mails=obj.low_balance_mail, actor=who
                )
            if "refills" in form.changed_data and obj.refills:
                payment_settings.offer_refills(obj.paywall, is_on=True, actor=who)
            saved.refresh_from_db()
        adopt(obj, saved)
