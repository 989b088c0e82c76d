"""The paywall: how usage turns into money for one product."""

from django.db import models

from config.kit import clock, ids
from paywalls.models.people import Team


class Paywall(models.Model):
    """One product's configuration. Mode and currency are fixed for ever, by the database."""

    class Mode(models.TextChoices):
        DEFAULT = "default", "Default: balances live in the developer's app"
        SHARED = "shared", "Shared: one wallet per person across apps"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="paywalls")
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=500, blank=True)
    mode = models.CharField(max_length=8, choices=Mode)
    currency = models.CharField(max_length=3, default="USD", help_text="ISO 4217, upper case")
    livemode = models.BooleanField(
        default=True, help_text="off: every key moves test wallets (the Stripe key is a test key)"
    )
    timezone = models.CharField(max_length=64, default="UTC", help_text="of days and months")
    allowed_models = models.JSONField(
        default=list, blank=True, help_text="ids or prefixes ending in *; empty allows all"
    )
    graceful = models.BooleanField(
        default=False, help_text="provider trouble is an assistant message instead of an error"
    )
    store_answers = models.BooleanField(
        default=False, help_text="keep chat answers sealed for 24 h for Idempotency-Key replays"
    )
    paused_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1, help_text="counts configuration changes")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(mode__in=["default", "shared"]), name="paywall_mode_known"
            ),
            models.CheckConstraint(
                condition=models.Q(currency__regex="^[A-Z]{3}$"), name="paywall_currency_form"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id})"

    @property
    def public_id(self) -> str:
        return ids.encode("pw", self.id)
