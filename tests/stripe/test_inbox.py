"""What arrives as an event: believed only if Stripe signed it for this address just now."""

import json
import time
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from billing.stripe import client, connect, endpoint, inbox
from billing.stripe.handlers import EVENT_TYPES
from billing.stripe.models import InboxEvent, StripeAccount
from config.checks import stored_errors
from config.kit import clock, crypto
from tests.factories import ACTOR, DeveloperFactory
from tests.fakes.stripe.control_events import FORGERIES, forged
from tests.fakes.stripe.delivery import signature
from tests.fakes.stripe.keys import seeded
from tests.stripe.till import Till, open_till

EVENT: dict[str, Any] = {
    "id": "evt_one",
    "object": "event",
    "type": "charge.refunded",
    "created": 1_700_000_000,
    "livemode": True,
    "data": {"object": {"id": "ch_1", "object": "charge"}},
}


def post(till: Till, body: bytes, header: str, path: str = "") -> HttpResponse:
    url = f"/webhooks/stripe/{path or till.account.path}"
    headers = {"Stripe-Signature": header} if header else {}
    response: HttpResponse = Client().post(  # type: ignore[assignment]
        url, body, content_type="application/json", headers=headers
    )
    return response


def secret_of(till: Till) -> str:
    return endpoint.signing_secrets(till.account)[0]


def signed(till: Till, body: bytes) -> HttpResponse:
    return post(till, body, signature(body, secret_of(till)))


def send(till: Till, **changes: Any) -> HttpResponse:
    return signed(till, json.dumps({**EVENT, **changes}).encode())


def rows(till: Till) -> list[InboxEvent]:
    return list(InboxEvent.objects.filter(account=till.account).order_by("id"))


@pytest.mark.proves("F51", "T10")
class TestForged:
    @pytest.mark.parametrize("kind", FORGERIES)
    def test_is_refused_and_leaves_nothing(self, till: Till, kind: str):
        body = json.dumps(EVENT).encode()
        assert post(till, body, forged(kind, body, secret_of(till))).status_code == 400
        assert rows(till) == []
        till.account.refresh_from_db()
        assert till.account.heard_at is None

    @pytest.mark.parametrize(("age", "status"), [(290, 200), (310, 400), (-290, 200), (-310, 400)])
    def test_five_minutes_either_way(self, till: Till, age: int, status: int):
        body = json.dumps(EVENT).encode()
        header = signature(body, secret_of(till), int(time.time()) - age)
        assert post(till, body, header).status_code == status

    def test_another_endpoints_signature(self, till: Till):
        other = open_till(till.fake)
        body = json.dumps(EVENT).encode()
        header = signature(body, secret_of(other))
        assert post(till, body, header).status_code == 400
        assert post(till, body, header, path=other.account.path).status_code == 200
        assert (rows(till), len(rows(other))) == ([], 1)

    def test_a_test_modes_signature(self, till: Till):
        test = connect.connect(till.paywall, seeded("rk", "test"), actor=ACTOR)
        body = json.dumps({**EVENT, "livemode": False}).encode()
        header = signature(body, endpoint.signing_secrets(test)[0])
        assert post(till, body, header).status_code == 400

    @pytest.mark.parametrize("secret", ["", " " * 40, "short"])
    def test_with_a_secret_that_is_none(self, till: Till, settings, secret: str):
        context = f"stripe-webhook:{till.paywall.pk}:{till.account.pk}"
        sealed = crypto.seal(secret.encode(), context=context, keys=settings.ENCRYPTION_KEYS)
        StripeAccount.objects.filter(pk=till.account.pk).update(sealed_secret=sealed)
        body = json.dumps(EVENT).encode()
        assert post(till, body, signature(body, secret)).status_code == 400
        assert [said for said in stored_errors() if till.account.public_id in said]
        StripeAccount.objects.filter(pk=till.account.pk).update(sealed_secret=None)
        assert stored_errors() == []
        assert post(till, body, signature(body, "")).status_code == 400
        assert rows(till) == []

    def test_an_unknown_path(self, till: Till):
        body = json.dumps(EVENT).encode()
        assert post(till, body, signature(body, secret_of(till)), path="x").status_code == 404


