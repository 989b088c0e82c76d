"""Limits, aliases, messages, and the record of every change."""

from django.db import models

from config.kit import clock, ids, limits
from paywalls.models.paywalls import Paywall


class Limit(models.Model):
    """A bound on spending or speed, for each user, for one key, or for the whole paywall.

    Money is in nanos, the rest are counts. A single user's own limits stand on the end user.
    """

    class Subject(models.TextChoices):
        USER = "user", "each user"
        KEY = "key", "one key"
        PAYWALL = "paywall", "the whole paywall"

    class Kind(models.TextChoices):
        OUTPUT_TOKENS = "output_tokens", "output tokens a request (clamps)"
        PROMPT_TOKENS = "prompt_tokens", "prompt tokens a request (refuses)"
        CONCURRENCY = "concurrency", "requests at the same time"
        REQUESTS_MINUTE = "requests_minute", "requests a minute"
        REQUESTS_DAY = "requests_day", "requests a day"
        SPEND_DAY = "spend_day", "spending a day"
        SPEND_MONTH = "spend_month", "spending a month"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="limits")
    subject = models.CharField(max_length=8, choices=Subject)
    target = models.UUIDField(null=True, blank=True, help_text="the key's id, for one key")
    kind = models.CharField(max_length=16, choices=Kind)
    value = models.BigIntegerField()
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["paywall", "subject", "target", "kind"],
                name="limit_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(condition=models.Q(value__gte=0), name="limit_positive"),
            models.CheckConstraint(
                condition=models.Q(subject="key", target__isnull=False)
                | models.Q(subject__in=["user", "paywall"], target__isnull=True),
                name="limit_target_fits",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    kind__in=[
                        "output_tokens",
                        "prompt_tokens",
                        "concurrency",
                        "requests_minute",
                        "requests_day",
                        "spend_day",
                        "spend_month",
                    ]
                ),
                name="limit_kind_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} for {self.get_subject_display()}"


class ModelAlias(models.Model):
    """A name of the paywall's own for a model, such as `fast`."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="aliases")
    alias = models.CharField(max_length=limits.MODEL_CHARS_MAX)
    target = models.CharField(max_length=limits.MODEL_CHARS_MAX)

    class Meta:
        verbose_name_plural = "model aliases"
        constraints = [models.UniqueConstraint(fields=["paywall", "alias"], name="alias_once")]

    def __str__(self) -> str:
        return f"{self.alias} → {self.target}"


class MessageTemplate(models.Model):
    """What the assistant says on one event. `{{url}}` and `{{name}}` are filled in; no more."""

    class Event(models.TextChoices):
        AUTHORIZATION_REQUIRED = "authorization_required"
        INSUFFICIENT_FUNDS = "insufficient_funds"
        MODEL_UNAVAILABLE = "model_unavailable"
        PAYMENTS_UNAVAILABLE = "payments_unavailable"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="messages")
    event = models.CharField(max_length=32, choices=Event)
    text = models.TextField(max_length=limits.TEMPLATE_CHARS_MAX)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["paywall", "event"], name="message_once"),
            models.CheckConstraint(
                condition=models.Q(
                    event__in=[
                        "authorization_required",
                        "insufficient_funds",
                        "model_unavailable",
                        "payments_unavailable",
                    ]
                ),
                name="message_event_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} on {self.paywall.name}"


class Change(models.Model):
    """Who changed what, when, from what to what. Never edited, never deleted."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(
        Paywall, on_delete=models.PROTECT, null=True, related_name="changes"
    )
    version = models.PositiveIntegerField(null=True, help_text="the paywall's, after the change")
    actor = models.CharField(max_length=100, help_text="a developer's id, or `command:<login>`")
    action = models.CharField(max_length=50)
    subject = models.CharField(max_length=50, help_text="the public id of what was changed")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        indexes = [models.Index(fields=["paywall", "-id"], name="change_of_paywall")]

    def __str__(self) -> str:
        return f"{self.action} {self.subject} by {self.actor}"
