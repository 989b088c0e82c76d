"""Shared mode, as a developer's server hears of it."""

from dataclasses import replace

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import transaction

from billing import fees, movements
from billing.database import Database
from billing.gate import Gate
from config.kit import ids
from paywalls import grants, links
from paywalls.models import GrantRequest, Paywall
from tests.billing.conftest import TERMS, ask
from tests.billing.webhooks.test_moments import data_of, types
from tests.factories import MembershipFactory
from tests.support.shared import WHY, allow, give, make_person, shared_payer

URL = "https://127.0.0.1:9/hook"
AUTHORIZED = "paywall.authorization.completed"


@pytest.fixture
def payer():
    return replace(shared_payer(), tell=True)


@pytest.fixture
def paywall(payer) -> Paywall:
    made = Paywall.objects.get(pk=payer.paywall_id)
    MembershipFactory.create(team=made.team)
    return made


def refused(payer, times=2) -> None:
    """Asks the gate for money that nobody allowed."""

    async def work():
        gate = Gate(Database(settings.DATABASE_URL, size=1), TERMS)
        await gate.open()
        for _ in range(times):
            await gate.reserve(ask(payer, 10))
        await gate.close()

    async_to_sync(work)()


class TestGrants:
    def test_a_wish_is_told_once_and_each_refusal(self, paywall, payer, subscribe):
        subscribe(URL)
        refused(payer)
        (wish,) = data_of(paywall, "authorization.requested")
        request = GrantRequest.objects.get(paywall=paywall)
        assert wish["externalUserId"] == payer.user
        assert wish["walletUserId"] is None
        assert wish["requestId"] == request.public_id
        assert wish["approvalUrl"] == links.authorize_url(request.end_user_id)
        assert wish["mode"] == "live"
        blocked = data_of(paywall, "request.blocked")
        assert [each["reason"] for each in blocked] == ["authorization_required"] * 2

    def test_a_yes_and_its_end(self, paywall, payer, subscribe):
        subscribe(URL, "paywall.authorization.*")
        person = make_person()
        grant = allow(person, payer)
        (given,) = data_of(paywall, "authorization.completed")
        assert (given["walletUserId"], given["connectionId"]) == (person.public_id, grant.public_id)
        with transaction.atomic():
            grants.revoke(grant, actor=person.public_id)
        (ended,) = data_of(paywall, "authorization.revoked")
        assert ended["walletUserId"] == person.public_id
        assert types(paywall) == [AUTHORIZED, "paywall.authorization.revoked"]

    def test_a_no(self, paywall, payer, subscribe):
        subscribe(URL)
        refused(payer, times=1)
        request, person = GrantRequest.objects.get(paywall=paywall), make_person()
        with transaction.atomic():
            grants.decline(request, person, "not now")
        (said,) = data_of(paywall, "authorization.declined")
        assert said["reason"] == "not now"
        assert said["requestId"] == request.public_id
        assert said["walletUserId"] == person.public_id


class TestMoney:
    def test_a_charge_names_the_fee_and_the_wallet(self, paywall, payer, subscribe):
        with transaction.atomic():
            fees.set_fee(100_000, actor="command:tests")
        subscribe(URL, "paywall.balance.*")
        person = make_person()
        give(person, 1_000)
        allow(person, payer)
        done = movements.charge(paywall, payer.user, 100, WHY)
        (told,) = data_of(paywall, "balance.charge.created")
        with transaction.atomic():
            fees.set_fee(0, actor="command:tests")
        assert told["walletUserId"] == person.public_id
        assert told["activityId"] == ids.encode("txn", done.transaction_id)
        assert (told["amount"], told["processingFeeAmount"]) == ("0.0000001", "0.00000001")

    def test_after_a_top_up_an_empty_wallet_is_news_again(self, paywall, payer, subscribe):
        subscribe(URL, "paywall.balance.depleted")
        person = make_person()
        allow(person, payer)
        refused(payer, times=2)
        assert len(data_of(paywall, "balance.depleted")) == 1
        give(person, 5)
        refused(payer, times=1)
        assert len(data_of(paywall, "balance.depleted")) == 2
