"""What stands between Stripe and the ledger: accounts, customers, orders, the inbox, reversals.

Amounts that wallets get are nanos; amounts that Stripe takes are minor units (`amounts.py`).
These rows say what should happen and what has; money itself is in the ledger, unique by scope
and reference, so that a row that is handled twice moves it once.
"""

from django.db import models
from django.db.models import Q

from billing.stripe.catalog import Pack, Plan
from billing.stripe.refill_models import RefillAgreement
from config.kit import clock, ids
from paywalls.models import EndUser, Paywall


class StripeAccount(models.Model):
    """A Stripe key that a developer saved, and the webhook that we made with it.

    At most one is active a paywall. One that was replaced keeps its webhook, because refunds and
    disputes of its payments still arrive.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="stripe_accounts")
    livemode = models.BooleanField()
    sealed_key = models.BinaryField(editable=False)
    key_prefix = models.CharField(max_length=8, help_text="rk_live, rk_test, sk_live, sk_test")
    key_last_four = models.CharField(max_length=4)
    path = models.CharField(max_length=43, unique=True, help_text="unguessable end of the webhook")
    endpoint_id = models.CharField(max_length=255, blank=True, help_text="we_…; empty: none yet")
    sealed_secret = models.BinaryField(null=True, editable=False)
    sealed_previous_secret = models.BinaryField(null=True, editable=False)
    previous_secret_until = models.DateTimeField(null=True, blank=True)
    checks = models.JSONField(default=list, blank=True, help_text="[{name, ok, message}] by doctor")
    checked_at = models.DateTimeField(null=True, blank=True)
    heard_at = models.DateTimeField(null=True, blank=True, help_text="last verified event")
    trouble = models.CharField(max_length=200, blank=True, help_text="empty: payments work")
    stopped_at = models.DateTimeField(
        null=True, blank=True, help_text="since when nobody can pay; empty: people can"
    )
    told_at = models.DateTimeField(
        null=True, blank=True, help_text="when the owners were told of the trouble"
    )
    reconciled_at = models.DateTimeField(null=True, blank=True)
    paced_until = models.DateTimeField(default=clock.now, help_text="calls are spread: pace.py")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        db_table = "billing_stripe_account"
        constraints = [
            models.UniqueConstraint(
                fields=["paywall"], condition=Q(is_active=True), name="stripe_account_active_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key_prefix}_…{self.key_last_four} of {self.paywall}"

    @property
    def public_id(self) -> str:
        return ids.encode("sta", self.id)


class Customer(models.Model):
    """An end user at Stripe, and the card that they saved there."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="customers")
    user = models.ForeignKey(EndUser, on_delete=models.PROTECT, related_name="customers")
    customer_id = models.CharField(max_length=255, help_text="cus_…")
    payment_method_id = models.CharField(max_length=255, blank=True, help_text="pm_…: saved card")
    card_brand = models.CharField(max_length=32, blank=True, help_text="visa, …")
    card_last_four = models.CharField(max_length=4, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        db_table = "billing_stripe_customer"
        constraints = [
            models.UniqueConstraint(fields=["account", "user"], name="customer_of_user_once"),
            models.UniqueConstraint(fields=["account", "customer_id"], name="customer_once"),
        ]

    def __str__(self) -> str:
        return self.customer_id


class Order(models.Model):
    """One thing that somebody means to pay; made before Stripe hears of it.

    `fulfil` moves it, and only from what Stripe says of its session or payment:
    open → pending (delayed payment) → paid; or expired, failed, canceled, quarantined. A late
    payment still makes an expired one paid.
    """

    class Kind(models.TextChoices):
        TOPUP = "topup", "any amount"
        PACK = "pack", "a pack"
        PLAN = "plan", "a plan's first cycle"
        REFILL = "refill", "automatic top-up with the saved card"

    class Status(models.TextChoices):
        OPEN = "open", "open"
        PENDING = "pending", "pending: the bank has not confirmed yet"
        PAID = "paid", "paid"
        EXPIRED = "expired", "expired"
        FAILED = "failed", "failed"
        CANCELED = "canceled", "canceled"
        QUARANTINED = "quarantined", "quarantined: differs from what was ordered"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    paywall = models.ForeignKey(Paywall, on_delete=models.PROTECT, related_name="orders")
    user = models.ForeignKey(EndUser, on_delete=models.PROTECT, related_name="orders")
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="orders")
    livemode = models.BooleanField()
    kind = models.CharField(max_length=8, choices=Kind)
    pack = models.ForeignKey(Pack, null=True, on_delete=models.PROTECT, related_name="+")
    plan = models.ForeignKey(Plan, null=True, on_delete=models.PROTECT, related_name="+")
    agreement = models.ForeignKey(
        RefillAgreement, null=True, on_delete=models.PROTECT, related_name="orders"
    )
    saves_card = models.BooleanField(default=False, help_text="for automatic top-ups")
    price_minor = models.BigIntegerField(help_text="what Stripe is asked to take, before tax")
    currency = models.CharField(max_length=3, help_text="upper case")
    credit_nanos = models.BigIntegerField()
    bonus_nanos = models.BigIntegerField(default=0)
    status = models.CharField(max_length=12, choices=Status, default=Status.OPEN)
    reason = models.CharField(max_length=300, blank=True, help_text="why it is not paid")
    attempt = models.PositiveSmallIntegerField(
        default=0, help_text="suffix of the idempotency key: raised after a stored failure"
    )
    session_id = models.CharField(max_length=255, null=True, unique=True, help_text="cs_…")
    session_url = models.TextField(blank=True)
    session_expires_at = models.DateTimeField(null=True)
    payment_intent_id = models.CharField(max_length=255, blank=True, db_index=True)
    invoice_id = models.CharField(max_length=255, blank=True)
    paid_minor = models.BigIntegerField(null=True, help_text="what was taken, with tax and coupons")
    warned_at = models.DateTimeField(null=True, help_text="the bank suspects fraud")
    receipt_url = models.TextField(blank=True, help_text="Stripe's own receipt")
    success_url = models.TextField(blank=True, help_text="the app's, on a registered origin")
    cancel_url = models.TextField(blank=True)
    transaction_id = models.UUIDField(null=True, unique=True, help_text="of the ledger")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    paid_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "billing_order"
        indexes = [
            models.Index(fields=["paywall", "id"], name="order_of_paywall"),
            models.Index(fields=["user", "id"], name="order_of_user"),
            models.Index(
                fields=["account", "id"],
                condition=Q(status__in=["open", "pending"]),
                name="order_unfinished",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "user", "kind", "price_minor", "pack", "plan", "saves_card"],
                condition=Q(status="open", kind__in=["topup", "pack", "plan"]),
                nulls_distinct=False,
                name="order_open_once",
            ),
            models.UniqueConstraint(
                fields=["user"],
                condition=Q(kind="refill", status__in=["open", "pending"]),
                name="refill_open_once",
            ),
            models.CheckConstraint(
                condition=Q(price_minor__gte=0, credit_nanos__gte=0, bonus_nanos__gte=0),
                name="order_amounts",
            ),
            models.CheckConstraint(
                condition=~Q(status="paid") | Q(paid_at__isnull=False), name="order_paid_when"
            ),
            models.UniqueConstraint(
                fields=["paywall", "invoice_id"],
                condition=Q(kind="plan", session_id=None),
                name="order_cycle_once",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.encode("ord", self.id)

    @property
    def payee(self) -> str:
        """Who is paid, as sessions and payments say it."""
        return ids.encode("pw", self.paywall_id)


class PlanSubscription(models.Model):
    """A user's subscription at Stripe, as Stripe last said."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(
        StripeAccount, on_delete=models.PROTECT, related_name="subscriptions"
    )
    user = models.ForeignKey(EndUser, on_delete=models.PROTECT, related_name="plan_subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    subscription_id = models.CharField(max_length=255, unique=True, help_text="sub_… of Stripe")
    status = models.CharField(max_length=24, help_text="Stripe's word: active, past_due, …")
    current_period_start = models.DateTimeField(null=True)
    current_period_end = models.DateTimeField(null=True)
    cancel_at_period_end = models.BooleanField(default=False)
    ended_at = models.DateTimeField(null=True, help_text="when it was over, not its last cycle")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "billing_plan_subscription"

    def __str__(self) -> str:
        return self.subscription_id


class Drip(models.Model):
    """A paid cycle whose credit comes month by month: how far it is. `order` is the cycle's own,
    for the credit of all months.
    """

    order = models.OneToOneField(
        Order, primary_key=True, on_delete=models.PROTECT, related_name="drip"
    )
    subscription = models.ForeignKey(
        PlanSubscription, on_delete=models.PROTECT, related_name="drips"
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    until = models.DateTimeField(help_text="no month begins then or later: earlier if it is ended")
    month_nanos = models.BigIntegerField()
    months = models.PositiveSmallIntegerField()
    resets = models.BooleanField(help_text="what is left ends with the month")
    given = models.PositiveSmallIntegerField(default=0, help_text="months so far")
    given_nanos = models.BigIntegerField(default=0)
    next_at = models.DateTimeField(null=True, help_text="when to look again; empty: it rests")

    class Meta:
        db_table = "billing_drip"
        indexes = [
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="drip_due"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    month_nanos__gt=0,
                    given__lte=models.F("months"),
                    given_nanos__lte=models.F("month_nanos") * models.F("months"),
                ),
                name="drip_amounts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.given} of {self.months} months of {self.order_id}"


class InboxEvent(models.Model):
    """An event of Stripe's, stored once, before anything is done about it."""

    class State(models.TextChoices):
        RECEIVED = "received", "received"
        DONE = "done", "done"
        IGNORED = "ignored", "ignored: nothing to do for it"
        QUARANTINED = "quarantined", "quarantined: somebody must look"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="events")
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=100)
    object_id = models.CharField(max_length=255, blank=True)
    payload = models.JSONField(help_text="as verified; facts are fetched again before money moves")
    state = models.CharField(max_length=12, choices=State, default=State.RECEIVED)
    reason = models.CharField(max_length=300, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=clock.now)
    received_at = models.DateTimeField(default=clock.now, editable=False)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "billing_stripe_event"
        constraints = [
            models.UniqueConstraint(fields=["account", "event_id"], name="stripe_event_once"),
        ]
        indexes = [
            models.Index(
                fields=["next_at"], condition=Q(state="received"), name="stripe_event_due"
            ),
            models.Index(fields=["account", "id"], name="stripe_event_of_account"),
            models.Index(
                fields=["id"], condition=Q(state="quarantined"), name="stripe_event_quarantined"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class Reversal(models.Model):
    """Money that Stripe gave back or took back: a refund or a dispute, keyed by its own id.

    `booked_nanos` is what the ledger has taken from the wallet for it so far; it follows
    `amount_minor` while the reversal stands and goes back to 0 when it fails or is won. One whose
    payment is not known yet waits (`order` null) and is taken up when the payment is.
    """

    class Kind(models.TextChoices):
        REFUND = "refund", "refund"
        DISPUTE = "dispute", "dispute"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="reversals")
    order = models.ForeignKey(Order, null=True, on_delete=models.PROTECT, related_name="reversals")
    kind = models.CharField(max_length=8, choices=Kind)
    object_id = models.CharField(max_length=255, help_text="re_… or du_…/dp_…")
    payment_intent_id = models.CharField(max_length=255, db_index=True)
    status = models.CharField(max_length=32, help_text="Stripe's word")
    amount_minor = models.BigIntegerField()
    booked_nanos = models.BigIntegerField(default=0)
    booked_bonus_nanos = models.BigIntegerField(default=0, help_text="of these: a pack's bonus")
    steps = models.PositiveSmallIntegerField(
        default=0, help_text="bookings so far: the ledger's ref"
    )
    requested_by = models.CharField(max_length=100, blank=True, help_text="if it was ours")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "billing_reversal"
        constraints = [
            models.UniqueConstraint(fields=["account", "object_id"], name="reversal_once"),
            models.CheckConstraint(
                condition=Q(amount_minor__gte=0, booked_nanos__gte=0), name="reversal_amounts"
            ),
        ]

    def __str__(self) -> str:
        return self.object_id
