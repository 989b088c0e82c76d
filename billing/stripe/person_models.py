"""The operator's own account at Stripe, and what people pay to it for their wallets."""

from django.db import models
from django.db.models import Q

from billing.stripe.models import Order
from config.kit import clock, ids
from paywalls.models import Person


class PlatformStripe(models.Model):
    """A Stripe key of the operator's own, for what the platform itself pays: one for live money,
    one for test money. Two webhooks: for the platform's objects, and for connected accounts'.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    livemode = models.BooleanField(unique=True)
    sealed_key = models.BinaryField(editable=False)
    key_prefix = models.CharField(max_length=8)
    key_last_four = models.CharField(max_length=4)
    path = models.CharField(max_length=43, unique=True, help_text="unguessable end of the webhook")
    endpoint_id = models.CharField(max_length=255, blank=True, help_text="we_…; empty: none yet")
    sealed_secret = models.BinaryField(null=True, editable=False)
    connect_endpoint_id = models.CharField(max_length=255, blank=True)
    sealed_connect_secret = models.BinaryField(null=True, editable=False)
    heard_at = models.DateTimeField(null=True, help_text="last verified event")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        db_table = "billing_platform_stripe"
        verbose_name = "Stripe key of the platform"
        verbose_name_plural = "Stripe keys of the platform"

    def __str__(self) -> str:
        return f"{self.key_prefix}_…{self.key_last_four} of the platform"


class PersonOrder(models.Model):
    """A top-up that a person means to pay to the operator, for a wallet of their own.

    As `Order`, moved only by what Stripe says. `taken_nanos` is what refunds and disputes have
    taken from the wallet so far; `next_at` is when Stripe is asked again.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="orders")
    livemode = models.BooleanField()
    price_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3, help_text="upper case")
    credit_nanos = models.BigIntegerField()
    status = models.CharField(max_length=12, choices=Order.Status, default=Order.Status.OPEN.value)
    reason = models.CharField(max_length=300, blank=True, help_text="why it is not paid")
    attempt = models.PositiveSmallIntegerField(default=0)
    session_id = models.CharField(max_length=255, null=True, unique=True, help_text="cs_…")
    session_url = models.TextField(blank=True)
    payment_intent_id = models.CharField(max_length=255, blank=True, db_index=True)
    paid_minor = models.BigIntegerField(null=True)
    taken_nanos = models.BigIntegerField(default=0)
    steps = models.PositiveSmallIntegerField(default=0, help_text="bookings of what was taken")
    receipt_url = models.TextField(blank=True)
    transaction_id = models.UUIDField(null=True, unique=True, help_text="of the ledger")
    next_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    paid_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "billing_person_order"
        indexes = [
            models.Index(fields=["person", "-id"], name="person_order_newest"),
            models.Index(
                fields=["next_at"], condition=Q(next_at__isnull=False), name="person_order_due"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(price_minor__gt=0, credit_nanos__gt=0, taken_nanos__gte=0)
                & Q(taken_nanos__lte=models.F("credit_nanos")),
                name="person_order_amounts",
            ),
            models.CheckConstraint(
                condition=~Q(status="paid")
                | Q(paid_at__isnull=False, transaction_id__isnull=False, session_id__isnull=False),
                name="person_order_paid",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.encode("ord", self.id)

    @property
    def payee(self) -> str:
        """As of an `Order`: no paywall, the operator."""
        return "platform"
