import datetime as dt

from django.apps import apps
from django.db import models

from billing.models import Answer
from billing.stripe import client, endpoint
from billing.stripe.models import StripeAccount
from billing.webhooks import subscriptions
from billing.webhooks.models import Subscription
from config.kit import clock, crypto, ids
from dashboard.management.commands.reseal import SEALED
from paywalls.models import Paywall
from providers import catalog
from tests.factories import ConnectionFactory, PaywallFactory, make_key
from tests.support.commands import run_json

NEW = b"n" * 32
SHORT_LIVED = (Answer, "sealed")
"""Gone within a day."""


def test_every_sealed_column_is_resealed():
    found = {
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, models.BinaryField) and field.name.startswith("sealed")
    }
    assert found - {SHORT_LIVED} == {(column.model, column.name) for column in SEALED}


def test_secrets_of_stripe_and_of_webhooks_open_without_the_old_key(settings):
    paywall = PaywallFactory.create()
    account, told = stripe_account(paywall), subscription(paywall)
    for column in (each for each in SEALED if each.model in (StripeAccount, Subscription)):
        row = account if column.model is StripeAccount else told
        secret = f"the {column.name} of somebody".encode()
        sealed = crypto.seal(secret, context=column.context(row), keys=settings.ENCRYPTION_KEYS)
        setattr(row, column.name, sealed)
        row.save(update_fields=[column.name])
    settings.ENCRYPTION_KEYS = (NEW, *settings.ENCRYPTION_KEYS)
    assert run_json("reseal")["resealed"] >= 5
    settings.ENCRYPTION_KEYS = (NEW,)
    account.refresh_from_db()
    told.refresh_from_db()
    assert client.open_key(account) == "the sealed_key of somebody"
    assert len(endpoint.signing_secrets(account)) == 2
    assert len(subscriptions.secrets_of(told)) == 2


def stripe_account(paywall: Paywall) -> StripeAccount:
    return StripeAccount.objects.create(
        paywall=paywall,
        livemode=True,
        sealed_key=b"",
        path=ids.uuid7().hex,
        previous_secret_until=clock.now() + dt.timedelta(hours=1),
    )


def subscription(paywall: Paywall) -> Subscription:
    return Subscription.objects.create(
        paywall=paywall,
        url="https://hooks.example.com",
        sealed_secret=b"",
        previous_until=clock.now() + dt.timedelta(hours=1),
    )


def sealed_by_hand(keys: tuple[bytes, ...]):
    """A connection to OpenAI whose key those keys sealed."""
    made = ConnectionFactory.create(paywall=PaywallFactory.create(), kind="openai")
    context = catalog.seal_context(made.paywall_id, "https://api.openai.com:443")
    made.base_url = "https://api.openai.com/v1"
    made.sealed_key = crypto.seal(b"sk-secret", context=context, keys=keys)
    made.save()
    return made


def test_what_it_has_sealed_opens_without_the_old_key(settings):
    made = sealed_by_hand(settings.ENCRYPTION_KEYS)
    settings.ENCRYPTION_KEYS = (NEW, *settings.ENCRYPTION_KEYS)
    assert run_json("reseal")["resealed"] >= 1
    assert run_json("reseal")["resealed"] == 0
    settings.ENCRYPTION_KEYS = (NEW,)
    made.refresh_from_db()
    assert catalog.unseal_key(made, "https://api.openai.com:443") == "sk-secret"


def test_a_key_that_nobody_can_open_is_told_and_left(settings, capsys):
    made = sealed_by_hand((b"?" * 32,))
    run_json("reseal")
    assert str(made) in capsys.readouterr().err
    before = bytes(made.sealed_key)
    made.refresh_from_db()
    assert bytes(made.sealed_key) == before
    made.delete()


def test_it_counts_the_keys_that_still_need_an_older_pepper(settings):
    before = run_json("reseal")["keys_with_older_peppers"]
    make_key(PaywallFactory.create())
    settings.KEY_PEPPERS = settings.KEY_PEPPERS | {9: NEW}
    assert run_json("reseal")["keys_with_older_peppers"] > before
