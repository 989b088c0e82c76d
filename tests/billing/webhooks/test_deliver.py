"""Deliveries as receivers see them, and what becomes of those that fail."""

import asyncio
import hashlib
import hmac
import time

import pytest
from django.conf import settings
from django.core import mail
from django.db import connection, transaction
from standardwebhooks import Webhook, WebhookVerificationError

from billing import movements
from billing.webhooks import deliver as sending
from billing.webhooks import logs, network, subscriptions
from billing.webhooks.models import Delivery, Subscription
from billing.webhooks.schedule import ATTEMPTS_MAX
from billing.webhooks.signing import standard_secret
from config.dev.process import wait_until
from config.kit import egress
from config.kit.money import NANOS
from paywalls import users
from paywalls.models import Change
from tests.billing.webhooks.conftest import SECRET, deliver, hurry
from tests.factories import ACTOR
from tests.fakes.sink import Answer, Sink
from tests.support.patience import PATIENCE_S

WHY = movements.Reason(actor=ACTOR, reason="tests")
DEPOSIT = "paywall.balance.deposit.created"
HANGS_S = 4
"""How long one who does not answer is waited for."""


def happen(paywall, times: int = 1) -> None:
    for _ in range(times):
        movements.deposit(paywall, "ann", NANOS, WHY)


def only(paywall) -> Delivery:
    return Delivery.objects.get(paywall_id=paywall.pk)


def hook(subscription) -> Subscription:
    return Subscription.objects.get(pk=subscription.pk)


class TestOnTheWire:
    def test_both_published_forms_are_in_the_body(self, paywall, subscribe, sink):
        subscription = subscribe(sink.url, DEPOSIT, headers={"X-Mine": "yes"})
        happen(paywall)
        assert deliver() == {"success": 1}
        [seen] = sink.seen
        body = seen.json
        assert set(body) == {
            "delivery", "event", "id", "paywallId", "type", "version", "createdAt", "status",
            "attempts", "ownerUserId", "trigger", "subject", "data", "metadata",
        }  # fmt: skip
        assert body["id"] == body["event"]["id"] == seen.headers["webhook-id"]
        assert body["data"] == body["event"]["data"]
        assert body["delivery"]["subscriptionId"] == subscription.public_id
        assert (body["attempts"], body["delivery"]["attempts"]) == (1, 1)
        assert (body["version"], body["event"]["version"]) == ("1.0", "1.0")
        assert seen.headers["x-paywalls-event"] == f"{DEPOSIT}@1.0"
        assert seen.headers["x-mine"] == "yes"
        assert seen.headers["content-type"] == "application/json"

    def test_the_plain_recipe_and_the_standard_library_verify_it(self, paywall, subscribe, sink):
        subscription = subscribe(sink.url, DEPOSIT)
        happen(paywall)
        deliver()
        [seen] = sink.seen
        plain = hmac.new(SECRET.encode(), seen.body, hashlib.sha256).hexdigest()
        assert seen.headers["x-paywalls-signature"] == plain
        assert seen.headers["x-paywalls-timestamp"] == seen.headers["webhook-timestamp"]
        assert "x-paywalls-signature-previous" not in seen.headers
        [secret] = subscriptions.secrets_of(hook(subscription))
        assert verify(secret, seen)["type"] == DEPOSIT
        with pytest.raises(WebhookVerificationError):
            verify("another-secret-of-16", seen)

    @pytest.mark.proves("F64")
    def test_a_rotation_signs_with_both_secrets(self, paywall, subscribe, sink):
        subscription = subscribe(sink.url, DEPOSIT)
        with transaction.atomic():
            row = subscriptions.find(paywall, subscription.pk)
            new = subscriptions.rotate(row, actor=ACTOR)
        happen(paywall)
        deliver()
        [seen] = sink.seen
        for secret, header in ((new, ""), (SECRET, "-previous")):
            plain = hmac.new(secret.encode(), seen.body, hashlib.sha256).hexdigest()
            assert seen.headers[f"x-paywalls-signature{header}"] == plain
            assert verify(secret, seen)
        Subscription.objects.filter(pk=subscription.pk).update(previous_until="2020-01-01T00:00Z")
        happen(paywall)
        deliver()
        assert "x-paywalls-signature-previous" not in sink.seen[1].headers
        with pytest.raises(WebhookVerificationError):
            verify(SECRET, sink.seen[1])

    def test_an_erased_user_is_erased_from_what_waits(self, paywall, subscribe, sink):
        subscribe(sink.url, DEPOSIT)
        happen(paywall)
        with transaction.atomic():
            users.erase(users.find(paywall, "ann", livemode=True), actor=ACTOR)
        deliver()
        assert b'"ann"' not in sink.seen[0].body


