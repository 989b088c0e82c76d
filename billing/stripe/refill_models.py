"""What people agreed to about automatic top-ups, and which balances are low. Amounts in nanos."""

from typing import override

from django.db import models
from django.db.models import F, Q

from config.kit import ids
from paywalls.models import EndUser, Paywall


class RefillAgreement(models.Model):
    """Somebody's consent to top-ups with their saved card, in the words that they read.

    waiting → on, when the card is saved; then off, for good: who wants it again agrees again. It is
    kept as the evidence for the orders made under it.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", "waiting for a card"
        ON = "on", "on"
        OFF = "off", "off"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    customer = models.ForeignKey(
        "billing.Customer", on_delete=models.PROTECT, related_name="agreements"
    )
    below_nanos = models.BigIntegerField()
    amount_nanos = models.BigIntegerField()
    month_most_nanos = models.BigIntegerField(help_text="all top-ups of a calendar month together")
    words = models.TextField(help_text="as they stood on the page")
    wording = models.PositiveSmallIntegerField(help_text="version of the words")
    page = models.CharField(max_length=8, help_text="on which they stood: pay or wallet")
    address = models.GenericIPAddressField(null=True, help_text="forgotten with the user")
    agreed_at = models.DateTimeField()
    status = models.CharField(max_length=8, choices=Status, default=Status.WAITING)
    trouble = models.CharField(
        max_length=200, blank=True, help_text="why it ended, if it was not the person's own wish"
    )
    told_at = models.DateTimeField(null=True, help_text="when the owners were told of the trouble")
    ended_at = models.DateTimeField(null=True)
    declines = models.PositiveSmallIntegerField(default=0, help_text="in a row")
    due_at = models.DateTimeField(null=True, help_text="when a worker looks; null: nothing to do")
    leased_until = models.DateTimeField(null=True, help_text="a worker is at it")
    session_id = models.CharField(max_length=255, blank=True, help_text="cs_… that saves the card")

    class Meta:
        app_label = "billing"
        db_table = "billing_refill_agreement"
        constraints = [
            models.UniqueConstraint(
                fields=["customer"], condition=~Q(status="off"), name="refill_agreed_once"
            ),
            models.CheckConstraint(
                condition=Q(below_nanos__gt=0, amount_nanos__gt=0)
                & Q(month_most_nanos__gte=F("amount_nanos")),
                name="refill_amounts",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="refill_due"),
            models.Index(
                fields=["leased_until"],
                condition=Q(leased_until__isnull=False),
                name="refill_leased",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.encode("refill", self.id)


class LowBalance(models.Model):
    """A wallet that fell below its paywall's threshold, and has not risen since."""

    user = models.OneToOneField(
        EndUser, primary_key=True, on_delete=models.PROTECT, related_name="low_balance"
    )
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="low_balances")
    level_nanos = models.BigIntegerField(help_text="when it was seen")
    threshold_nanos = models.BigIntegerField()
    since = models.DateTimeField()
    mailed_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "billing"
        db_table = "billing_low_balance"
        indexes = [
            models.Index(
                fields=["paywall"], condition=Q(mailed_at__isnull=True), name="low_not_mailed"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{ids.encode('usr', self.user_id)} since {self.since:%Y-%m-%d %H:%M}"


class LowWatch(models.Model):
    """One row: up to which entry balances were looked at. None while nobody wants to know."""

    id = models.PositiveSmallIntegerField(primary_key=True)
    watched_upto = models.BigIntegerField()

    class Meta:
        app_label = "billing"
        db_table = "billing_low_watch"

    @override
    def __str__(self) -> str:
        return str(self.watched_upto)
