"""Prices: versions that are never edited, and what they come to for one model."""

from django.db import models

from config.kit import clock, ids
from paywalls.models.paywalls import Paywall


class PriceVersion(models.Model):
    """A paywall's whole price list at one time; a change is a new version.

    rules: a list of objects as `paywalls.rules.PriceRule` reads them.
    Trial and credits belong to it because they decide what a user pays.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="price_versions")
    number = models.PositiveIntegerField()
    rules = models.JSONField(default=list)
    usd_rate_nanos = models.BigIntegerField(
        null=True, blank=True, help_text="paywall currency for one US dollar, in nanos"
    )
    trial_nanos = models.BigIntegerField(default=0)
    trial_requests = models.PositiveIntegerField(default=0)
    trial_days = models.PositiveIntegerField(default=0, help_text="0: the trial does not expire")
    credits_name = models.CharField(max_length=32, blank=True)
    credits_per_unit = models.PositiveIntegerField(
        default=0, help_text="credits for one unit of the currency; 0 shows money"
    )
    actor = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["paywall", "number"], name="price_version_once"),
            models.CheckConstraint(
                condition=models.Q(trial_nanos__gte=0), name="price_version_trial_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.paywall.name} prices v{self.number}"


class Rate(models.Model):
    """What a price version comes to for one model: the figures a charge was computed from.

    selling: `paywalls.pricing.Rates` as an object. cost: the provider's, or null.
    Kept for ever, so that a receipt recomputes.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="rates")
    model = models.CharField(max_length=300, help_text="connection name, slash, upstream model")
    feature = models.CharField(max_length=128, blank=True)
    digest = models.BinaryField(max_length=32, help_text="of model, feature, selling and cost")
    selling = models.JSONField()
    cost = models.JSONField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "digest"], name="rate_once")]

    def __str__(self) -> str:
        return f"{self.model} at {self.version}"
