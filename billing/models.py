"""What billing keeps beside the ledger: requests, the facts of charges, roll-ups.

Amounts are whole nanos of the paywall's currency. No prompts, and no answers but for sealed,
short-lived ones that a paywall asked for. Written by the functions in `billing/sql`.
"""

from django.db import models

import billing.stripe.person_models
import billing.webhooks.models
import billing.withdrawals.models  # noqa: F401 - Django looks for models here.
from config.kit import clock, ids
from config.kit.fields import SumField
from paywalls.models import EndUser


class Request(models.Model):
    """One call that reached a provider, as it ended. Partitioned by month, with a retention."""

    id = models.UUIDField(primary_key=True, editable=False)
    paywall_id = models.UUIDField()
    livemode = models.BooleanField()
    user_id = models.UUIDField()
    key_id = models.UUIDField(null=True)
    status = models.CharField(max_length=16)
    policy = models.CharField(max_length=32, help_text="the settlement rule that was applied")
    model = models.CharField(max_length=300)
    connection_id = models.UUIDField(null=True)
    rate_id = models.UUIDField(null=True)
    feature = models.CharField(max_length=128, blank=True)
    run = models.CharField(max_length=128, blank=True)
    streamed = models.BooleanField()
    http_status = models.SmallIntegerField()
    error_code = models.CharField(max_length=64, blank=True)
    usage = models.JSONField()
    usage_source = models.CharField(max_length=16)
    charged = models.BigIntegerField()
    written_off = models.BigIntegerField(help_text="cost above the hold: the platform's loss")
    provider_cost = models.BigIntegerField()
    transaction_id = models.UUIDField(null=True)
    first_byte_ms = models.IntegerField(null=True)
    duration_ms = models.IntegerField()
    attempts = models.JSONField()
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "billing_request"

    def __str__(self) -> str:
        return ids.encode("req", self.id)


class Charge(models.Model):
    """What a charge was computed from; kept for ever, so that its receipt recomputes.

    A manual charge has neither rate nor usage.
    """

    transaction_id = models.UUIDField(primary_key=True, editable=False)
    request_id = models.UUIDField()
    paywall_id = models.UUIDField()
    user_id = models.UUIDField()
    key_id = models.UUIDField(null=True)
    rate_id = models.UUIDField(null=True)
    model = models.CharField(max_length=300)
    usage = models.JSONField(null=True)
    usage_source = models.CharField(max_length=16)
    policy = models.CharField(max_length=32)
    charged = models.BigIntegerField()
    provider_cost = models.BigIntegerField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"charge {ids.encode('txn', self.transaction_id)}"


class Daily(models.Model):
    """Exact sums of a user's day by model, kept by the statement that settles."""

    pk = models.CompositePrimaryKey("user_id", "day", "model")
    user_id = models.UUIDField()
    day = models.DateField(help_text="in the paywall's time zone")
    model = models.CharField(max_length=300, help_text="`manual` for manual charges")
    paywall_id = models.UUIDField()
    livemode = models.BooleanField()
    requests = models.BigIntegerField()
    failures = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    charged = SumField()
    provider_cost = SumField()

    class Meta:
        indexes = [models.Index(fields=["day", "paywall_id"], name="daily_of_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.model}"


class PaywallDay(models.Model):
    """The sums of a paywall's day by model: `Daily` without the users, a minute old at most."""

    pk = models.CompositePrimaryKey("paywall_id", "livemode", "day", "model")
    paywall_id = models.UUIDField()
    livemode = models.BooleanField()
    day = models.DateField(help_text="in the paywall's time zone")
    model = models.CharField(max_length=300)
    requests = models.BigIntegerField()
    failures = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    charged = SumField()
    provider_cost = SumField()

    def __str__(self) -> str:
        return f"{self.day} {self.model}"


class Ranking(models.Model):
    """Active users and those who spent the most in a paywall's last days, ten minutes old."""

    pk = models.CompositePrimaryKey("paywall_id", "livemode", "days")
    paywall_id = models.UUIDField()
    livemode = models.BooleanField()
    days = models.SmallIntegerField()
    active_users = models.BigIntegerField()
    top = models.JSONField(help_text="[[user, nanos, requests], …]")
    ranked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.active_users} users in {self.days} days"


class Rollup(models.Model):
    """One row: when the days of paywalls were added up last."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    rolled_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"rolled up {self.rolled_at}"


class Idempotency(models.Model):
    """An Idempotency-Key of a chat: which request it belongs to. The hold tells its state."""

    pk = models.CompositePrimaryKey("paywall_id", "livemode", "key")
    paywall_id = models.UUIDField()
    livemode = models.BooleanField()
    key = models.BinaryField(max_length=32, help_text="digest")
    fingerprint = models.BinaryField(max_length=32)
    request_id = models.UUIDField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return ids.encode("req", self.request_id)


class Answer(models.Model):
    """A chat's answer, sealed, for replays; only where the paywall asked to store answers."""

    request_id = models.UUIDField(primary_key=True, editable=False)
    sealed = models.BinaryField()
    content_type = models.CharField(max_length=64)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return ids.encode("req", self.request_id)


class Writeoff(models.Model):
    """Provider work that nobody pays for: what came after its hold had ended."""

    id = models.BigAutoField(primary_key=True)
    request_id = models.UUIDField()
    paywall_id = models.UUIDField()
    nanos = models.BigIntegerField()
    reason = models.CharField(max_length=32)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = "write-off"

    def __str__(self) -> str:
        return f"{self.reason} {ids.encode('req', self.request_id)}"


class PlatformFee(models.Model):
    """What the operator takes of Shared charges from a moment on; the newest moment counts.

    Kept for ever: a charge says under which number it was shared.
    """

    number = models.PositiveIntegerField(primary_key=True)
    ppm = models.PositiveIntegerField(help_text="millionths of the charge")
    valid_from = models.DateTimeField(db_index=True)
    actor = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(ppm__lte=1_000_000), name="fee_at_most_all")
        ]

    def __str__(self) -> str:
        return f"{self.ppm / 10_000:g} %"


class Split(models.Model):
    """How a Shared charge was shared: cost + fee + earned = the charge. Amounts in nanos.

    A refund has a row of its own, below 0: what each party gave back. built_in: the operator paid
    the provider. Otherwise the developer did, and cost is 0.
    """

    transaction_id = models.UUIDField(primary_key=True, editable=False)
    paywall_id = models.UUIDField()
    user_id = models.UUIDField()
    grant_id = models.UUIDField(help_text="under which it was allowed")
    fee_number = models.IntegerField(help_text="0: no fee was ever set")
    fee_ppm = models.IntegerField()
    built_in = models.BooleanField()
    cost = models.BigIntegerField(help_text="the provider's")
    fee = models.BigIntegerField(help_text="the platform's")
    earned = models.BigIntegerField(help_text="the developer's; below 0 where the cost was higher")

    class Meta:
        indexes = [models.Index(fields=["user_id", "transaction_id"], name="split_of_user")]

    def __str__(self) -> str:
        return f"split of {ids.encode('txn', self.transaction_id)}"


class Wallet(EndUser):
    """An end user, as somebody whose money can be moved by hand."""

    class Meta:
        proxy = True
