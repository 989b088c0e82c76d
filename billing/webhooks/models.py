"""Subscriptions, events and their deliveries.

Events and deliveries are written by `billing_events_put` and go by month, with a retention.
"""

from typing import override

from django.db import models

from config.kit import clock, ids
from paywalls.models import Paywall


class Subscription(models.Model):
    """An address of the developer's that is told of events, or asked for words.

    Its secret signs what is sent (for PostHog: the project's key). During a rotation the previous
    one signs too.
    """

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", "webhook"
        POSTHOG = "posthog", "PostHog"
        MESSAGE = "message", "message endpoint"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="subscriptions")
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.WEBHOOK)
    url = models.CharField(max_length=2_000)
    events = models.JSONField(default=list, help_text="types, prefixes ending in .*, or * alone")
    description = models.CharField(max_length=512, blank=True)
    headers = models.JSONField(default=dict, blank=True)
    sealed_secret = models.BinaryField(editable=False)
    secret_suffix = models.CharField(max_length=6, editable=False)
    sealed_previous = models.BinaryField(null=True, editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    is_active = models.BooleanField(default=True)
    created_by = models.CharField(max_length=100, editable=False)
    consecutive_failures = models.PositiveIntegerField(default=0, editable=False)
    first_failure_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_delivered_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        app_label = "billing"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["webhook", "posthog", "message"]),
                name="subscription_kind_known",
            ),
            models.UniqueConstraint(
                fields=["paywall", "kind"],
                condition=~models.Q(kind="webhook"),
                name="subscription_once",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.public_id}"

    @property
    def public_id(self) -> str:
        return ids.encode("sub", self.id)

    @property
    def seal_context(self) -> str:
        """What its secrets are bound to."""
        return f"subscription:{self.paywall_id}:{self.id}"


class Event(models.Model):
    """Something that happened. facts: bare ids and nanos, as `webhooks.events` reads them."""

    id = models.UUIDField(primary_key=True, editable=False)
    paywall_id = models.UUIDField()
    livemode = models.BooleanField()
    type = models.CharField(max_length=64)
    user_id = models.UUIDField(null=True)
    source = models.CharField(max_length=16)
    actor = models.CharField(max_length=100)
    facts = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        app_label = "billing"
        managed = False
        db_table = "billing_event"

    @override
    def __str__(self) -> str:
        return f"{self.type} {ids.encode('evt', self.id)}"


class Delivery(models.Model):
    """An event on its way to one subscription. due_at: of the next attempt, while pending."""

    id = models.UUIDField(primary_key=True, editable=False)
    event_id = models.UUIDField()
    subscription_id = models.UUIDField()
    paywall_id = models.UUIDField()
    type = models.CharField(max_length=64)
    status = models.CharField(max_length=8)
    attempts = models.SmallIntegerField()
    due_at = models.DateTimeField()
    last_attempt_at = models.DateTimeField(null=True)
    response_code = models.SmallIntegerField(null=True)
    latency_ms = models.IntegerField(null=True)
    error = models.CharField(max_length=200, blank=True)
    response = models.CharField(max_length=1_024, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        app_label = "billing"
        managed = False
        db_table = "billing_delivery"
        verbose_name_plural = "deliveries"

    @override
    def __str__(self) -> str:
        return f"{self.type} {ids.encode('dly', self.id)}"


class DeliveryTotal(models.Model):
    """How many attempts to deliver had this outcome: success, retry, error."""

    outcome = models.CharField(max_length=8, primary_key=True)
    total = models.BigIntegerField(default=0)

    class Meta:
        app_label = "billing"
        db_table = "billing_delivery_total"

    @override
    def __str__(self) -> str:
        return f"{self.outcome}: {self.total}"


class EventMark(models.Model):
    """Told once: until the mark is taken away, or its day is past."""

    pk = models.CompositePrimaryKey("paywall_id", "mark")
    paywall_id = models.UUIDField()
    mark = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta:
        app_label = "billing"

    @override
    def __str__(self) -> str:
        return self.mark
