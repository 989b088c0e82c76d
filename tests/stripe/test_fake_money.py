"""Refunds, disputes, saved cards of the stand-in."""

from typing import Any

import pytest
import stripe

from tests.stripe.conftest import Shop


def test_refunds_in_parts_then_one_fails_and_comes_back(shop: Shop) -> None:
    session = shop.paid()
    intent = session["payment_intent"]
    first = shop.v1.refunds.create(params={"payment_intent": intent, "amount": 300})
    shop.v1.refunds.create(params={"payment_intent": intent, "amount": 200})
    shop.fake.test("refunds", session=session["id"], amount=500)
    assert (shop.charge(session).amount_refunded, shop.charge(session).refunded) == (1000, True)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.v1.refunds.create(params={"payment_intent": intent, "amount": 1})
    assert refused.value.code == "charge_already_refunded"
    shop.fake.test("refunds", first.id, "fail")
    charge = shop.charge(session)
    assert (charge.amount_refunded, charge.refunded) == (700, False)
    failed = shop.v1.refunds.retrieve(first.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert shop.types(session["id"]).count("charge.refunded") == 3
    assert shop.types(session["id"])[-1] == "refund.failed"


def test_a_pending_refund_goes_through_later(shop: Shop) -> None:
    session = shop.paid()
    made = shop.fake.test("refunds", session=session["id"], pending=True)
    assert (made["status"], made["pending_reason"]) == ("pending", "processing")
    done = shop.fake.test("refunds", made["id"], "succeed")
    assert done["status"] == "succeeded"
    assert "pending_reason" not in done


def test_a_dispute_has_five_moments(shop: Shop) -> None:
    session = shop.paid()
    for moment in ("open", "withdraw", "update", "win"):
        shop.fake.test("disputes", session["id"], moment)
    (dispute,) = shop.v1.disputes.list(params={"payment_intent": session["payment_intent"]}).data
    assert (dispute.status, shop.charge(session).disputed) == ("won", True)
    assert [movement.amount for movement in dispute.balance_transactions] == [-1000, 1000]
    assert [kind for kind in shop.types(session["id"]) if "dispute" in kind] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ]
    with pytest.raises(AssertionError, match="won already"):
        shop.fake.test("disputes", session["id"], "lose")


def test_a_lost_dispute_keeps_the_money_and_stops_refunds(shop: Shop) -> None:
    session = shop.paid()
    shop.fake.test("disputes", session["id"], "open")
    shop.fake.test("disputes", session["id"], "withdraw")
    dispute = shop.fake.test("disputes", session["id"], "lose")
    assert (dispute["status"], len(dispute["balance_transactions"])) == ("lost", 1)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.v1.refunds.create(params={"payment_intent": session["payment_intent"]})
    assert refused.value.code == "charge_disputed"


def test_an_inquiry_and_a_warning_move_no_money(shop: Shop) -> None:
    session = shop.paid()
    shop.fake.test("fraud_warnings", session["id"])
    shop.fake.test("disputes", session["id"], "open", inquiry=True)
    dispute = shop.fake.test("disputes", session["id"], "close")
    assert (dispute["status"], dispute["balance_transactions"]) == ("warning_closed", [])
    charge = shop.charge(session)
    (warning,) = shop.v1.radar.early_fraud_warnings.list(params={"charge": charge.id}).data
    assert warning.actionable


@pytest.mark.parametrize(
    ("card", "brings"),
    [
        ("createDispute", "charge.dispute.funds_withdrawn"),
        ("createDisputeInquiry", "charge.dispute.created"),
        ("createIssuerFraudRecord", "radar.early_fraud_warning.created"),
    ],
)
def test_some_test_cards_bring_trouble(shop: Shop, card: str, brings: str) -> None:
    session = shop.finish(shop.session(), card=card)
    assert session["payment_status"] == "paid"
    assert brings in shop.types(session["id"])


def saved(shop: Shop) -> tuple[str, str]:
    """A customer and their card."""
    session = shop.paid(payment_intent_data={"setup_future_usage": "off_session"})
    customer = session["customer"]
    return customer, shop.v1.customers.payment_methods.list(customer).data[0].id


def off_session(shop: Shop, customer: str, card: str, key: str = "") -> Any:
    options: stripe.RequestOptions = {"idempotency_key": key} if key else {}
    return shop.v1.payment_intents.create(
        params={
            "amount": 700,
            "currency": "usd",
            "customer": customer,
            "payment_method": card,
            "off_session": True,
            "confirm": True,
        },
        options=options,
    )


def test_a_kept_card_pays_without_its_owner(shop: Shop) -> None:
    customer, card = saved(shop)
    intent = off_session(shop, customer, card)
    assert (intent.status, intent.amount_received) == ("succeeded", 700)


@pytest.mark.parametrize(
    ("behaves_like", "code", "decline_code"),
    [
        ("chargeCustomerFail", "card_declined", "generic_decline"),
        ("chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("authenticationRequired", "authentication_required", "authentication_required"),
    ],
)
def test_a_kept_card_may_be_declined(
    shop: Shop, behaves_like: str, code: str, decline_code: str
) -> None:
    customer, card = saved(shop)
    shop.fake.test("customers", customer, "card", card=behaves_like)
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refused:
            off_session(shop, customer, card, "topup:1")
        error = refused.value.error
        assert error is not None
        assert (error.code, error.decline_code) == (code, decline_code)
        assert error.payment_intent is not None
        assert error.payment_intent.status == "requires_payment_method"
    assert len(shop.v1.payment_intents.list(params={"customer": customer}).data) == 2


@pytest.mark.parametrize(
    ("answer", "status"), [("approve", "succeeded"), ("refuse", "requires_payment_method")]
)
def test_the_bank_may_ask_somebody_who_is_there(shop: Shop, answer: str, status: str) -> None:
    intent = shop.v1.payment_intents.create(
        params={
            "amount": 700,
            "currency": "usd",
            "payment_method": "pm_card_authenticationRequired",
            "confirm": True,
            "return_url": "https://shop.test/back",
        }
    )
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    shop.fake.test("intents", intent.id, answer)
    assert shop.v1.payment_intents.retrieve(intent.id).status == status


def test_another_customers_card_is_refused(shop: Shop) -> None:
    _, card = saved(shop)
    other, _ = saved(shop)
    with pytest.raises(stripe.InvalidRequestError, match="another customer"):
        off_session(shop, other, card)


def test_the_balance_adds_up(shop: Shop) -> None:
    session = shop.paid(10_000)
    shop.v1.refunds.create(params={"payment_intent": session["payment_intent"], "amount": 1000})
    movements = shop.v1.balance_transactions.list().data
    assert sum(movement.net for movement in movements) == 10_000 - (290 + 30) - 1000
    assert shop.v1.balance.retrieve().available[0].amount == 0
    shop.later(days=2)
    assert shop.v1.balance.retrieve().available[0].amount == 8680
