"""What stands between earnings and the bank: terms, destinations, clearings, withdrawals.

Amounts are whole nanos. Clearings, withdrawals and batches are written by `billing/sql` alone, in
the statement that moves the money; the rows are the truth, a task only looks at them.
"""

from typing import Final

from django.db import models
from django.db.models import F, Q

from config.kit import clock, ids
from paywalls.models import Team

BPS: Final = 10_000


class PayoutTerms(models.Model):
    """The operator's terms of earnings and withdrawals. A change is a new row; the last one is in
    force. The first is made with the table.
    """

    id = models.BigAutoField(primary_key=True)
    clearing_days = models.PositiveSmallIntegerField(
        default=7, help_text="earnings clear so many whole days after the charge; 0: at once"
    )
    reserve_bps = models.PositiveSmallIntegerField(
        default=0, help_text="part of what clears that stays for reserve_days, in 1/100 percent"
    )
    reserve_days = models.PositiveSmallIntegerField(default=0)
    minimum_nanos = models.BigIntegerField(default=10 * 10**9)
    fee_nanos = models.BigIntegerField(default=0, help_text="of each withdrawal")
    fee_bps = models.PositiveSmallIntegerField(default=0, help_text="of the amount, 1/100 percent")
    approval_above_nanos = models.BigIntegerField(
        default=1_000 * 10**9, help_text="more than this needs a second person"
    )
    destination_delay_hours = models.PositiveSmallIntegerField(
        default=72, help_text="nothing is paid to a new destination before"
    )
    actor = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        db_table = "billing_payout_terms"
        verbose_name_plural = "payout terms"
        constraints = [
            models.CheckConstraint(
                condition=Q(reserve_bps__lte=BPS, fee_bps__lt=BPS)
                & Q(minimum_nanos__gte=0, fee_nanos__gte=0, approval_above_nanos__gte=0),
                name="payout_terms_bounds",
            ),
        ]

    def __str__(self) -> str:
        return f"payout terms {self.pk}"


