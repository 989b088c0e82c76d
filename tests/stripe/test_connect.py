"""A key is saved, examined, rotated and taken away; its webhook is there exactly once."""

import threading
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from billing.stripe import checkout, client, connect, endpoint
from billing.stripe.errors import StripeBusyError, StripeFailedError, StripeKeyError
from billing.stripe.handlers import EVENT_TYPES
from billing.stripe.models import StripeAccount
from billing.webhooks import subscriptions
from billing.webhooks.envelope import event_of
from billing.webhooks.logs import page
from config.kit import clock
from config.kit.errors import InvalidRequestError
from paywalls.models import Change, Paywall
from tests.factories import ACTOR, MembershipFactory, PaywallFactory
from tests.fakes.stripe.keys import PERMISSIONS, seeded
from tests.fakes.stripe.server import Running
from tests.stripe.till import Till

LIVE = seeded("rk", "live")


@pytest.fixture
def paywall(fake: Running, settings: Any) -> Paywall:
    settings.STRIPE_API_BASE = fake.url
    return PaywallFactory.create()


def endpoints(fake: Running, key: str = LIVE) -> list[Any]:
    return list(fake.client(key).v1.webhook_endpoints.list().data)


def red(account: StripeAccount) -> set[str]:
    return {each.name for each in connect.findings(account) if not each.ok}


def another_key(fake: Running, *permissions: str, **given: Any) -> str:
    """Of the default account, in live mode."""
    key = f"rk_live_51Another{clock.now().timestamp():.6f}".replace(".", "")
    if permissions:
        given["permissions"] = list(permissions)
    fake.test("keys", key=key, **given)
    return key


class TestConnect:
    def test_a_key_and_nothing_else(self, fake: Running, paywall: Paywall):
        account = connect.connect(paywall, f" {LIVE}\n", actor=ACTOR)
        (made,) = endpoints(fake)
        assert made.id == account.endpoint_id
        assert made.url.endswith(f"/webhooks/stripe/{account.path}")
        assert len(account.path) >= 43
        assert set(made.enabled_events) == set(EVENT_TYPES)
        assert made.api_version == client.API_VERSION
        assert (account.trouble, account.livemode, red(account)) == ("", True, {"Test event"})
        assert LIVE.encode() not in bytes(account.sealed_key)
        assert client.open_key(account) == LIVE

    @pytest.mark.parametrize("key", ["", "rk_live_", "pk_live_" + "x" * 30, "rk_live_ä" + "x" * 30])
    def test_what_is_no_key(self, paywall: Paywall, key: str):
        with pytest.raises(InvalidRequestError):
            connect.connect(paywall, key, actor=ACTOR)
        assert not StripeAccount.objects.filter(paywall=paywall).exists()

    def test_a_key_that_stripe_refuses_is_not_saved(self, fake: Running, paywall: Paywall):
        with pytest.raises(StripeKeyError):
            connect.connect(paywall, "rk_live_" + "x" * 30, actor=ACTOR)
        assert not StripeAccount.objects.filter(paywall=paywall).exists()
        assert endpoints(fake) == []

    @pytest.mark.parametrize(
        ("permission", "name"),
        [
            ("checkout_session_write", "Checkout Sessions: write"),
            ("customer_write", "Customers: write"),
            ("webhook_write", "Webhook Endpoints: write"),
            ("payment_intent_write", "PaymentIntents: write"),
            ("charge_write", "Charges and Refunds: write"),
            ("dispute_write", "Disputes: read"),
            ("event_read", "Events: read"),
            ("plan_write", "Prices: read"),
            ("invoice_write", "Invoices: read"),
            ("subscription_write", "Subscriptions: write"),
            ("customer_portal_write", "Customer portal: write"),
        ],
    )
    def test_a_permission_that_is_missing_is_named(self, fake, paywall, permission, name):
        key = another_key(fake, *(set(PERMISSIONS) - {permission}))
        account = connect.connect(paywall, key, actor=ACTOR)
        assert red(account) - {"Test event"} == {name}
        assert name in account.trouble
        (found,) = [each for each in connect.findings(account) if each.name == name]
        # Stripe's own name, which for what is only read ends otherwise.
        assert permission.rpartition("_")[0] in found.message
        fake.test("keys", key=key)
        again = connect.check(account)
        assert (again.trouble, len(endpoints(fake))) == ("", 1)

    def test_a_key_that_may_do_everything_is_warned_of(self, fake: Running, paywall: Paywall):
        account = connect.connect(paywall, seeded("sk", "live"), actor=ACTOR)
        assert "Restricted key" in red(account)
        assert account.trouble == ""
        assert connect.check(account).trouble == ""

    def test_the_mode_is_the_keys(self, fake: Running, paywall: Paywall):
        test = connect.connect(paywall, seeded("rk", "test"), actor=ACTOR)
        assert (test.livemode, Paywall.objects.get(pk=paywall.pk).livemode) == (False, False)
        live = connect.connect(paywall, LIVE, actor=ACTOR)
        assert (live.livemode, Paywall.objects.get(pk=paywall.pk).livemode) == (True, True)
        back = connect.connect(paywall, seeded("rk", "test"), actor=ACTOR)
        assert back.pk == test.pk
        assert StripeAccount.objects.get(paywall=paywall, is_active=True).pk == test.pk

    def test_another_stripe_account_replaces_and_the_old_one_is_followed(self, fake, paywall):
        old = connect.connect(paywall, LIVE, actor=ACTOR)
        new = connect.connect(paywall, another_key(fake, account="acct_2"), actor=ACTOR)
        old.refresh_from_db()
        assert (new.pk == old.pk, new.is_active, old.is_active) == (False, True, False)
        assert len(endpoints(fake)) == 1


