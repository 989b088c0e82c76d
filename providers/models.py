"""Connections to model providers, and the models they offer with what those cost."""

from django.db import models

from config.kit import clock, ids, limits
from paywalls.models import Paywall


class Connection(models.Model):
    """A provider key saved by a developer, for one paywall. The key is bound to the origin.

    `position` is the owner's order: the first that has a model serves it, the next are fallbacks.
    `settlement` and `timeouts` override the adapter's defaults, by name.
    """

    class Kind(models.TextChoices):
        OPENAI = "openai", "OpenAI"
        ANTHROPIC = "anthropic", "Anthropic"
        OPENROUTER = "openrouter", "OpenRouter"
        TOGETHER = "together", "Together AI"
        COMPATIBLE = "compatible", "any OpenAI-compatible URL"
        DEMO = "demo", "demo provider"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="connections")
    name = models.CharField(max_length=50, help_text="the prefix of its models: name/model")
    kind = models.CharField(max_length=16, choices=Kind)
    base_url = models.CharField(max_length=500, blank=True, help_text="up to and with /v1")
    sealed_key = models.BinaryField(null=True, editable=False)
    key_last_four = models.CharField(max_length=4, blank=True, editable=False)
    position = models.PositiveIntegerField(default=0)
    is_active = models.BooleanField(default=True)
    settlement = models.JSONField(default=dict, blank=True)
    timeouts = models.JSONField(default=dict, blank=True)
    trouble = models.CharField(
        max_length=200, blank=True, editable=False, help_text="what the provider last refused with"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["paywall", "name"], name="connection_name_once"),
            models.CheckConstraint(
                condition=models.Q(
                    kind__in=[
                        "openai",
                        "anthropic",
                        "openrouter",
                        "together",
                        "compatible",
                        "demo",
                    ]
                ),
                name="connection_kind_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"

    @property
    def public_id(self) -> str:
        return ids.encode("conn", self.id)


class Model(models.Model):
    """A model in the catalogue: of a kind of provider for everyone, or of one connection.

    A connection's own row wins over its kind's. cost: `paywalls.pricing.Rates` fields as an
    object, in nanos of a US dollar per million tokens or per unit; null when it is not known.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    kind = models.CharField(max_length=16, choices=Connection.Kind)
    connection = models.ForeignKey(
        Connection, on_delete=models.CASCADE, null=True, blank=True, related_name="models"
    )
    name = models.CharField(max_length=limits.MODEL_CHARS_MAX, help_text="as the provider says it")
    display_name = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    context_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens_max = models.PositiveIntegerField(null=True, blank=True)
    cost = models.JSONField(null=True, blank=True)
    source = models.CharField(max_length=50, help_text="where the cost comes from")
    as_of = models.DateField(null=True, blank=True, help_text="the day the cost was read")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "connection", "name"], name="model_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"