class TestOddPayloads:
    @pytest.mark.proves("B50")
    @pytest.mark.parametrize(
        "header", ["", "t=abc,v1=x", "v1=x", "t=,v1=", ",,,", "t=1" + ",v1=00" * 500, "ä", "t=-1"]
    )
    def test_headers_that_are_none(self, till: Till, header: str):
        assert post(till, json.dumps(EVENT).encode(), header).status_code == 400

    @pytest.mark.proves("B50")
    @pytest.mark.parametrize(
        "body", [b"\xff\xfe", b"", b"{", b"[]", b"null", b'"x"', b"{}", b"1" * (600 * 1024)]
    )
    def test_bodies_that_are_none(self, till: Till, body: bytes):
        assert signed(till, body).status_code == 400
        assert rows(till) == []

    @pytest.mark.proves("B50")
    def test_many_signatures_of_which_one_is_right(self, till: Till):
        body = json.dumps(EVENT).encode()
        right = signature(body, secret_of(till))
        assert post(till, body, right.replace(",v1=", ",v1=00,v1=ff,v1=")).status_code == 200

    @pytest.mark.proves("B51")
    def test_an_unknown_type_is_taken_and_ignored(self, till: Till):
        assert send(till, type="unicorn.seen").status_code == 200
        assert [row.state for row in rows(till)] == ["ignored"]

    @pytest.mark.proves("B52")
    def test_a_thin_event(self, till: Till):
        thin = {"id": "evt_x", "object": "v2.core.event", "type": "v2.core.x", "livemode": True}
        related = {"id": "acct_1", "type": "account", "url": "/x"}
        body = json.dumps({**thin, "created": "2026-01-01", "related_object": related}).encode()
        assert signed(till, body).status_code == 400
        assert rows(till) == []

    @pytest.mark.proves("B53")
    @pytest.mark.parametrize("name", ["id", "type", "livemode", "created", "data"])
    def test_a_field_is_missing(self, till: Till, name: str):
        body = json.dumps({key: EVENT[key] for key in EVENT if key != name}).encode()
        assert signed(till, body).status_code == 400

    @pytest.mark.proves("B53")
    @pytest.mark.parametrize("data", [None, {}, {"object": None}, {"object": {}}, {"object": 5}])
    def test_data_of_another_form(self, till: Till, data: Any):
        assert send(till, data=data).status_code == 400

    @pytest.mark.proves("B53")
    @pytest.mark.parametrize(
        "odd", [{"livemode": False}, {"livemode": None}, {"account": "acct_9"}, {"account": ""}]
    )
    def test_another_mode_or_account_is_quarantined(self, till: Till, odd: dict[str, Any]):
        assert send(till, **odd).status_code == 200
        assert [row.state for row in rows(till)] == ["quarantined"]

    @pytest.mark.proves("B53")
    def test_more_fields_than_we_know(self, till: Till):
        assert send(till, more={"x": [1]}, type="customer.deleted").status_code == 200
        (row,) = rows(till)
        assert inbox.process(row)


class TestOnce:
    def test_five_deliveries_are_one_row(self, till: Till):
        assert [send(till).status_code for _ in range(5)] == [200] * 5
        assert len(rows(till)) == 1

    def test_only_ids_are_kept(self, till: Till):
        data = {"object": {"id": "ch_1", "object": "charge", "receipt_email": "ada@example.test"}}
        send(till, data=data)
        assert "ada" not in json.dumps(rows(till)[0].payload)

    def test_each_type_has_a_handler(self, till: Till):
        for number, kind in enumerate(EVENT_TYPES):
            about = {"id": f"none_{number}", "object": "charge"}
            send(till, id=f"evt_{number}", type=kind, data={"object": about})
        for row in rows(till):
            inbox.process(row)  # Nothing but StripeFailedError ends a try.
        assert len(rows(till)) == len(EVENT_TYPES)


@pytest.mark.proves("F54")
class TestCrash:
    def test_a_worker_that_died_with_it(self, till: Till, monkeypatch):
        order = till.order()
        till.pay(order)
        (event,) = [e for e in till.news(order) if e["type"] == "checkout.session.completed"]

        def die(_event: InboxEvent) -> None:
            raise SystemExit

        with monkeypatch.context() as patched:
            patched.setattr(inbox, "handle", die)
            with pytest.raises(SystemExit):
                till.hear_one(event["id"])
        assert till.posted == 0
        row = InboxEvent.objects.get(account=till.account, event_id=event["id"])
        InboxEvent.objects.filter(pk=row.pk).update(next_at=clock.now() - inbox.LEASE)
        inbox.process_due()
        row.refresh_from_db()
        assert (row.state, till.posted) == ("done", 10 * 10**9)

    def test_one_that_kills_each_worker_is_put_aside(self, till: Till):
        send(till)
        InboxEvent.objects.filter(account=till.account).update(
            tries=inbox.TRIES_MAX, next_at=clock.now() - inbox.LEASE * 1000
        )
        inbox.process_due()
        assert [row.state for row in rows(till)] == ["quarantined"]

    def test_it_waits_for_a_stripe_that_is_away(self, till: Till, monkeypatch):
        monkeypatch.setattr(client, "RETRIES", 0)
        send(till, type="checkout.session.completed")
        till.fake.test("faults", kind="500", times=1)
        (row,) = rows(till)
        assert inbox.process(row) is None
        row.refresh_from_db()
        assert (row.state, row.next_at > clock.now()) == ("received", True)


