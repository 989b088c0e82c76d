"""A Shared charge is divided exactly, whatever becomes of it."""

import asyncio
import datetime as dt

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from billing import fees, movements
from billing.errors import RefundTooLargeError
from billing.models import Charge, PlatformFee, Split
from billing.splits import MILLION, divide
from billing.types import Progress
from config.kit import clock, ids
from config.kit.errors import InvalidRequestError
from config.kit.money import AMOUNT_NANOS_MAX
from ledger.models import Account, Entry
from paywalls.models import Grant, Paywall
from paywalls.types import OPERATOR
from tests.billing.conftest import ask, bill
from tests.billing.test_reaper import lapse_and_reap
from tests.support.shared import WHY, allow, give, make_person, shared_payer

NANOS = st.integers(0, AMOUNT_NANOS_MAX)


@given(charged=NANOS, cost=NANOS, ppm=st.integers(0, MILLION))
@example(charged=1, cost=0, ppm=MILLION)
@example(charged=10, cost=11, ppm=MILLION)
@example(charged=10, cost=4, ppm=MILLION)
@example(charged=0, cost=0, ppm=0)
def test_the_parts_add_up(charged, cost, ppm):
    parts = divide(charged, cost_nanos=cost, fee_ppm=ppm)
    assert parts.cost + parts.fee + parts.earned == charged
    assert parts.cost == cost
    assert 0 <= parts.fee <= charged * ppm // MILLION
    assert (parts.earned < 0) == (cost > charged)
    assert parts.fee == charged * ppm // MILLION or parts.earned <= 0


@hypothesis_settings(max_examples=60)
@given(charged=NANOS, cost=NANOS, ppm=st.integers(0, MILLION))
@example(charged=AMOUNT_NANOS_MAX, cost=0, ppm=MILLION)
@example(charged=10, cost=11, ppm=MILLION)
def test_the_database_divides_in_the_same_way(charged, cost, ppm):
    with psycopg.connect(settings.DATABASE_OWNER_URL) as connection:
        query = "SELECT * FROM billing_parts(%s, %s, %s)"
        booked = connection.execute(query, [charged, cost, ppm]).fetchone()
    parts = divide(charged, cost_nanos=cost, fee_ppm=ppm)
    assert booked == (parts.cost, parts.fee, parts.earned)


@pytest.fixture
def fee():
    """Sets the platform's fee; afterwards there is none again."""
    yield _set_fee
    _set_fee(0)


@pytest.fixture
async def stand():
    """A payer, and the person whose wallet of 10,000 pays for it."""
    return await sync_to_async(_stand)()


class TestCharges:
    async def test_the_operators_provider_is_paid_first(self, gate, stand, fee):
        await sync_to_async(fee)(50_000)
        _, payer = stand
        booked = await _settled(gate, payer, 1_000, cost=600, connection_id=OPERATOR)
        assert await _booked(booked) == {
            "wallet": -1_000,
            "provider_cost": 600,
            "platform_fee": 50,
            "earnings_pending": 350,
        }
        split = await Split.objects.aget(pk=booked.transaction_id)
        newest = await PlatformFee.objects.order_by("-number").afirst()
        assert (split.cost, split.fee, split.earned) == (600, 50, 350)
        assert (split.fee_number, split.fee_ppm, split.built_in) == (newest.number, 50_000, True)

    async def test_a_developer_who_pays_the_provider_gets_its_share(self, gate, stand, fee):
        await sync_to_async(fee)(50_000)
        booked = await _settled(gate, stand[1], 1_000, cost=600)
        assert await _booked(booked) == {
            "wallet": -1_000,
            "platform_fee": 50,
            "earnings_pending": 950,
        }

    async def test_without_a_fee(self, gate, stand, fee):
        await sync_to_async(fee)(0)
        booked = await _settled(gate, stand[1], 1_000, cost=600)
        assert await _booked(booked) == {"wallet": -1_000, "earnings_pending": 1_000}

    async def test_a_cost_above_the_charge_is_the_developers(self, gate, stand, fee):
        await sync_to_async(fee)(MILLION)
        booked = await _settled(gate, stand[1], 1_000, cost=1_300, connection_id=OPERATOR)
        assert await _booked(booked) == {
            "wallet": -1_000,
            "provider_cost": 1_300,
            "earnings_pending": -300,
        }

    async def test_the_fee_is_that_of_the_beginning(self, gate, stand, fee):
        await sync_to_async(fee)(100_000)
        asked = ask(stand[1], 1_000)
        await gate.reserve(asked)
        await sync_to_async(fee)(500_000)
        await gate.settle(bill(asked, 1_000))
        charge = await Charge.objects.aget(request_id=asked.request_id)
        assert (await _booked(charge))["platform_fee"] == 100

    async def test_a_batch_is_divided_one_by_one(self, gate, stand, fee):
        await sync_to_async(fee)(300_000)
        asks = [ask(stand[1], 100) for _ in range(9)]
        await gather(gate.reserve(each) for each in asks)
        await gather(
            gate.settle(bill(each, n + 1, provider_cost_nanos=n, connection_id=OPERATOR))
            for n, each in enumerate(asks)
        )
        for n, each in enumerate(asks):
            split = await Split.objects.aget(
                pk=(await Charge.objects.aget(request_id=each.request_id)).pk
            )
            parts = divide(n + 1, cost_nanos=n, fee_ppm=300_000)
            assert (split.cost, split.fee, split.earned) == (parts.cost, parts.fee, parts.earned)

    async def test_manual_charges_cost_no_provider(self, gate, stand, fee):
        await sync_to_async(fee)(333_333)
        person, payer = stand
        done = await gate.charge(
            payer,
            transaction_id=ids.uuid7(),
            amount_nanos=10,
            key=None,
            fingerprint=None,
            metadata={"why": "seat"},
        )
        booked = await Charge.objects.aget(pk=done.transaction_id)
        assert await _booked(booked) == {"wallet": -10, "platform_fee": 3, "earnings_pending": 7}
        split = await Split.objects.aget(pk=done.transaction_id)
        grant = await Grant.objects.aget(person=person)
        assert split.grant_id == grant.pk

    async def test_a_charge_by_hand_too(self, stand, fee):
        await sync_to_async(fee)(100_000)
        _, payer = stand
        paywall = await Paywall.objects.aget(pk=payer.paywall_id)
        done = await sync_to_async(movements.charge)(paywall, payer.user, 10, WHY)
        booked = await Charge.objects.aget(pk=done.transaction_id)
        assert await _booked(booked) == {"wallet": -10, "platform_fee": 1, "earnings_pending": 9}

    async def test_the_reapers_charges_are_divided_too(self, gate, stand, fee, owner):
        await sync_to_async(fee)(100_000)
        asked = ask(stand[1], 300, facts={"model": "m", "connection": OPERATOR, "streamed": True})
        await gate.reserve(asked)
        progress = Progress(charge_nanos=120, provider_cost_nanos=60, delivered=True, usage={})
        gate.track(asked.request_id, lambda: progress)
        await gate.renew()
        assert lapse_and_reap(owner, asked.request_id) == {asked.request_id}
        booked = await Charge.objects.aget(request_id=asked.request_id)
        assert await _booked(booked) == {
            "wallet": -120,
            "provider_cost": 60,
            "platform_fee": 12,
            "earnings_pending": 48,
        }

    @pytest.mark.parametrize("times", [1, 3])
    async def test_it_goes_to_the_teams_earnings_or_nowhere(self, gate, stand, times):
        _, payer = stand
        other = await sync_to_async(shared_payer)()
        asks = [ask(payer, 10) for _ in range(times)]
        for each in asks:
            await gate.reserve(each)
        gate._earning[payer.paywall_id, True] = await gate._know_earning(other)
        answers = await asyncio.gather(
            *(gate.settle(bill(each, 5)) for each in asks), return_exceptions=True
        )
        assert [getattr(each, "sqlstate", None) for each in answers] == ["PW004"] * times