@pytest.mark.proves("F61")
class TestOneWebhook:
    def test_connecting_twice(self, fake: Running, paywall: Paywall):
        first = connect.connect(paywall, LIVE, actor=ACTOR)
        second = connect.connect(paywall, another_key(fake), actor=ACTOR)
        assert (first.pk, first.endpoint_id) == (second.pk, second.endpoint_id)
        assert len(endpoints(fake)) == 1

    @pytest.mark.parametrize("kind", ["timeout_after", "500_after", "429"])
    def test_stripe_fails_while_it_is_made(self, fake, paywall, kind, monkeypatch):
        monkeypatch.setattr(client, "CALL_S", 1)
        fake.test("faults", kind=kind, path="/v1/webhook_endpoints", method="POST", times=9)
        account = connect.connect(paywall, LIVE, actor=ACTOR)
        assert "Webhook" in red(account)
        fake.test("faults", method="DELETE")
        monkeypatch.undo()
        account = connect.check(account)
        assert [each.id for each in endpoints(fake)] == [account.endpoint_id]
        assert red(account) == {"Test event"}

    def test_a_crash_before_it_is_saved(self, fake: Running, paywall: Paywall):
        account = connect.connect(paywall, LIVE, actor=ACTOR)
        secrets = endpoint.signing_secrets(account)
        StripeAccount.objects.filter(pk=account.pk).update(endpoint_id="", sealed_secret=None)
        account = connect.check(account)
        assert [each.id for each in endpoints(fake)] == [account.endpoint_id]
        assert endpoint.signing_secrets(account) == secrets

    def test_a_crash_long_ago_leaves_no_orphan(self, fake: Running, paywall: Paywall):
        account = connect.connect(paywall, LIVE, actor=ACTOR)
        orphan = fake.client(LIVE).v1.webhook_endpoints.create(
            {
                "url": endpoint.url_of(account),
                "enabled_events": ["*"],
                "metadata": {endpoint.OWNER: account.public_id},
            }
        )
        connect.check(account)
        assert len(endpoints(fake)) == 2  # Somebody may be about to save it.
        fake.test("objects", orphan.id, created=orphan.created - endpoint.UNSAVED_S - 1)
        connect.check(account)
        assert [each.id for each in endpoints(fake)] == [account.endpoint_id]

    def test_two_at_once(self, fake: Running, paywall: Paywall):
        account = connect.connect(paywall, LIVE, actor=ACTOR)
        fake.client(LIVE).v1.webhook_endpoints.delete(account.endpoint_id)
        start = threading.Barrier(2)

        def work() -> None:
            mine = StripeAccount.objects.select_related("paywall").get(pk=account.pk)
            start.wait()
            endpoint.ensure(mine)
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        account.refresh_from_db()
        assert [each.id for each in endpoints(fake)] == [account.endpoint_id]

    @pytest.mark.parametrize("broken", [{"status": "disabled"}, {"url": "https://old.test/x"}])
    def test_one_that_no_longer_fits_is_made_anew(self, fake, paywall, broken):
        account = connect.connect(paywall, LIVE, actor=ACTOR)
        old = account.endpoint_id
        fake.test("objects", old, **broken)
        account = connect.check(account)
        assert account.endpoint_id != old
        assert [each.id for each in endpoints(fake)] == [account.endpoint_id]

    def test_it_hears_of_types_that_are_new(self, fake: Running, paywall: Paywall):
        account = connect.connect(paywall, LIVE, actor=ACTOR)
        fake.test("objects", account.endpoint_id, enabled_events=["charge.refunded"])
        connect.check(account)
        (made,) = endpoints(fake)
        assert set(made.enabled_events) == set(EVENT_TYPES)

    def test_others_are_let_be(self, fake: Running, paywall: Paywall):
        theirs = fake.client(LIVE).v1.webhook_endpoints.create(
            {"url": "https://shop.test/hook", "enabled_events": ["*"]}
        )
        connect.connect(paywall, LIVE, actor=ACTOR)
        assert theirs.id in {each.id for each in endpoints(fake)}


