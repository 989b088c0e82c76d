"""Withdrawals through Stripe Connect: paid once, followed to their end, and back when it fails."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from django.db import transaction
from django.test import Client

from billing.stripe import platform
from billing.stripe.person_models import PlatformStripe
from billing.withdrawals import destinations, errors, paying, requests
from billing.withdrawals.models import Destination, Withdrawal
from config.kit import ids
from ledger.models import Verification
from paywalls.models import Paywall
from tests.billing.withdrawals.conftest import UNIT, Earner, at_once, set_terms  # noqa: F401
from tests.factories import ACTOR, PaywallFactory, TeamFactory
from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running


@pytest.fixture(autouse=True)
def _books_are_whole() -> None:
    """Others' tests break books on purpose, and then nothing goes out."""
    Verification.objects.filter(ok=False).delete()


@dataclass
class Desk:
    """The operator's Stripe account with a team's connected to it."""

    fake: Running
    earner: Earner
    destination: Destination
    v1: Any

    @property
    def account(self) -> str:
        return str(self.destination.facts["account"])

    def fund(self, cents: int = 100_000) -> None:
        self.v1.payment_intents.create(
            params={
                "amount": cents,
                "currency": "usd",
                "payment_method": "pm_card_bypassPending",
                "confirm": True,
            }
        )

    def onboard(self) -> None:
        self.fake.test("accounts", self.account, "onboard")
        destinations.check(self.destination)

    def withdraw(self, units: int = 20) -> Withdrawal:
        self.earner.cleared(units * UNIT)
        return self.earner.withdraw(units * UNIT)

    def pay(self, row: Withdrawal) -> Withdrawal:
        """What the worker does."""
        paying.pay_due()
        return requests.find(row.pk)

    def look(self, row: Withdrawal) -> Withdrawal:
        return paying.look(requests.find(row.pk))

    def transfers(self, row: Withdrawal) -> list[Any]:
        return list(self.v1.transfers.list(params={"transfer_group": row.public_id}).data)

    def payout(self, row: Withdrawal, outcome: str) -> None:
        self.fake.test("payouts", str(row.facts["payout"]), outcome)

    def hear(self, kind: str) -> list[int]:
        """Deliver the platform's news of a type; with which status each was answered."""
        path = f"/webhooks/stripe-platform/{PlatformStripe.objects.get(livemode=True).path}"
        deliveries = list(self.fake.program.world.deliveries.values())
        return [
            post(path, signed["body"], signed["signature"])
            for event_id in {each["event"] for each in deliveries if each["type"] == kind}
            for signed in self.fake.signed(event_id)
        ]


def post(path: str, body: Any, signature: str) -> int:
    headers = {"Stripe-Signature": signature}
    answer = Client().post(path, body, content_type="application/json", headers=headers)
    return answer.status_code


@pytest.fixture
def desk(fake: Running, settings: Any, owner: psycopg.Connection, at_once: None) -> Iterator[Desk]:  # noqa: F811
    settings.STRIPE_API_BASE = fake.url
    PlatformStripe.objects.all().delete()
    Destination.objects.filter(kind="stripe").update(is_active=False)
    platform.connect(seeded("sk", "live"), actor=ACTOR)
    team = TeamFactory.create()
    paywall = PaywallFactory.create(team=team, mode=Paywall.Mode.SHARED)
    made, _link = destinations.set_stripe(team, livemode=True, actor=ACTOR, country="US")
    v1 = fake.client(seeded("sk", "live"), max_network_retries=0).v1
    yield Desk(fake, Earner(team, paywall, owner), made, v1)
    PlatformStripe.objects.all().delete()


@pytest.fixture
def ready(desk: Desk) -> Desk:
    """Onboarded, and with money to pay from."""
    desk.onboard()
    desk.fund()
    return desk


