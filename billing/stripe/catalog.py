"""What a paywall sells through Stripe: settings of its payments, packs, plans, promo codes.

Credit is in nanos of the paywall's currency, prices in minor units of theirs.
"""

from django.db import models
from django.db.models import Q

from config.kit import clock, ids
from paywalls.models import Paywall


class PaymentSettings(models.Model):
    """How a paywall takes money. Amounts in nanos of its currency."""

    paywall = models.OneToOneField(
        Paywall, primary_key=True, on_delete=models.PROTECT, related_name="payment_settings"
    )
    suggested_nanos = models.JSONField(default=list, blank=True, help_text="the first is offered")
    least_nanos = models.BigIntegerField(default=1_000_000_000)
    most_nanos = models.BigIntegerField(default=1_000_000_000_000)
    choose_first = models.BooleanField(
        default=False, help_text="the link opens a page with amounts instead of Stripe at once"
    )
    invoices = models.BooleanField(default=False, help_text="a Stripe invoice for each top-up")
    tax = models.BooleanField(default=False, help_text="Stripe Tax computes and adds tax")
    promotion_codes = models.BooleanField(
        default=False, help_text="Stripe's promotion codes lower the price, not the credit"
    )
    origins = models.JSONField(
        default=list, blank=True, help_text="where people may be sent back to: https://app.example"
    )
    low_balance_nanos = models.BigIntegerField(
        null=True, blank=True, help_text="a balance that falls below it is told; empty: none is"
    )
    low_balance_mail = models.BooleanField(default=True, help_text="to the owners, once a day")
    notices_mailed_at = models.DateTimeField(null=True, editable=False)
    refills = models.BooleanField(
        default=False, help_text="people may save a card for automatic top-ups"
    )

    class Meta:
        verbose_name_plural = "payment settings"

    def __str__(self) -> str:
        return f"payments of {self.paywall}"


class Pack(models.Model):
    """Credit for a price, once: `credit_nanos` and a bonus that is spent first."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="packs")
    name = models.CharField(max_length=100)
    price_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    credit_nanos = models.BigIntegerField()
    bonus_nanos = models.BigIntegerField(default=0)
    stripe_price_id = models.CharField(max_length=255, blank=True, help_text="if synced: price_…")
    is_active = models.BooleanField(default=True)
    position = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        db_table = "billing_pack"
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["paywall", "stripe_price_id"],
                condition=~Q(stripe_price_id=""),
                name="pack_synced_once",
            ),
            models.CheckConstraint(
                condition=Q(price_minor__gt=0, credit_nanos__gt=0, bonus_nanos__gte=0),
                name="pack_amounts",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Plan(models.Model):
    """Credit for each paid cycle. Left-overs roll over, or end with the cycle (`resets`)."""

    class Interval(models.TextChoices):
        DAY = "day", "day"
        WEEK = "week", "week"
        MONTH = "month", "month"
        YEAR = "year", "year"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="plans")
    name = models.CharField(max_length=100)
    price_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    interval = models.CharField(max_length=8, choices=Interval)
    interval_count = models.PositiveSmallIntegerField(default=1)
    credit_nanos = models.BigIntegerField(help_text="a cycle; with drip, a month of a yearly cycle")
    resets = models.BooleanField(default=True, help_text="what is left ends with the cycle")
    drips = models.BooleanField(default=False, help_text="a yearly plan that grants every month")
    entitlements = models.JSONField(default=list, blank=True, help_text="names of features")
    stripe_price_id = models.CharField(max_length=255, blank=True, help_text="price_…")
    is_active = models.BooleanField(default=True)
    position = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        db_table = "billing_plan"
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["paywall", "stripe_price_id"],
                condition=~Q(stripe_price_id=""),
                name="plan_synced_once",
            ),
            models.CheckConstraint(
                condition=Q(price_minor__gte=0, credit_nanos__gte=0), name="plan_amounts"
            ),
            models.CheckConstraint(
                condition=Q(drips=False) | Q(interval="year"), name="plan_drips_of_a_year"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def rhythm(self) -> str:
        """`every month`, `every 3 months`."""
        count = self.interval_count
        return f"every {count} {self.interval}s" if count > 1 else f"every {self.interval}"

    @property
    def credit_rhythm(self) -> str:
        """How often the credit comes."""
        return "every month" if self.drips else self.rhythm


class Promo(models.Model):
    """A code that gives credit, at most `most_uses` times and once a user."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="promos")
    code = models.CharField(max_length=40, help_text="upper case letters, digits, dashes")
    credit_nanos = models.BigIntegerField()
    credit_days = models.PositiveIntegerField(null=True, blank=True, help_text="then it expires")
    most_uses = models.PositiveIntegerField()
    uses = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        db_table = "billing_promo"
        verbose_name = "promotion code"
        constraints = [
            models.UniqueConstraint(fields=["paywall", "code"], name="promo_code_once"),
            models.CheckConstraint(
                condition=Q(uses__lte=models.F("most_uses"), credit_nanos__gt=0), name="promo_uses"
            ),
        ]

    def __str__(self) -> str:
        return self.code


class PromoTries(models.Model):
    """How often one subject (a user, a paywall) has tried codes that give nothing."""

    subject = models.UUIDField(primary_key=True)
    spent_until = models.DateTimeField(help_text="each try moves it on: see promo_tries.py")

    class Meta:
        db_table = "billing_promo_tries"

    def __str__(self) -> str:
        return f"tries of {self.subject}"
