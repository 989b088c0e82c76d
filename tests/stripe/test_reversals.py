import itertools
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from billing import movements
from billing.errors import InsufficientFundsError
from billing.invariants import BILLING
from billing.movements import Reason
from billing.stripe import amounts, checkout, fulfil, orders, reversals
from billing.stripe.catalog import Pack
from billing.stripe.models import Order, Reversal
from config.kit.errors import InvalidRequestError
from tests.factories import ACTOR
from tests.stripe.till import UNIT, Till
from tests.support.commands import refusal, run_json

WHY = Reason(actor=ACTOR, reason="tests")


def spend(till: Till, units: int) -> None:
    movements.charge(till.paywall, till.user.external_id, units * UNIT, WHY)


class TestRefunds:
    @pytest.mark.proves("F56", "T14")
    def test_three_parts_of_which_one_fails(self, till: Till):
        order = till.paid(10)
        made = [till.fake.test("refunds", session=order.session_id, amount=200) for _ in range(3)]
        till.hear(order)
        assert till.total == 4 * UNIT
        till.fake.test("refunds", made[1]["id"], "fail")
        till.hear(made[1]["id"])
        till.hear(order)
        assert till.total == 6 * UNIT
        booked = Reversal.objects.filter(order=order).order_by("created_at")
        assert sorted(row.booked_nanos for row in booked) == [0, 2 * UNIT, 2 * UNIT]

    def test_the_same_news_again_changes_nothing(self, till: Till):
        order = till.paid(10)
        till.fake.test("refunds", session=order.session_id, amount=250)
        for _ in range(3):
            till.hear(order)
        assert till.total == 7 * UNIT + UNIT // 2

    @pytest.mark.proves("F56", "T14")
    def test_what_is_spent_becomes_a_debt_that_the_next_payment_pays(self, till: Till):
        order = till.paid(10)
        spend(till, 8)
        till.fake.test("refunds", session=order.session_id)
        till.hear(order)
        assert (till.wallet.posted, till.wallet.owed) == (0, 8 * UNIT)
        with pytest.raises(InsufficientFundsError):
            spend(till, 1)
        till.paid(20)
        assert (till.wallet.posted, till.wallet.owed) == (12 * UNIT, 0)

    @pytest.mark.proves("F50", "T11")
    def test_a_refund_that_is_heard_of_before_its_payment(self, till: Till):
        order = till.order()
        till.pay(order)
        refund = till.fake.test("refunds", session=order.session_id, amount=400)
        (event,) = [e for e in till.news(refund["id"]) if e["type"] == "refund.created"]
        till.hear_one(event["id"])
        assert till.posted == 0
        waiting = Reversal.objects.get(object_id=refund["id"])
        assert (waiting.order_id, waiting.booked_nanos) == (order.pk, 0)
        till.hear(order)
        assert till.total == 6 * UNIT

    def test_a_packs_bonus_goes_as_well(self, till: Till):
        pack = Pack.objects.create(
            paywall=till.paywall,
            name="Big",
            price_minor=900,
            currency="USD",
            credit_nanos=10 * UNIT,
            bonus_nanos=2 * UNIT,
        )
        order = checkout.click(till.user, orders.pack(pack))
        till.pay(order)
        till.hear(order)
        for amount in (300, 300, 300):
            till.fake.test("refunds", session=order.session_id, amount=amount)
            till.hear(order)
        assert (till.wallet.posted, till.wallet.owed) == (0, 0)

    def test_refunds_of_the_developers_other_business_are_none_of_ours(self, till: Till):
        refund = till.fake.test("refunds", session=till.foreign())
        assert {each.state for each in till.hear(refund["id"]) if each} == {"ignored"}
        assert not Reversal.objects.filter(object_id=refund["id"]).exists()


class TestOurRefund:
    def test_it_goes_to_the_original_payment_and_takes_the_credit(self, till: Till):
        order = till.paid(10)
        facts = run_json("refund_topup", order.public_id, "4", "--actor", ACTOR)
        assert facts["amount_minor"] == 400
        assert till.total == 6 * UNIT
        till.hear(order)
        assert till.total == 6 * UNIT
        row = Reversal.objects.get(order=order)
        assert (row.requested_by, row.status) == (ACTOR, "succeeded")

    def test_all_that_is_left(self, till: Till):
        order = till.paid(10)
        run_json("refund_topup", order.public_id, "4", "--actor", ACTOR)
        run_json("refund_topup", order.public_id, "--actor", ACTOR)
        assert till.total == 0

    def test_the_same_reference_refunds_once(self, till: Till):
        order = till.paid(10)
        for _ in range(2):
            run_json("refund_topup", order.public_id, "2", "--ref", "a", "--actor", ACTOR)
            till.fake.test("clock", "advance", seconds=90_000)  # Stripe forgets keys in a day.
        assert till.total == 8 * UNIT

    def test_too_much_is_refused_in_stripes_words(self, till: Till):
        order = till.paid(10)
        said = refusal("refund_topup", order.public_id, "11", "--actor", ACTOR)
        assert "greater than unrefunded amount" in said
        assert till.total == 10 * UNIT

    def test_nothing_was_paid(self, till: Till):
        with pytest.raises(InvalidRequestError, match="Nothing was paid"):
            reversals.refund(till.order(), None, actor=ACTOR)

    def test_one_that_fails_gives_the_credit_back(self, till: Till):
        order = till.order()
        till.pay(order, card="refundFail")
        till.hear(order)
        refund = reversals.refund(till.again(order), None, actor=ACTOR)
        till.hear(refund.object_id)
        assert till.total == 10 * UNIT


