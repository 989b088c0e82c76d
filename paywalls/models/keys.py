"""Keys that apps call with, and the end users they call for."""

from django.db import models

from config.kit import clock, ids
from paywalls.models.paywalls import Paywall


class EndUser(models.Model):
    """A developer's user: an opaque id on one paywall, in live or in test.

    The external id is the only personal thing here; erasure replaces it with a tombstone.
    Several end users may point to one wallet (a ledger account's id).
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="end_users")
    livemode = models.BooleanField(editable=False)
    external_id = models.CharField(max_length=128)
    wallet_id = models.UUIDField(
        null=True, editable=False, db_index=True, help_text="empty in Shared mode without a grant"
    )
    blocked_at = models.DateTimeField(null=True, blank=True)
    limits = models.JSONField(
        null=True, blank=True, help_text="this user's own limits by kind; they replace the common"
    )
    trial_requests_left = models.PositiveIntegerField(default=0)
    erased_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["paywall", "livemode", "external_id"], name="end_user_once"
            )
        ]
        indexes = [models.Index(fields=["paywall", "livemode", "-id"], name="end_user_page")]

    def __str__(self) -> str:
        return f"{self.external_id} ({ids.encode('usr', self.id)})"


class ApiKey(models.Model):
    """A key of a paywall: stored as a keyed hash, shown once.

    An empty list of scopes or models allows all. A key with an end user needs no `user`.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="keys")
    name = models.CharField(max_length=100)
    hash = models.BinaryField(max_length=32, unique=True, editable=False)
    pepper = models.PositiveSmallIntegerField(editable=False, help_text="version of the pepper")
    last_four = models.CharField(max_length=4, editable=False)
    livemode = models.BooleanField(editable=False)
    scopes = models.JSONField(default=list, blank=True)
    allowed_models = models.JSONField(default=list, blank=True)
    end_user = models.ForeignKey(
        EndUser, on_delete=models.PROTECT, null=True, blank=True, related_name="keys"
    )
    error_mode = models.BooleanField(
        default=False, help_text="refusals are HTTP 402 instead of assistant messages"
    )
    idempotency_required = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    replaced_by = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="replaces"
    )
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} (…{self.last_four})"

    @property
    def public_id(self) -> str:
        return ids.encode("key", self.id)
