"""A balance that falls low is told once, until it has risen again; owners get a mail a day."""

import asyncio
import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction

from billing import movements
from billing.stripe import low_balances, payment_settings
from billing.stripe.catalog import PaymentSettings
from billing.stripe.refill_models import LowBalance, LowWatch
from billing.types import Payer
from billing.webhooks.models import Event
from config.kit.errors import InvalidRequestError
from config.kit.money import NANOS
from ledger.models import Entry
from paywalls.models import Paywall
from tests.billing import conftest as chats
from tests.billing.webhooks.test_moments import URL, data_of
from tests.factories import ACTOR, PaywallFactory, PriceVersionFactory
from tests.support.commands import refusal, run, run_json

WHY = movements.Reason(actor=ACTOR, reason="tests")


@pytest.fixture(autouse=True)
def _nobody_else_wants_to_know() -> None:
    PaymentSettings.objects.update(low_balance_nanos=None, refills=False)
    LowBalance.objects.update(mailed_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))


@pytest.fixture
def watched(paywall, subscribe) -> Paywall:
    """From 5 units down."""
    tell(paywall, 5)
    subscribe(URL, "paywall.balance.low")
    made: Paywall = paywall
    return made


def tell(paywall: Paywall, units: int | None, *, mails: bool = True) -> None:
    nanos = None if units is None else units * NANOS
    with transaction.atomic():
        payment_settings.tell_low_balances(paywall, nanos, mails=mails, actor=ACTOR)


def deposit(paywall: Paywall, units: int, user: str = "ann") -> None:
    movements.deposit(paywall, user, units * NANOS, WHY)
    low_balances.watch()


def spend(paywall: Paywall, units: int, user: str = "ann") -> None:
    movements.charge(paywall, user, units * NANOS, WHY)
    low_balances.watch()


def told(paywall: Paywall) -> list[Any]:
    return [
        (data["availableBalance"], data["threshold"], data["walletUserId"])
        for data in data_of(paywall, "balance.low")
    ]


class TestTold:
    def test_once_for_each_time_that_it_falls(self, watched: Paywall):
        deposit(watched, 6)
        spend(watched, 1)
        assert told(watched) == []
        spend(watched, 1)
        spend(watched, 1)
        low_balances.watch()
        assert told(watched) == [("4", "5", "ann")]
        assert LowBalance.objects.get(paywall=watched).level_nanos == 4 * NANOS
        deposit(watched, 1)
        spend(watched, 1)
        assert len(told(watched)) == 1
        deposit(watched, 2)
        assert not LowBalance.objects.filter(paywall=watched).exists()
        spend(watched, 2)
        assert told(watched) == [("4", "5", "ann"), ("3", "5", "ann")]

    def test_each_user_apart_and_in_one_look(self, watched: Paywall):
        for user in ("ann", "bob", "cat"):
            movements.deposit(watched, user, 6 * NANOS, WHY)
        for user in ("ann", "bob"):
            movements.charge(watched, user, 3 * NANOS, WHY)
        low_balances.watch()
        assert sorted(told(watched)) == [("3", "5", "ann"), ("3", "5", "bob")]

    def test_who_never_had_so_much_has_not_fallen(self, watched: Paywall):
        PriceVersionFactory.create(paywall=watched, trial_nanos=NANOS)
        deposit(watched, 2)
        spend(watched, 1)
        assert told(watched) == []

    def test_a_credit_that_a_debt_takes_at_once_is_no_new_fall(self, watched: Paywall):
        deposit(watched, 6)
        movements.adjust(watched, "ann", -16 * NANOS, WHY)
        low_balances.watch()
        assert told(watched) == [("0", "5", "ann")]
        deposit(watched, 10)
        assert len(told(watched)) == 1

    def test_a_credit_line_is_money_that_is_there(self, watched: Paywall):
        deposit(watched, 1)
        run("set_credit_line", watched.public_id, "ann", "10")
        spend(watched, 5)
        assert told(watched) == []
        spend(watched, 2)
        assert told(watched) == [("4", "5", "ann")]

    def test_workers_at_once_tell_it_once(self, watched: Paywall):
        movements.deposit(watched, "ann", 6 * NANOS, WHY)
        movements.charge(watched, "ann", 2 * NANOS, WHY)

        def look() -> None:
            try:
                low_balances.watch()
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(look) for _ in range(4)]:
                done.result()
        assert len(told(watched)) == 1

    def test_in_pieces_it_comes_to_the_same(self, watched: Paywall, monkeypatch):
        monkeypatch.setattr(low_balances, "ENTRIES_MAX", 1)
        movements.deposit(watched, "ann", 6 * NANOS, WHY)
        for _ in range(3):
            movements.charge(watched, "ann", NANOS, WHY)
        low_balances.watch()
        assert told(watched) == [("3", "5", "ann")]
        assert LowWatch.objects.get().watched_upto >= Entry.objects.latest("id").pk

    def test_nothing_is_told_where_nobody_listens_but_it_is_known(self, paywall):
        tell(paywall, 5)
        deposit(paywall, 6)
        spend(paywall, 2)
        assert not Event.objects.filter(paywall_id=paywall.pk).exists()
        assert LowBalance.objects.filter(paywall=paywall).exists()

    def test_nothing_at_all_is_read_while_nobody_wants_to_know(self, paywall):
        tell(paywall, 5)
        assert LowWatch.objects.exists()
        tell(paywall, None)
        movements.deposit(paywall, "ann", NANOS, WHY)
        assert low_balances.watch() == 0
        assert not LowWatch.objects.exists()
        assert low_balances.watch() == 0