@pytest.mark.proves("F54")
class TestPoison:
    """An event whose handling fails in a way that nobody thought of."""

    @pytest.fixture
    def poison(self, till: Till) -> InboxEvent:
        """Stripe gives its refund an amount that is no number."""
        order = till.paid()
        refund = till.fake.client(seeded("sk", "live")).v1.refunds.create(
            {"payment_intent": order.payment_intent_id, "amount": 100}
        )
        till.fake.test("objects", refund.id, amount="sk_live_secret")
        send(till, type="refund.created", data={"object": {"id": refund.id, "object": "refund"}})
        return rows(till)[-1]

    def test_it_neither_stops_the_others_nor_is_lost(self, till: Till, poison: InboxEvent, caplog):
        send(till, id="evt_after", type="customer.deleted")
        long_ago = clock.now() - inbox.LEASE * 1000
        InboxEvent.objects.filter(pk=poison.pk).update(next_at=long_ago)
        assert inbox.process_due() >= 2
        assert {row.event_id: row.state for row in rows(till)}["evt_after"] == "ignored"
        poison.refresh_from_db()
        assert (poison.state, poison.tries) == ("received", 1)
        assert poison.next_at > clock.now()
        assert poison.reason.startswith("ValueError in reversals.py, line ")
        (said,) = [each for each in caplog.records if "stripe.event_failed" in each.getMessage()]
        assert "Traceback" in str(said.msg)
        assert till.posted == 10 * 10**9

    def test_somebody_must_look_in_the_end(self, till: Till, poison: InboxEvent):
        InboxEvent.objects.filter(pk=poison.pk).update(tries=inbox.TRIES_MAX - 1)
        poison.refresh_from_db()
        poison.tries += 1
        inbox.process(poison)
        poison.refresh_from_db()
        assert poison.state == "quarantined"
        assert "ValueError" in poison.reason
        assert "sk_live_secret" not in poison.reason


class TestPeople:
    def quarantined(self, till: Till) -> InboxEvent:
        send(till, livemode=False)
        return rows(till)[0]

    def test_dismiss(self, till: Till):
        row = self.quarantined(till)
        inbox.dismiss(row, actor=ACTOR, reason="a mistake")
        row.refresh_from_db()
        assert (row.state, row.reason) == ("ignored", f"{ACTOR}: a mistake")

    def test_retry(self, till: Till):
        row = self.quarantined(till)
        inbox.retry(row)
        row.refresh_from_db()
        assert (row.state, row.tries, row.ended_at) == ("received", 0, None)

    def test_old_ones_are_forgotten_unless_somebody_must_look(self, till: Till):
        self.quarantined(till)
        send(till, id="evt_two", type="unicorn.seen")
        InboxEvent.objects.filter(account=till.account).update(ended_at="2020-01-01T00:00:00Z")
        assert inbox.forget_old() >= 1
        assert [row.state for row in rows(till)] == ["quarantined"]


class TestAdmin:
    @pytest.fixture
    def site(self) -> Client:
        client = Client()
        client.force_login(DeveloperFactory.create(is_staff=True, is_superuser=True))
        return client

    def act(self, site: Client, row: Any, **form: str) -> Any:
        url = reverse(f"admin:billing_{row._meta.model_name}_act", args=[row.pk])
        assert site.get(url).status_code == 200
        return site.post(url, form, follow=True)

    def test_an_event_is_dismissed_with_a_reason_or_tried_again(self, site, till: Till):
        send(till, livemode=False)
        (row,) = rows(till)
        assert self.act(site, row, action="dismiss").status_code == 422
        page = self.act(site, row, action="dismiss", reason="a mistake of ours")
        assert "It is dismissed" in page.content.decode()
        assert [each.state for each in rows(till)] == ["ignored"]
        self.act(site, row, action="retry")
        assert [each.state for each in rows(till)] == ["received"]

    def test_a_key_is_examined_rotated_and_disconnected(self, site, till: Till):
        account, before = till.account, till.account.endpoint_id
        assert "Everything is in order" in self.act(site, account, action="check").content.decode()
        self.act(site, account, action="rotate")
        self.act(site, account, action="disconnect")
        account.refresh_from_db()
        assert (account.endpoint_id != before, account.is_active) == (True, False)

    def test_the_lists_and_rows_show_no_secrets(self, site, till: Till):
        send(till)
        for row in (till.account, *rows(till)):
            name = f"admin:billing_{row._meta.model_name}"
            for url in (reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[row.pk])):
                shown = site.get(url).content.decode()
                assert till.account.path not in shown
                assert seeded("rk", "live") not in shown

    def test_others_may_not(self, till: Till):
        client = Client()
        client.force_login(DeveloperFactory.create(is_staff=True))
        url = reverse("admin:billing_stripeaccount_act", args=[till.account.pk])
        assert client.post(url, {"action": "disconnect"}).status_code == 403