class Destination(models.Model):
    """Where a team's earnings go. Another destination is another row: what is on its way keeps its
    own. At most one is active for live money, and one for test money.

    facts: what is no secret, such as `{"account": "acct_…"}`; sealed: the rest, for banks.
    """

    class Kind(models.TextChoices):
        STRIPE = "stripe", "a Stripe account, connected to the platform's"
        BANK = "bank", "a bank account, paid by the operator in batches"

    class Schedule(models.TextChoices):
        MANUAL = "manual", "when asked for"
        WEEKLY = "weekly", "every Monday, all there is"
        MONTHLY = "monthly", "on the first of the month, all there is"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="destinations")
    livemode = models.BooleanField()
    kind = models.CharField(max_length=8, choices=Kind)
    label = models.CharField(max_length=100, help_text="as people see it: no whole number")
    facts = models.JSONField(default=dict)
    sealed = models.BinaryField(null=True, editable=False)
    schedule = models.CharField(max_length=8, choices=Schedule, default=Schedule.MANUAL)
    trouble = models.CharField(max_length=200, blank=True, help_text="empty: it can be paid to")
    checked_at = models.DateTimeField(null=True)
    is_active = models.BooleanField(default=True)
    created_by = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        db_table = "billing_destination"
        constraints = [
            models.UniqueConstraint(
                fields=["team", "livemode"],
                condition=Q(is_active=True),
                name="destination_active_once",
            ),
            models.CheckConstraint(
                condition=Q(kind="stripe") | Q(kind="bank", sealed__isnull=False),
                name="destination_kind_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.label}"

    @property
    def public_id(self) -> str:
        return ids.encode("dest", self.id)


class Clearing(models.Model):
    """One move between a team's pending and cleared earnings: forward what is old enough, or back
    what refunds took and pending earnings no longer cover.

    upto: the last entry that was old enough. nanos may be 0: all that is pending is too young.
    """

    pk = models.CompositePrimaryKey("account_id", "number")
    account_id = models.UUIDField(help_text="of the kind earnings_pending")
    number = models.IntegerField()
    upto = models.BigIntegerField()
    nanos = models.BigIntegerField()
    terms = models.ForeignKey(PayoutTerms, on_delete=models.PROTECT, related_name="+")
    transaction_id = models.UUIDField(null=True, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "billing_clearing"
        indexes = [models.Index(fields=["account_id", "created_at"], name="clearing_recent")]

    def __str__(self) -> str:
        return f"clearing {self.number} of {ids.encode('wal', self.account_id)}"


class BankBatch(models.Model):
    """Bank withdrawals that were exported together, to be paid by the operator's bank."""

    id = models.UUIDField(primary_key=True, editable=False)
    livemode = models.BooleanField()
    currency = models.CharField(max_length=3)
    actor = models.CharField(max_length=100)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "billing_bank_batch"
        verbose_name_plural = "bank batches"

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.encode("batch", self.id)


class Withdrawal(models.Model):
    """Earnings that a team takes out. Each state is reached at most once.

    requested → approved → sent → paid; failed from any of them, also when a bank sends back what
    was paid; cancelled before it is sent. Failed and cancelled give the money back.
    `amount` leaves the earnings: `net` reaches the destination, `fee` is the platform's.
    """

    class State(models.TextChoices):
        REQUESTED = "requested", "requested: waits for a second person"
        APPROVED = "approved", "approved: waits for its time"
        SENT = "sent", "sent: on its way"
        PAID = "paid", "paid"
        FAILED = "failed", "failed: the money is back"
        CANCELLED = "cancelled", "cancelled: the money is back"

    id = models.UUIDField(primary_key=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="withdrawals")
    destination = models.ForeignKey(
        Destination, on_delete=models.PROTECT, related_name="withdrawals"
    )
    batch = models.ForeignKey(
        BankBatch, on_delete=models.PROTECT, null=True, related_name="withdrawals"
    )
    livemode = models.BooleanField()
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField()
    fee = models.BigIntegerField()
    net = models.BigIntegerField()
    reserve = models.BigIntegerField(help_text="what had to stay when it was requested")
    state = models.CharField(max_length=9, choices=State)
    key = models.CharField(max_length=255, null=True, help_text="Idempotency-Key, good for ever")
    fingerprint = models.BinaryField(max_length=32, null=True)
    requested_by = models.CharField(max_length=100)
    approved_by = models.CharField(max_length=100, blank=True, help_text="empty: none was needed")
    ended_by = models.CharField(max_length=100, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    facts = models.JSONField(default=dict, help_text="ids at the payer's side")
    tries = models.PositiveSmallIntegerField(default=0)
    pay_after = models.DateTimeField(help_text="a new destination delays")
    next_at = models.DateTimeField(null=True, help_text="when it is looked at next")
    transaction_id = models.UUIDField(unique=True, help_text="out of the earnings")
    paid_transaction_id = models.UUIDField(null=True, unique=True)
    back_transaction_id = models.UUIDField(null=True, unique=True)
    requested_at = models.DateTimeField()
    approved_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    paid_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "billing_withdrawal"
        indexes = [
            models.Index(fields=["team", "livemode", "-id"], name="withdrawal_of_team"),
            models.Index(
                fields=["next_at"], condition=Q(next_at__isnull=False), name="withdrawal_due"
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["team", "livemode", "key"], name="withdrawal_once"),
            models.CheckConstraint(
                condition=Q(net__gt=0, fee__gte=0, reserve__gte=0, amount=F("net") + F("fee")),
                name="withdrawal_amounts",
            ),
            models.CheckConstraint(
                condition=Q(state="requested", approved_at=None, sent_at=None, paid_at=None)
                & Q(failed_at=None, cancelled_at=None)
                | Q(state="approved", approved_at__isnull=False, sent_at=None, paid_at=None)
                & Q(failed_at=None, cancelled_at=None)
                | Q(state="sent", approved_at__isnull=False, sent_at__isnull=False, paid_at=None)
                & Q(failed_at=None, cancelled_at=None)
                | Q(state="paid", sent_at__isnull=False, paid_at__isnull=False)
                & Q(failed_at=None, cancelled_at=None, paid_transaction_id__isnull=False)
                | Q(state="failed", failed_at__isnull=False, cancelled_at=None)
                & Q(back_transaction_id__isnull=False)
                | Q(state="cancelled", cancelled_at__isnull=False, sent_at=None)
                & Q(failed_at=None, back_transaction_id__isnull=False),
                name="withdrawal_state",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.encode("wd", self.id)