class TestRotation:
    def test_a_new_secret_while_the_old_one_still_counts(self, till: Till):
        (old_secret,) = endpoint.signing_secrets(till.account)
        old = till.account.endpoint_id
        connect.rotate_secret(till.account, actor=ACTOR)
        new, kept = endpoint.signing_secrets(till.account)
        assert kept == old_secret != new
        assert [each.id for each in endpoints(till.fake)] == [till.account.endpoint_id] != [old]
        assert till.paid().status == "paid"
        StripeAccount.objects.filter(pk=till.account.pk).update(previous_secret_until=clock.now())
        till.account.refresh_from_db()
        assert endpoint.signing_secrets(till.account) == [new]

    def test_a_new_key_keeps_the_webhook(self, till: Till):
        before, key = till.account.endpoint_id, another_key(till.fake)
        connect.rotate_key(till.account, key, actor=ACTOR)
        till.fake.test("keys", LIVE, "revoke")
        assert till.paid().status == "paid"
        assert till.account.endpoint_id == before

    def test_a_key_of_another_account_or_mode_is_refused(self, till: Till):
        for key in (another_key(till.fake, account="acct_2"), seeded("rk", "test")):
            with pytest.raises(InvalidRequestError):
                connect.rotate_key(till.account, key, actor=ACTOR)
        till.account.refresh_from_db()
        assert client.open_key(till.account) == LIVE


@pytest.mark.proves("F58")
class TestRevoked:
    def test_the_owner_sees_it_and_people_get_a_page(self, till: Till):
        till.fake.test("keys", LIVE, "revoke")
        assert connect.check_all() >= 1
        till.account.refresh_from_db()
        assert "Key" in till.account.trouble
        response = Client().get(till.page)
        assert response.status_code == 503
        with pytest.raises(StripeKeyError):
            checkout.click(till.user, till.draft())
        till.fake.test("keys", LIVE, "restore")
        assert connect.check(till.account).trouble == ""

    def test_a_busy_stripe_changes_no_verdict(self, till: Till):
        till.fake.test("faults", kind="429", times=99)
        with pytest.raises(StripeBusyError):
            connect.check(till.account)
        till.account.refresh_from_db()
        assert till.account.trouble == ""

    def test_a_saved_key_that_does_not_open(self, till: Till):
        StripeAccount.objects.filter(pk=till.account.pk).update(sealed_key=b"x" * 60)
        till.account.refresh_from_db()
        with pytest.raises(StripeFailedError):
            client.client_of(till.account)
        assert "Key" in connect.check(till.account).trouble
        assert Client().get(till.page).status_code == 503
        again = connect.connect(till.paywall, LIVE, actor=ACTOR)
        assert (again.pk, again.trouble) == (till.account.pk, "")


class TestTold:
    def test_of_connecting_rotating_and_disconnecting(self, fake: Running, paywall: Paywall):
        MembershipFactory.create(team=paywall.team)
        wanted = ["paywall.integration.*"]
        with transaction.atomic():
            draft = subscriptions.Draft(url="https://127.0.0.1:9/hook", events=wanted)
            subscriptions.create(paywall, draft, actor=ACTOR)
        account = connect.connect(paywall, LIVE, actor=ACTOR)
        connect.connect(paywall, LIVE, actor=ACTOR)
        connect.rotate_secret(account, actor=ACTOR)
        for _ in range(2):
            with transaction.atomic():
                connect.disconnect(account, actor=ACTOR)
        told: list[Any] = [event_of(row) for row in reversed(page(paywall.pk, limit=100))]
        named = {event["type"].removeprefix("paywall.integration."): event for event in told}
        assert len(told) == 3
        assert named["connected"]["data"]["integrationKey"] == "stripe"
        assert named["disconnected"]["data"]["disabledBy"] == ACTOR
        rotated = named["stripe.webhook.rotated"]["data"]
        assert rotated["webhookId"] == account.endpoint_id
        assert rotated["secretSuffix"] == endpoint.signing_secrets(account)[0][-4:]
        actions = set(Change.objects.filter(paywall=paywall).values_list("action", flat=True))
        assert {"stripe.connected", "stripe.key_rotated", "stripe.disconnected"} <= actions
        assert LIVE not in str(list(Change.objects.filter(paywall=paywall).values("after")))