def test_nothing_is_paid_before_stripe_knows_the_team(desk: Desk):
    desk.earner.cleared(20 * UNIT)
    assert "questions" in destinations.check(desk.destination).trouble
    with pytest.raises(errors.NoDestinationError, match="questions"):
        desk.earner.withdraw(UNIT)
    link = destinations.onboarding_link(desk.destination)
    assert link.startswith(desk.fake.url)
    desk.onboard()
    assert destinations.check(desk.destination).trouble == ""
    assert desk.earner.withdraw(UNIT).state == "approved"


def test_a_withdrawal_goes_by_transfer_and_payout_to_the_bank(ready: Desk):
    row = ready.pay(ready.withdraw())
    assert (row.state, row.facts["payout"][:3]) == ("sent", "po_")
    (transfer,) = ready.transfers(row)
    assert (transfer.amount, transfer.destination) == (2_000, ready.account)
    assert transfer.metadata.to_dict() == {platform.WITHDRAWAL: row.public_id}
    ready.payout(row, "arrive")
    assert ready.look(row).state == "paid"
    assert ready.earner.figures == (0, 0, 0)


def test_a_worker_that_dies_at_any_step_pays_once(ready: Desk, monkeypatch: pytest.MonkeyPatch):
    row = ready.withdraw()
    with monkeypatch.context() as broken:
        broken.setattr(requests, "record", _die)
        with pytest.raises(SystemExit):
            paying.pay_due()
    assert requests.find(row.pk).facts == {}
    states = [ready.look(row).state for _ in range(3)]
    assert len(ready.transfers(row)) == 1
    options = {"stripe_account": ready.account}
    assert len(ready.v1.payouts.list(options=options).data) == 1
    assert states == ["sent"] * 3


def _die(*_: Any, **__: Any) -> None:
    raise SystemExit


def test_idempotency_keys_that_stripe_forgot_make_no_second_transfer(ready: Desk):
    row = ready.pay(ready.withdraw())
    ready.earner.owner.execute(
        "UPDATE billing_withdrawal SET facts = '{\"attempt\": 5}' WHERE id = %s", [row.pk]
    )
    assert ready.look(row).facts["transfer"] == ready.transfers(row)[0].id
    assert len(ready.transfers(row)) == 1


def test_without_money_of_the_operator_it_waits_and_is_tried_again(desk: Desk):
    desk.onboard()
    row = desk.pay(desk.withdraw())
    assert (row.state, row.facts) == ("sent", {"attempt": 1})
    assert "insufficient" in row.reason
    assert desk.earner.now.cleared_nanos == 0
    desk.fund()
    assert desk.look(row).facts["transfer"]


def test_what_stripe_refuses_for_good_gives_the_money_back(ready: Desk):
    row = ready.withdraw()
    ready.earner.owner.execute(
        'UPDATE billing_destination SET facts = \'{"account": "acct_none"}\' WHERE id = %s',
        [ready.destination.pk],
    )
    failed = ready.pay(row)
    assert (failed.state, failed.facts) == ("failed", {})
    assert ready.earner.figures == (0, 20 * UNIT, 20 * UNIT)


def test_a_payout_that_fails_takes_the_transfer_back(ready: Desk):
    row = ready.pay(ready.withdraw())
    ready.payout(row, "fail")
    failed = ready.look(row)
    assert (failed.state, "account_closed" in failed.reason) == ("failed", True)
    assert ready.transfers(row)[0].reversed
    assert ready.earner.figures == (0, 20 * UNIT, 20 * UNIT)


def test_what_fails_days_after_it_was_paid_comes_back_once(ready: Desk):
    row = ready.pay(ready.withdraw())
    ready.payout(row, "arrive")
    assert ready.look(row).state == "paid"
    ready.payout(row, "fail")
    for _ in range(2):
        assert ready.look(row).state == "failed"
    assert ready.earner.figures == (0, 20 * UNIT, 20 * UNIT)