def verify(secret: str, seen):
    return Webhook(standard_secret(secret)).verify(seen.body, seen.headers)


@pytest.mark.proves("F63")
class TestFailures:
    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (Answer(500), "HTTP 500."),
            (Answer(429, {"Retry-After": "900"}), "HTTP 429."),
            (Answer(301, {"Location": "http://127.0.0.1:9/"}), "redirects"),
            (Answer(cuts=True), "No answer"),
            (Answer(500, body=b"x" * 5_000_000), "HTTP 500."),
        ],
    )
    def test_it_is_tried_again_later(self, paywall, subscribe, sink, answer, error):
        subscribe(sink.url, DEPOSIT)
        sink.answer = answer
        happen(paywall)
        assert deliver() == {"retry": 1}
        row = only(paywall)
        assert (row.status, row.attempts, len(sink.seen)) == ("pending", 1, 1)
        assert error in row.error
        assert len(row.response) <= 1_024
        wait_s = (row.due_at - row.updated_at).total_seconds()
        low, high = (899, 901) if answer.status == 429 else (24, 36)
        assert low <= wait_s <= high
        assert deliver() == {}

    def test_a_receiver_that_says_nothing_is_given_up(self, paywall, subscribe, sink):
        subscribe(sink.url, DEPOSIT)
        sink.answer = Answer(hangs=True)
        happen(paywall)
        assert deliver(timeout_s=0.2) == {"retry": 1}
        assert only(paywall).error == "No answer in time."

    def test_tls_that_nobody_vouches_for(self, paywall, subscribe, self_signed):
        with Sink(tls=self_signed) as sink:
            subscribe(sink.url, DEPOSIT)
            happen(paywall)
            assert deliver() == {"retry": 1}
        assert only(paywall).error == "No answer: TLS failed."
        assert sink.seen == []

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
    def test_some_answers_end_it(self, paywall, subscribe, sink, status):
        subscription = subscribe(sink.url, DEPOSIT)
        sink.answer = Answer(status)
        happen(paywall)
        assert deliver() == {"error": 1}
        assert only(paywall).status == "error"
        assert hook(subscription).is_active

    def test_gone_ends_the_subscription_and_what_waits_for_it(self, paywall, subscribe, sink):
        subscription = subscribe(sink.url, DEPOSIT)
        sink.answer = Answer(410)
        happen(paywall, times=2)
        deliver()
        assert not hook(subscription).is_active
        assert not Delivery.objects.filter(paywall_id=paywall.pk, status="pending").exists()
        assert [sent.to[0] for sent in mail.outbox] == list(
            paywall.team.members.values_list("email", flat=True)
        )

    def test_eight_attempts_and_no_more(self, paywall, subscribe, sink):
        subscription = subscribe(sink.url, DEPOSIT)
        sink.answer = Answer(503)
        happen(paywall)
        for _ in range(ATTEMPTS_MAX + 1):
            deliver()
            hurry()
        assert len(sink.seen) == ATTEMPTS_MAX
        assert (only(paywall).status, hook(subscription).consecutive_failures) == ("error", 8)
        assert len({seen.headers["webhook-id"] for seen in sink.seen}) == 1
        assert [seen.json["attempts"] for seen in sink.seen] == list(range(1, 9))

    @pytest.mark.proves("F65")
    def test_a_crash_after_the_post_sends_it_again_under_the_same_id(
        self, paywall, subscribe, sink, monkeypatch
    ):
        subscribe(sink.url, DEPOSIT)
        happen(paywall)
        with monkeypatch.context() as patched:
            patched.setattr(sending, "judge", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                deliver()
        assert only(paywall).status == "pending"
        assert deliver() == {}, "its claim still holds"
        hurry()
        first_stamp = int(sink.seen[0].headers["webhook-timestamp"])
        wait_until(
            lambda: time.time() >= first_stamp + 1, children=[], timeout_s=PATIENCE_S, what="it"
        )
        assert deliver() == {"success": 1}
        first, second = sink.seen
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.headers["webhook-timestamp"] < second.headers["webhook-timestamp"]
        assert (first.json["id"], second.json["attempts"]) == (second.json["id"], 2)

    @pytest.mark.proves("F66")
    def test_five_days_of_nothing_but_failures(self, paywall, subscribe, sink):
        subscription = subscribe(sink.url, DEPOSIT)
        sink.answer = Answer(500)
        happen(paywall)
        Subscription.objects.filter(pk=subscription.pk).update(consecutive_failures=20)
        deliver()
        assert hook(subscription).is_active, "not for failures of one hour"
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE billing_subscription SET first_failure_at = first_failure_at"
                " - interval '5 days' WHERE id = %s",
                [subscription.pk],
            )
        hurry()
        deliver()
        assert not hook(subscription).is_active
        assert only(paywall).status == "error"
        recorded = Change.objects.get(paywall=paywall, action="webhook.disabled")
        assert "five days" in recorded.after["reason"]
        assert len(mail.outbox) == 1
        sink.answer = Answer()
        with transaction.atomic():
            row = subscriptions.find(paywall, subscription.pk)
            subscriptions.update(row, {"is_active": True}, actor=ACTOR)
            logs.replay(paywall, only(paywall).pk)
        assert deliver() == {"success": 1}
        assert hook(subscription).consecutive_failures == 0

    @pytest.mark.proves("F67", "B45")
    def test_a_name_that_turns_inward_is_not_followed(self, paywall, subscribe, sink):
        url = f"https://hooks.example.com:8443/{sink.port}"
        subscribe(url, DEPOSIT)
        happen(paywall)

        async def turned(host: str, port: int) -> list[str]:
            assert host == "hooks.example.com"
            return ["127.0.0.1"]

        async def run():
            async with network.Poster(egress.policy(), lookup=turned) as poster:
                one = sending.Deliverer(poster)
                await one.run(settings.DATABASE_DIRECT_URL)

        asyncio.run(run())
        assert "private or reserved" in only(paywall).error
        assert sink.seen == []

    @pytest.mark.proves("F68")
    def test_one_dead_receiver_delays_nobody(self, paywall, subscribe, sink):
        with Sink(Answer(hangs=True)) as dead:
            subscribe(dead.url, DEPOSIT)
            subscribe(sink.url, DEPOSIT)
            happen(paywall, times=40)
            began = time.monotonic()
            counts = deliver(timeout_s=HANGS_S, run_s=HANGS_S - 1)
            assert max(seen.at for seen in sink.seen) - began < HANGS_S
            assert dead.most <= 4
        assert (len(sink.seen), counts["success"]) == (40, 40)
        assert sink.most <= sending.EACH_MAX

    def test_a_run_ends_only_when_nothing_is_due(self, paywall, subscribe, sink):
        subscribe(sink.url, DEPOSIT)
        happen(paywall, times=100)
        assert deliver() == {"success": 100}

    def test_two_deliverers_never_run_at_once(self, paywall, subscribe, sink):
        subscribe(sink.url, DEPOSIT)
        happen(paywall)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [sending.LOCK])
            assert deliver() == {}
            cursor.execute("SELECT pg_advisory_unlock(%s)", [sending.LOCK])
        assert deliver() == {"success": 1}