class TestRefunds:
    @pytest.mark.parametrize("parts", [[1_000], [333, 333, 334], [1, 998, 1]])
    async def test_all_refunds_together_give_the_fee_back(self, gate, stand, fee, parts):
        await sync_to_async(fee)(70_000)
        person, payer = stand
        booked = await _settled(gate, payer, 1_000, cost=600, connection_id=OPERATOR)
        for nanos in parts:
            await sync_to_async(movements.refund)(booked.transaction_id, nanos, WHY)
        assert await _balances(payer) == {"platform_fee": -70, "earnings_pending": -930}
        wallet = await Account.objects.aget(kind="wallet", owner=person.pk)
        assert wallet.posted == 10_000

    async def test_they_never_pass_the_charge(self, gate, stand):
        booked = await _settled(gate, stand[1], 1_000, cost=0)
        await sync_to_async(movements.refund)(booked.transaction_id, 600, WHY)
        with pytest.raises(RefundTooLargeError):
            await sync_to_async(movements.refund)(booked.transaction_id, 401, WHY)


class TestFees:
    @transaction.atomic
    def test_they_begin_now_or_later(self):
        with pytest.raises(InvalidRequestError):
            fees.set_fee(1, valid_from=clock.now() - dt.timedelta(seconds=5), actor="tests")
        with pytest.raises(InvalidRequestError):
            fees.set_fee(MILLION + 1, actor="tests")

    def test_a_coming_fee_is_not_in_force(self):
        with transaction.atomic():
            coming = fees.set_fee(
                77, valid_from=clock.now() + dt.timedelta(days=9_999), actor="tests"
            )
        found = fees.fee_in_force()
        assert found is None or found.number != coming.number


def _set_fee(ppm):
    with transaction.atomic():
        fees.set_fee(ppm, actor="command:tests")


def _stand():
    person, payer = make_person(), shared_payer()
    give(person, 10_000)
    allow(person, payer)
    return person, payer


async def _settled(gate, payer, charge, *, cost, **more):
    asked = ask(payer, charge)
    await gate.reserve(asked)
    await gate.settle(bill(asked, charge, provider_cost_nanos=cost, **more))
    return await Charge.objects.aget(request_id=asked.request_id)


async def _booked(charge):
    """What each kind of account got of a charge's transaction."""
    rows = Entry.objects.filter(transaction_id=charge.pk).values("account__kind")
    found = rows.annotate(nanos=Sum("amount"))
    return {row["account__kind"]: row["nanos"] async for row in found}


async def _balances(payer):
    """What refunds of this paywall took from each kind of account but the wallet."""
    charges = Charge.objects.filter(paywall_id=payer.paywall_id).values("pk")
    rows = Entry.objects.filter(transaction__reverses__in=charges).exclude(account__kind="wallet")
    found = rows.values("account__kind").annotate(nanos=Sum("amount"))
    return {row["account__kind"]: row["nanos"] async for row in found}


async def gather(calls):
    return await asyncio.gather(*calls)