def test_a_transfer_that_was_reversed_by_hand_is_noticed(ready: Desk):
    row = ready.pay(ready.withdraw())
    ready.v1.transfers.reversals.create(row.facts["transfer"])
    assert ready.look(row).state == "failed"


def test_cancelled_on_its_way_while_stripe_still_can(ready: Desk):
    row = ready.pay(ready.withdraw())
    ended = requests.cancel(row, actor=ACTOR)
    assert (ended.state, ended.reason) == ("failed", "It was stopped.")
    assert ready.earner.figures == (0, 20 * UNIT, 20 * UNIT)
    assert ready.transfers(row)[0].reversed


def test_not_cancelled_once_it_has_arrived(ready: Desk):
    row = ready.pay(ready.withdraw())
    ready.payout(row, "arrive")
    with pytest.raises(errors.WithdrawalStateError, match="cannot be stopped"):
        requests.cancel(row, actor=ACTOR)
    assert requests.find(row.pk).state == "paid"


def test_stripes_news_make_the_worker_look_at_once(ready: Desk):
    row = ready.pay(ready.withdraw())
    ready.payout(row, "arrive")
    assert ready.pay(row).state == "sent"
    assert ready.hear("payout.paid") == [200]
    assert ready.pay(row).state == "paid"


def test_news_of_an_account_make_it_checked(desk: Desk):
    destinations.check(desk.destination)
    desk.fake.test("accounts", desk.account, "onboard")
    assert desk.hear("account.updated") == [200]
    destinations.check_all(only_new=True)
    assert Destination.objects.get(pk=desk.destination.pk).trouble == ""


def test_forged_news_are_refused(ready: Desk):
    row = ready.pay(ready.withdraw())
    saved = PlatformStripe.objects.get(livemode=True)
    path = f"/webhooks/stripe-platform/{saved.path}"
    assert post(path, "{}", "t=1,v1=00") == 400
    assert post("/webhooks/stripe-platform/nobody", "{}", "t=1,v1=00") == 400
    PlatformStripe.objects.update(sealed_secret=None, sealed_connect_secret=None)
    ready.payout(row, "arrive")
    assert ready.hear("payout.paid") == [400]


def test_while_the_books_are_broken_nothing_goes_out(ready: Desk):
    row = ready.withdraw()
    facts = {"started_at": row.requested_at, "finished_at": row.requested_at}
    Verification.objects.create(**facts, ok=False, results=[["I3", 1, "x"]])
    try:
        assert ready.pay(row).state == "approved"
    finally:
        Verification.objects.create(**facts, ok=True, results=[["I3", 0]])
    assert ready.pay(row).state == "sent"


def test_connecting_again_keeps_webhooks_and_changes_the_key(desk: Desk):
    before = PlatformStripe.objects.get(livemode=True)
    platform.connect(seeded("sk", "live"), actor=ACTOR)
    after = PlatformStripe.objects.get(livemode=True)
    assert (after.endpoint_id, after.connect_endpoint_id) == (
        before.endpoint_id,
        before.connect_endpoint_id,
    )
    ours = desk.v1.webhook_endpoints.list().data
    assert len([each for each in ours if platform.OWNER in each.metadata]) == 2


def test_without_a_key_it_waits(desk: Desk):
    desk.onboard()
    row = desk.withdraw()
    PlatformStripe.objects.all().delete()
    assert desk.pay(row).state == "sent"
    with pytest.raises(errors.PayoutsUnavailableError, match="connect_platform_stripe"):
        destinations.check(desk.destination)


def test_a_new_stripe_account_waits_as_well(ready: Desk):
    set_terms(destination_delay_hours=5)
    row = ready.withdraw()
    assert ready.pay(row).state == "approved"
    with transaction.atomic():
        requests.move(row, Withdrawal.State.CANCELLED, actor=ACTOR)
    assert ids.decode("wd", row.public_id) == row.pk