@sync_to_async
def levels(payer: Payer) -> list[int]:
    """After a look, who is low."""
    low_balances.watch()
    rows = LowBalance.objects.filter(paywall_id=payer.paywall_id)
    return list(rows.values_list("level_nanos", flat=True))


async def test_chats_count_what_they_cost_not_what_they_hold(gate, payer):
    paywall = await Paywall.objects.aget(pk=payer.paywall_id)
    await sync_to_async(tell)(paywall, 5)
    await chats.deposit(gate, payer, 8 * NANOS)
    asks = [chats.ask(payer, 2 * NANOS) for _ in range(3)]
    await asyncio.gather(*(gate.reserve(each) for each in asks))
    await gate.settle(chats.bill(asks[0], NANOS))
    assert await levels(payer) == []
    await asyncio.gather(*(gate.settle(chats.bill(each, 2 * NANOS)) for each in asks[1:]))
    assert await levels(payer) == [3 * NANOS]


class TestMail:
    @pytest.fixture(autouse=True)
    def _box(self, mailoutbox) -> None:
        self.box = mailoutbox

    def mails(self, paywall: Paywall) -> list[Any]:
        low_balances.mail_due()
        return [mail for mail in self.box if paywall.name in mail.subject]

    def fall(self, paywall: Paywall, *people: str) -> None:
        for user in people:
            movements.deposit(paywall, user, 6 * NANOS, WHY)
            movements.charge(paywall, user, 2 * NANOS, WHY)
        low_balances.watch()

    def test_one_a_day_with_everybody_who_fell(self, watched: Paywall):
        self.fall(watched, "ann", "bob")
        (mail,) = self.mails(watched)
        assert mail.to == [watched.team.memberships.get().user.email]
        assert mail.subject == f"Balances are low: {watched.name}"
        assert "fell below 5.00 USD" in mail.body
        assert "ann: 4.00 USD\nbob: 4.00 USD" in mail.body
        self.fall(watched, "cat")
        assert len(self.mails(watched)) == 1
        row = PaymentSettings.objects.get(paywall=watched)
        assert row.notices_mailed_at
        row.notices_mailed_at -= dt.timedelta(hours=24, seconds=1)
        row.save(update_fields=["notices_mailed_at"])
        _, second = self.mails(watched)
        assert "cat" in second.body
        assert "ann" not in second.body

    def test_not_to_who_wants_events_alone(self, paywall):
        tell(paywall, 5, mails=False)
        self.fall(paywall, "ann")
        assert self.mails(paywall) == []

    def test_many_are_counted(self, watched: Paywall, monkeypatch):
        monkeypatch.setattr(low_balances, "MAILED_MAX", 2)
        self.fall(watched, "ann", "bob", "cat")
        (mail,) = self.mails(watched)
        assert "and 1 more" in mail.body
        assert "cat" not in mail.body


class TestCommands:
    def test_set_low_balance(self, paywall):
        said = run("set_low_balance", paywall.public_id, "5")
        assert said == f"Who falls below 5.00 USD on {paywall.name} is told, and mailed to owners."
        facts = run_json("set_low_balance", paywall.public_id, "2.5", "--no-mail")
        assert facts == {"paywall": paywall.public_id, "amount": "2.5", "mail": False}
        assert "Nobody is told" in run("set_low_balance", paywall.public_id, "none")
        assert "above 0" in refusal("set_low_balance", paywall.public_id, "0")
        assert paywall.changes.filter(action="payments.changed").count() == 3

    def test_set_refills(self, paywall):
        assert "may save a card" in run("set_refills", paywall.public_id, "on")
        assert PaymentSettings.objects.get(paywall=paywall).refills
        assert run_json("set_refills", paywall.public_id, "off")["refills"] is False
        PaymentSettings.objects.filter(paywall=paywall).update(tax=True)
        assert "switch it off first" in refusal("set_refills", paywall.public_id, "on")
        assert "on or off" in refusal("set_refills", paywall.public_id, "maybe")

    def test_a_currency_of_small_units_keeps_its_limits(self):
        paywall = PaywallFactory.create(currency="JPY")
        run("set_refills", paywall.public_id, "on")
        assert PaymentSettings.objects.get(paywall=paywall).most_nanos == 100_000 * NANOS

    def test_nothing_else_than_amounts(self, paywall):
        with pytest.raises(InvalidRequestError), transaction.atomic():
            payment_settings.tell_low_balances(paywall, 0, mails=True, actor=ACTOR)