class TestDisputes:
    @pytest.mark.proves("F56", "T14")
    def test_five_moments_that_end_well(self, till: Till):
        order = till.paid(10)
        after = []
        for moment in ("open", "withdraw", "update", "reinstate", "win"):
            till.fake.test("disputes", str(order.session_id), moment)
            till.hear(order)
            after.append(till.total // UNIT)
        assert after == [10, 0, 0, 10, 10]

    @pytest.mark.proves("F56", "T14")
    def test_lost_after_everything_was_spent(self, till: Till):
        order = till.paid(10)
        spend(till, 10)
        for moment in ("open", "withdraw", "lose"):
            till.fake.test("disputes", str(order.session_id), moment)
        till.hear(order)
        assert (till.wallet.posted, till.wallet.owed) == (0, 10 * UNIT)

    def test_an_inquiry_takes_nothing(self, till: Till):
        order = till.paid(10)
        till.fake.test("disputes", str(order.session_id), "open", inquiry=True)
        till.fake.test("disputes", str(order.session_id), "close")
        till.hear(order)
        assert till.total == 10 * UNIT

    @pytest.mark.proves("F50")
    def test_moments_in_any_order(self, till: Till):
        order = till.paid(10)
        for moment in ("open", "withdraw", "win"):
            till.fake.test("disputes", str(order.session_id), moment)
        events = [e["id"] for e in till.news(order) if "dispute" in e["type"]]
        for some in itertools.islice(itertools.permutations(events), 8):
            for event in some:
                till.hear_one(event)
            assert till.total == 10 * UNIT

    def test_a_refund_and_a_dispute_take_the_payment_once(self, till: Till):
        order = till.paid(10)
        till.fake.test("refunds", session=order.session_id, amount=600)
        till.fake.test("disputes", str(order.session_id), "open", amount=1000)
        till.fake.test("disputes", str(order.session_id), "withdraw")
        till.hear(order)
        assert till.total == 0

    def test_a_warning_is_noted(self, till: Till):
        order = till.paid(10)
        till.fake.test("fraud_warnings", str(order.session_id))
        till.hear(order)
        assert till.again(order).warned_at
        assert till.total == 10 * UNIT

    @pytest.mark.parametrize(
        ("moves", "status", "kept"),
        [
            ([], "needs_response", 0),
            ([-900], "needs_response", 1000),
            ([-900, 900], "under_review", 0),
            ([-900, 900, -900], "lost", 1000),
            ([-900, 450], "lost", 500),
            ([-900], "won", 0),
        ],
    )
    def test_what_a_dispute_keeps(self, moves, status, kept):
        movements_of = [{"amount": amount} for amount in moves]
        dispute = {"amount": 1000, "status": status, "balance_transactions": movements_of}
        assert reversals.withdrawn_minor(dispute) == kept


class TestShares:
    @given(
        st.integers(1, 10**15),
        st.lists(st.integers(0, 10**6), max_size=8),
        st.integers(1, 10**6),
    )
    def test_together_they_never_pass_the_credit_and_meet_it_at_the_whole(
        self, credit, parts, whole
    ):
        found = amounts.shares(credit, parts, whole)
        assert all(each >= 0 for each in found)
        assert sum(found) <= credit
        if sum(parts) >= whole:
            assert sum(found) == credit
        assert sum(found) * whole >= credit * min(sum(parts), whole)


@pytest.mark.proves("I21")
def test_the_books_notice_a_reversal_that_says_something_else(till: Till):
    query = next(each.query for each in BILLING if each.number == "I21")
    order = till.paid(10)
    fulfil.fulfil(order)
    till.fake.test("refunds", session=order.session_id, amount=100)
    till.hear(order)
    row = Reversal.objects.get(order=order)

    def broken() -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return {name for (name,) in cursor.fetchall()}

    assert row.object_id not in broken()
    Reversal.objects.filter(pk=row.pk).update(booked_nanos=1)
    assert row.object_id in broken()
    Reversal.objects.filter(pk=row.pk).update(booked_nanos=row.booked_nanos)


@pytest.mark.proves("I11")
@pytest.mark.parametrize("damage", [{"credit_nanos": 1}, {"transaction_id": None}])
def test_the_books_notice_an_order_without_its_topup(till: Till, damage):
    query = next(each.query for each in BILLING if each.number == "I11")
    order = till.paid(10)

    def broken() -> set[UUID]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return {row_id for (row_id,) in cursor.fetchall()}

    assert not {order.pk, order.transaction_id} & broken()
    Order.objects.filter(pk=order.pk).update(**damage)
    assert order.pk in broken()
    restored = {name: getattr(order, name) for name in damage}
    Order.objects.filter(pk=order.pk).update(**restored)
