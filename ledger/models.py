"""What the ledger's tables are: the read side. SQL functions in `ledger/sql` are the only writers.

Amounts are whole nanos. Owners, actors and references are opaque; free text stands in Note, the
only row here that may be erased.
"""

from django.db import models

from config.kit import ids
from config.kit.fields import SumField
from config.kit.money import format_nanos


class Account(models.Model):
    """Where money can be. An account with a floor is locked by what moves it and knows its balance;
    one without (revenue, clearing) is never touched: its balance is the roll-up plus the tail.
    """

    class Kind(models.TextChoices):
        WALLET = "wallet", "what an end user can spend"
        RECEIVABLE = "receivable", "what a wallet owes"
        TRIAL = "trial", "given away as trials"
        PROMO = "promo", "given away as bonuses"
        REVENUE = "revenue", "the developer's, Default mode"
        EARNINGS_PENDING = "earnings_pending", "the developer's, not yet cleared"
        EARNINGS = "earnings", "the developer's, cleared"
        PLATFORM_FEE = "platform_fee", "the operator's"
        PROVIDER_COST = "provider_cost", "owed to providers"
        PROCESSOR = "processor", "payment processor clearing"
        EXTERNAL = "external", "paid outside"
        BREAKAGE = "breakage", "expired"
        WITHDRAWAL = "withdrawal", "paid out"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    kind = models.CharField(max_length=16, choices=Kind)
    owner = models.UUIDField(help_text="end user, paywall or developer: opaque here")
    currency = models.CharField(max_length=3)
    livemode = models.BooleanField()
    posted = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    owed = models.BigIntegerField(default=0, help_text="open receivable of a wallet")
    floor = models.BigIntegerField(null=True, help_text="null: not locked, balance rolled up")
    version = models.BigIntegerField(default=0, help_text="entries so far")
    has_lots = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "owner", "currency", "livemode"], name="account_once"
            ),
            models.CheckConstraint(
                condition=models.Q(floor__isnull=True)
                | models.Q(posted__gte=models.F("floor") + models.F("held")),
                name="account_above_floor",
            ),
            models.CheckConstraint(
                condition=models.Q(held__gte=0) & models.Q(owed__gte=0),
                name="account_held_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {ids.encode('wal', self.id)}"


class Transaction(models.Model):
    """A balanced movement of money. (scope, ref) is unique for ever: idempotency."""

    class Kind(models.TextChoices):
        TOPUP = "topup"
        DEPOSIT = "deposit"
        TRIAL = "trial"
        BONUS = "bonus"
        CHARGE = "charge"
        REFUND = "refund"
        ADJUSTMENT = "adjustment"
        REVERSAL = "reversal"
        EXPIRY = "expiry"
        COLLECTION = "collection", "a receivable paid from the wallet"
        EARNING = "earning", "earnings that cleared, or were taken back"
        WITHDRAWAL = "withdrawal", "earnings on their way out, or back"

    id = models.UUIDField(primary_key=True, editable=False)
    kind = models.CharField(max_length=16, choices=Kind)
    scope = models.CharField(max_length=64)
    ref = models.CharField(max_length=128)
    fingerprint = models.BinaryField(max_length=32, null=True)
    request_id = models.UUIDField(null=True)
    actor = models.CharField(max_length=64, blank=True, help_text="an opaque id")
    reverses = models.ForeignKey("self", on_delete=models.PROTECT, null=True, db_index=False)
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "ref"], name="transaction_once")]
        indexes = [
            models.Index(
                fields=["reverses"],
                name="transaction_reversal",
                condition=models.Q(reverses__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {ids.encode('txn', self.id)}"


class Entry(models.Model):
    """One side of a transaction. Balance and version only on accounts with a floor.

    Without foreign keys: their checks would lock the shared revenue row; the functions are the only
    writers, and `ledger_verify` looks for orphans.
    """

    id = models.BigAutoField(primary_key=True)
    transaction = models.ForeignKey(
        Transaction, on_delete=models.PROTECT, related_name="entries", db_constraint=False
    )
    account = models.ForeignKey(
        Account,
        on_delete=models.PROTECT,
        related_name="entries",
        db_index=False,
        db_constraint=False,
    )
    amount = models.BigIntegerField()
    balance_after = models.BigIntegerField(null=True)
    account_version = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "entries"
        indexes = [models.Index(fields=["account", "id"], name="entry_of_account")]
        constraints = [
            models.CheckConstraint(condition=~models.Q(amount=0), name="entry_not_zero"),
            models.CheckConstraint(
                condition=models.Q(amount__gte=-(10**18)) & models.Q(amount__lte=10**18),
                name="entry_magnitude",
            ),
        ]

    def __str__(self) -> str:
        return f"{format_nanos(self.amount)} on {ids.encode('wal', self.account_id)}"


class Note(models.Model):
    """Words about a transaction: reason and metadata. May be erased; nothing depends on it."""

    transaction = models.OneToOneField(
        Transaction, on_delete=models.PROTECT, primary_key=True, related_name="note"
    )
    reason = models.TextField(blank=True)
    metadata = models.JSONField(null=True)

    def __str__(self) -> str:
        return self.reason


class Lot(models.Model):
    """A part of a wallet with its own rules: spent before the rest, and it may expire.

    Order of spending: priority, then expiry (none last), then id.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="lots")
    transaction = models.ForeignKey(Transaction, on_delete=models.PROTECT)
    kind = models.CharField(max_length=16, help_text="trial, bonus or deposit")
    priority = models.SmallIntegerField()
    amount = models.BigIntegerField()
    remaining = models.BigIntegerField()
    held = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField(null=True)
    expires_to = models.UUIDField(help_text="the breakage account")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(held__gte=0)
                & models.Q(remaining__gte=models.F("held"))
                & models.Q(amount__gte=models.F("remaining")),
                name="lot_within_amount",
            )
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                name="lot_expiring",
                condition=models.Q(remaining__gt=0, expires_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} lot {ids.encode('lot', self.id)}"


class Hold(models.Model):
    """Money set aside for a running request. Reserved, then one of three ends, reached once.

    id is the request's. facts and progress are opaque here: billing's reaper reads them.
    counters: what was counted where, to give it back. lots: [lot id, nanos] in spending order.
    """

    class State(models.IntegerChoices):
        RESERVED = 0
        SETTLED = 1
        RELEASED = 2

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(
        Account,
        on_delete=models.PROTECT,
        related_name="holds",
        db_index=False,
        db_constraint=False,
    )
    amount = models.BigIntegerField()
    state = models.SmallIntegerField(choices=State, default=State.RESERVED)
    settled = models.BigIntegerField(null=True)
    transaction = models.ForeignKey(
        Transaction, on_delete=models.PROTECT, null=True, db_constraint=False, db_index=False
    )
    process = models.UUIDField(null=True, help_text="whose heartbeat renews the lease")
    lots = models.JSONField(null=True)
    counters = models.JSONField(null=True)
    facts = models.JSONField(null=True)
    progress = models.JSONField(null=True)
    lease_until = models.DateTimeField()
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(amount__gte=0)
                & (models.Q(settled__isnull=True) | models.Q(settled__lte=models.F("amount"))),
                name="hold_amount",
            ),
            models.CheckConstraint(
                condition=models.Q(state=0, resolved_at__isnull=True, settled__isnull=True)
                | models.Q(state=1, resolved_at__isnull=False, settled__gt=0)
                | models.Q(state=2, resolved_at__isnull=False, settled__isnull=True),
                name="hold_state",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], name="open_hold", condition=models.Q(state=0)),
        ]

    def __str__(self) -> str:
        return f"{self.get_state_display()} {ids.encode('req', self.id)}"


class Counter(models.Model):
    """Counts for one subject (user, key, paywall, grant) where a limit is configured.

    Days and months are the paywall's calendar periods; minutes are GCRA (`tat`: the theoretical
    arrival time). Spending counts holds at their full amount until they settle.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    open = models.IntegerField(default=0)
    tat = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    day_requests = models.BigIntegerField(default=0)
    day_spent = models.BigIntegerField(default=0)
    month = models.DateField(null=True)
    month_spent = models.BigIntegerField(default=0)
    week = models.DateField(null=True, help_text="its Monday")
    week_spent = models.BigIntegerField(db_default=0)
    total_spent = models.BigIntegerField(db_default=0)

    def __str__(self) -> str:
        return str(self.id)


class Rollup(models.Model):
    """The balance of an account without a floor, up to the watermark; the tail is summed."""

    account = models.OneToOneField(Account, on_delete=models.PROTECT, primary_key=True)
    posted = SumField()

    def __str__(self) -> str:
        return f"{self.account}: {self.posted}"


class Sweep(models.Model):
    """One row: the reaper's last run and grace after an outage; the roll-up's watermark."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    last_at = models.DateTimeField(null=True)
    grace_until = models.DateTimeField(null=True)
    rolled_upto = models.BigIntegerField(default=0, help_text="the last entry that is rolled up")

    def __str__(self) -> str:
        return f"last sweep {self.last_at}"


class Verification(models.Model):
    """One run of the invariants: over everything, or up to a watermark over what was new."""

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    ok = models.BooleanField()
    results = models.JSONField(help_text="[invariant, rows that break it, example]")
    upto = models.BigIntegerField(null=True, help_text="the last entry; null: everything")
    ids_upto = models.UUIDField(null=True, help_text="the same for requests and holds")

    def __str__(self) -> str:
        return f"{'clean' if self.ok else 'BROKEN'} {self.started_at:%Y-%m-%d %H:%M}"


class Checkpoint(models.Model):
    """A link of the chain over the journal; see `ledger/chain.py`."""

    number = models.BigIntegerField(primary_key=True)
    upto = models.BigIntegerField(help_text="the last entry that it covers")
    body = models.TextField(help_text="counts, sums and digest, byte by byte as they were hashed")
    hash = models.BinaryField(max_length=32, help_text="of the hash before and the body")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.number}:{bytes(self.hash).hex()}"
