"""Shared mode: a person's permission to a paywall, how it is asked for, and how it is given."""

from django.db import models

from config.kit import clock, ids
from config.kit.money import AMOUNT_NANOS_MAX
from paywalls.models.keys import EndUser
from paywalls.models.paywalls import Paywall
from paywalls.models.persons import Person


class GrantRequest(models.Model):
    """An app asks for a wallet on behalf of one of its users. At most one of a user is pending.

    Made by the gate at a refusal; the refusals that follow lead to the same one.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        DECLINED = "declined"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="+")
    end_user = models.ForeignKey(EndUser, on_delete=models.PROTECT, related_name="grant_requests")
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    person = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=200, blank=True, help_text="why it was declined")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["end_user"],
                name="grant_request_pending_once",
                condition=models.Q(state="pending"),
            ),
            models.CheckConstraint(
                condition=models.Q(state="pending", closed_at__isnull=True)
                | models.Q(state="approved", closed_at__isnull=False, person__isnull=False)
                | models.Q(state="declined", closed_at__isnull=False),
                name="grant_request_state",
            ),
        ]
        indexes = [models.Index(fields=["end_user", "-id"], name="grant_request_of_user")]

    def __str__(self) -> str:
        return f"{self.state} {self.public_id}"

    @property
    def public_id(self) -> str:
        return ids.encode("grt", self.id)


class Approval(models.Model):
    """A single-use right to say yes to one request, for the person it was made for. Only a hash."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    request = models.ForeignKey(GrantRequest, on_delete=models.PROTECT, related_name="approvals")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    token_hash = models.BinaryField(max_length=32, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    def __str__(self) -> str:
        return f"approval of {self.request_id}"


class Grant(models.Model):
    """What one end user of one paywall may spend of a person's wallet. Amounts in nanos.

    At most one of an end user stands. The gate reads it for each request; what it has spent is the
    ledger's counter of the same id. Withdrawn for good; paused until it is resumed.
    """

    class Period(models.TextChoices):
        DAY = "day", "a day"
        WEEK = "week", "a week"
        MONTH = "month", "a month"
        TOTAL = "total", "in all"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="grants")
    end_user = models.ForeignKey(EndUser, on_delete=models.PROTECT, related_name="grants")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="grants")
    request = models.ForeignKey(GrantRequest, on_delete=models.PROTECT, related_name="+")
    livemode = models.BooleanField(editable=False)
    cap = models.BigIntegerField(help_text="what it may spend in a period")
    cap_period = models.CharField(max_length=8, choices=Period)
    request_most = models.BigIntegerField(
        null=True, help_text="what one request may set aside; empty: as much as the cap"
    )
    ends_at = models.DateTimeField(null=True)
    consent = models.JSONField(default=dict, help_text="what was shown when it was given")
    paused_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["end_user"], name="grant_once", condition=models.Q(revoked_at__isnull=True)
            ),
            models.CheckConstraint(
                condition=models.Q(cap__gt=0, cap__lte=AMOUNT_NANOS_MAX)
                & (models.Q(request_most__isnull=True) | models.Q(request_most__gt=0)),
                name="grant_amounts",
            ),
            models.CheckConstraint(
                condition=models.Q(cap_period__in=["day", "week", "month", "total"]),
                name="grant_period_known",
            ),
        ]
        indexes = [models.Index(fields=["person", "livemode", "-id"], name="grant_of_person")]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.encode("grt", self.id)
