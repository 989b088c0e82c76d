"""What happens is told in the transaction that makes it true, and only to who listens."""

import datetime as dt
from typing import Any

import orjson
import psycopg
import pytest
from django.conf import settings
from django.db import transaction

from billing import movements
from billing.errors import InsufficientFundsError
from billing.webhooks import events, outbox
from billing.webhooks.envelope import event_of
from billing.webhooks.logs import page
from billing.webhooks.models import Event
from config.kit import ids
from config.kit.money import NANOS
from paywalls import keys, messages, paywalls
from tests.factories import ACTOR, PriceVersionFactory, make_key

WHY = movements.Reason(actor=ACTOR, reason="tests")
URL = "https://127.0.0.1:9/hook"


def told(paywall) -> list[Any]:
    """Events of the paywall as receivers read them, the first one first."""
    return [event_of(row) for row in reversed(page(paywall.pk, limit=100))]


def types(paywall) -> list[str]:
    """Sorted: events of one millisecond have no order."""
    return sorted(event["type"] for event in told(paywall))


def data_of(paywall, type_: str) -> list[Any]:
    return [event["data"] for event in told(paywall) if event["type"] == f"paywall.{type_}"]


class TestMoney:
    def test_a_deposit(self, paywall, subscribe):
        subscribe(URL, "paywall.balance.*")
        done = movements.deposit(paywall, "ann", 5 * NANOS, WHY)
        [event] = told(paywall)
        assert event["data"] == {
            "paywallId": paywall.public_id,
            "ownerUserId": ids.encode("dev", paywall.team.memberships.get().user_id),
            "walletUserId": "ann",
            "externalUserId": "ann",
            "amount": "5",
            "currency": "usd",
            "source": "dashboard",
            "activityId": ids.encode("txn", done.transaction_id),
        }
        assert event["trigger"] == {
            "source": "dashboard", "actorType": "operator", "actorId": ACTOR,
        }  # fmt: skip
        assert event["subject"]["externalId"] == "ann"

    def test_nothing_is_written_where_nobody_listens(self, paywall):
        movements.deposit(paywall, "ann", NANOS, WHY)
        assert not Event.objects.filter(paywall_id=paywall.pk).exists()

    def test_nor_for_types_that_nobody_wants(self, paywall, subscribe):
        subscribe(URL, "paywall.dispute.*")
        movements.deposit(paywall, "ann", NANOS, WHY)
        assert not Event.objects.filter(paywall_id=paywall.pk).exists()

    def test_a_repeated_movement_is_told_once(self, paywall, subscribe):
        subscribe(URL, "paywall.balance.*")
        why = movements.Reason(actor=ACTOR, reason="tests", ref="once")
        for _ in range(2):
            movements.deposit(paywall, "ann", NANOS, why)
        assert types(paywall) == ["paywall.balance.deposit.created"]

    def test_what_is_rolled_back_is_not_told(self, paywall, subscribe):
        subscribe(URL)
        with transaction.atomic():
            movements.deposit(paywall, "ann", NANOS, WHY)
            transaction.set_rollback(True)
        assert "paywall.balance.deposit.created" not in types(paywall)

    def test_a_charge_its_refusal_and_its_refund(self, paywall, subscribe):
        subscribe(URL, "paywall.balance.*")
        movements.deposit(paywall, "ann", NANOS, WHY)
        done = movements.charge(paywall, "ann", NANOS // 4, WHY)
        for _ in range(2):
            with pytest.raises(InsufficientFundsError):
                movements.charge(paywall, "ann", NANOS, WHY)
        movements.refund(done.transaction_id, NANOS // 4, WHY)
        with pytest.raises(InsufficientFundsError):
            movements.charge(paywall, "ann", 2 * NANOS, WHY)
        assert types(paywall) == [
            "paywall.balance.charge.completed",
            "paywall.balance.charge.created",
            *["paywall.balance.charge.failed"] * 3,
            *["paywall.balance.depleted"] * 2,
            "paywall.balance.deposit.created",
            "paywall.balance.refunded",
        ]
        [charged] = data_of(paywall, "balance.charge.created")
        assert (charged["amount"], charged["processingFeeAmount"]) == ("0.25", "0")
        broke = data_of(paywall, "balance.depleted")[0]
        assert (broke["requestedAmount"], broke["availableBalance"]) == ("1", "0.75")

    def test_a_trial(self, paywall, subscribe):
        PriceVersionFactory.create(paywall=paywall, trial_nanos=NANOS // 1000)
        subscribe(URL, "paywall.balance.trial.granted")
        movements.deposit(paywall, "ann", NANOS, WHY)
        [event] = told(paywall)
        assert (event["data"]["credits"], event["data"]["walletUserId"]) == ("0.001", "ann")


class TestRequests:
    """The hooks of reserving and settling, called as those functions call them."""

    @pytest.fixture
    def user(self, paywall):
        return movements.deposit(paywall, "ann", NANOS, WHY).user_id

    def call(self, function, *objects):
        with psycopg.connect(settings.DATABASE_OWNER_URL, autocommit=True) as owner:
            owner.execute(
                f"SELECT {function}(%s::jsonb, %s::jsonb)",
                [orjson.dumps([each]).decode() for each in objects],
            )

    def ask(self, paywall, **more):
        return {
            "id": ids.uuid7(), "paywall": paywall.pk, "live": True, "zone": "UTC", "key": None,
            "least": 5, "facts": {"model": "demo/echo", "streamed": True}, "tell": True, **more,
        }  # fmt: skip

    def test_reserved(self, paywall, subscribe, user):
        subscribe(URL, "paywall.proxy.*", "paywall.usage.*")
        ask = self.ask(paywall)
        answer = {"id": ask["id"], "outcome": "allowed", "user": user}
        self.call("billing_events_reserved", ask, answer)
        assert types(paywall) == ["paywall.proxy.request.started", "paywall.usage.charge.deferred"]
        [data] = data_of(paywall, "proxy.request.started")
        assert data["requestId"] == ids.encode("req", ask["id"])
        assert (data["walletUserId"], data["model"]) == ("ann", "demo/echo")

    def test_an_ask_that_says_nothing_of_it_is_not_told(self, paywall, subscribe, user):
        subscribe(URL, "paywall.proxy.*")
        ask = self.ask(paywall, tell=False)
        self.call(
            "billing_events_reserved", ask, {"id": ask["id"], "outcome": "allowed", "user": user}
        )
        assert types(paywall) == []

    def test_refused_for_money_is_depleted_once(self, paywall, subscribe, user):
        subscribe(URL, "paywall.balance.depleted", "paywall.request.blocked")
        for _ in range(2):
            ask = self.ask(paywall)
            answer = {"id": ask["id"], "outcome": "topup_required", "user": user, "available": 3}
            self.call("billing_events_reserved", ask, answer)
        assert types(paywall) == ["paywall.balance.depleted"] + ["paywall.request.blocked"] * 2
        assert {e["data"].get("reason") for e in told(paywall)} == {None, "insufficient_balance"}

    def test_a_limit_is_told_once_a_window(self, paywall, subscribe, user):
        subscribe(URL, "paywall.usage.rate.limited", "paywall.request.blocked")
        refusal = {"kind": "requests_day", "subject": "user", "limit": 7, "retry_after": 1}
        for _ in range(2):
            ask = self.ask(paywall)
            answer = {"id": ask["id"], "outcome": "limited", "user": user, "refusal": refusal}
            self.call("billing_events_reserved", ask, answer)
        assert types(paywall) == ["paywall.request.blocked"] * 2 + ["paywall.usage.rate.limited"]
        limited = next(e for e in told(paywall) if "rate" in e["type"])["data"]
        assert (limited["limit"], limited["model"]) == (7, "demo/echo")

    @pytest.mark.parametrize(
        ("status", "error", "type_"),
        [
            ("completed", "", "completed"),
            ("failed", "upstream_error", "failed"),
            ("truncated", "upstream_error", "failed"),
            ("recovered", "process_lost", "failed"),
            ("client_gone", "client_gone", "canceled"),
            ("failed", "client_gone", "canceled"),
        ],
    )
    def test_settled(self, paywall, subscribe, user, status, error, type_):
        subscribe(URL, "paywall.proxy.*", "paywall.usage.*")
        bill = {
            "id": ids.uuid7(), "txn": ids.uuid7(), "paywall": paywall.pk, "live": True,
            "user": user, "key": None, "model": "demo/echo", "status": status,
            "error_code": error, "usage": {"prompt": 9, "completion": 5}, "tell": True,
        }  # fmt: skip
        result = {"id": bill["id"], "state": "settled", "charged": 1_500}
        self.call("billing_events_settled", bill, result)
        found = {event["type"]: event["data"] for event in told(paywall)}
        assert set(found) == {"paywall.usage.charge.created", f"paywall.proxy.request.{type_}"}
        charge = found["paywall.usage.charge.created"]
        assert (charge["cost"], charge["promptTokens"]) == ("0.0000015", 9)

    def test_late_settlements_are_not_told(self, paywall, subscribe, user):
        subscribe(URL, "paywall.proxy.*")
        bill = {"id": ids.uuid7(), "paywall": paywall.pk, "status": "completed", "tell": True}
        self.call("billing_events_settled", bill, {"id": bill["id"], "state": "late"})
        assert types(paywall) == []


class TestConfiguration:
    def test_a_change_says_what_changed(self, paywall, subscribe):
        subscribe(URL, "paywall.updated")
        with transaction.atomic():
            paywalls.change(paywall, paywalls.Settings(graceful=True, name="New"), actor="dev_x")
            messages.set_message(paywall, "insufficient_funds", "No {{url}}", actor="dev_x")
        changes = {e["summarySections"][0]: e["changedFields"] for e in data_of(paywall, "updated")}
        assert changes["paywall"] == ["graceful", "name"]
        assert changes["message"] == ["text"]

    def test_a_rotated_key(self, paywall, subscribe):
        subscribe(URL, "paywall.secret.rotated")
        key, _ = make_key(paywall)
        with transaction.atomic():
            new, _ = keys.rotate(key, overlap=dt.timedelta(0), actor="dev_x")
        [event] = told(paywall)
        assert event["data"]["secretLastFour"] == new.last_four
        assert (event["data"]["actorId"], event["data"]["actorType"]) == ("dev_x", "developer")

    def test_the_end_of_a_paywall(self, paywall, subscribe):
        subscribe(URL, "paywall.archived")
        with transaction.atomic():
            paywalls.archive(paywall, actor="dev_x")
        assert types(paywall) == ["paywall.archived"]


class TestEmit:
    def test_once_is_once(self, paywall, subscribe):
        subscribe(URL, "paywall.balance.low")
        low = events.Event(
            type="paywall.balance.low", once="low:1",
            facts={"availableBalance": 5, "threshold": 10},
        )  # fmt: skip
        with transaction.atomic():
            assert outbox.emit(paywall, low, low) == 1
        with transaction.atomic():
            assert outbox.emit(paywall, low) == 0

    def test_facts_are_those_of_the_type(self):
        with pytest.raises(AssertionError, match="threshold"):
            events.Event(type="paywall.balance.low", facts={"availableBalance": 5})

    @pytest.mark.parametrize("type_", sorted(events.TYPES))
    def test_patterns_mean_the_same_here_and_in_the_database(self, type_, owner):
        for pattern in ("*", type_, "paywall.balance.*", "paywall.*", "paywall.balance.c.*"):
            found = owner.execute(
                "SELECT billing_event_wanted(%s, jsonb_build_array(%s::text))", [type_, pattern]
            )
            assert found.fetchone() == (type_ in events.matching([pattern]),)
