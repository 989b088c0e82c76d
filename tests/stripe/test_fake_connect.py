"""Connected accounts, transfers and payouts of the stand-in."""

from typing import Any

import httpx
import pytest
import stripe

from tests.stripe.conftest import Shop
from tests.stripe.sink import Sink


def connected(shop: Shop) -> str:
    account = shop.v1.accounts.create(
        params={"type": "express", "capabilities": {"transfers": {"requested": True}}}
    )
    return str(account.id)


def funded(shop: Shop, amount: int = 10_000) -> None:
    shop.v1.payment_intents.create(
        params={
            "amount": amount,
            "currency": "usd",
            "payment_method": "pm_card_bypassPending",
            "confirm": True,
        }
    )


def transfer(shop: Shop, account: str, amount: int = 1000) -> Any:
    return shop.v1.transfers.create(
        params={"amount": amount, "currency": "usd", "destination": account}
    )


def test_onboarding_goes_over_a_page_that_works_once(shop: Shop) -> None:
    account = connected(shop)
    link = shop.v1.account_links.create(
        params={
            "account": account,
            "type": "account_onboarding",
            "return_url": "https://shop.test/back",
            "refresh_url": "https://shop.test/again",
        }
    )
    assert not shop.v1.accounts.retrieve(account).details_submitted
    answer = httpx.post(link.url, data={"action": "finish"}, trust_env=False)
    assert answer.headers["location"] == "https://shop.test/back"
    ready = shop.v1.accounts.retrieve(account)
    assert (ready.details_submitted, ready.payouts_enabled) == (True, True)
    shop.later(minutes=6)
    stale = httpx.get(link.url, trust_env=False)
    assert stale.headers["location"] == "https://shop.test/again"


def test_money_needs_an_onboarded_account_and_a_balance(shop: Shop) -> None:
    account = connected(shop)
    with pytest.raises(stripe.InvalidRequestError, match="capability"):
        transfer(shop, account)
    shop.fake.test("accounts", account, "onboard")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        transfer(shop, account)
    assert refused.value.code == "balance_insufficient"
    funded(shop)
    assert transfer(shop, account).amount == 1000


def test_a_transfer_is_reversed_in_parts_and_the_rest_paid_out(shop: Shop) -> None:
    account = connected(shop)
    shop.fake.test("accounts", account, "onboard")
    funded(shop)
    moved = transfer(shop, account)
    shop.v1.transfers.reversals.create(moved.id, params={"amount": 400})
    assert shop.v1.transfers.retrieve(moved.id).amount_reversed == 400
    with pytest.raises(stripe.InvalidRequestError, match="600 left"):
        shop.v1.transfers.reversals.create(moved.id, params={"amount": 601})
    options: stripe.RequestOptions = {"stripe_account": account}
    payout = shop.v1.payouts.create(params={"amount": 600, "currency": "usd"}, options=options)
    with pytest.raises(stripe.InvalidRequestError, match="insufficient"):
        shop.v1.payouts.create(params={"amount": 1, "currency": "usd"}, options=options)
    shop.later(days=2)
    assert shop.v1.payouts.retrieve(payout.id, options=options).status == "paid"
    shop.fake.test("payouts", payout.id, "fail")
    assert shop.v1.balance.retrieve(options=options).available[0].amount == 600


def test_a_connected_accounts_events_go_to_connect_endpoints(shop: Shop, sink: Sink) -> None:
    shop.v1.webhook_endpoints.create(
        params={"url": sink.url, "enabled_events": ["account.updated"], "connect": True}
    )
    account = connected(shop)
    shop.fake.test("accounts", account, "onboard")
    sink.wait(1)
    assert sink.arrivals[0].event["account"] == account


def test_an_account_of_nobody_is_out_of_reach(shop: Shop) -> None:
    with pytest.raises(stripe.PermissionError, match="does not have access to account"):
        shop.v1.balance.retrieve(options={"stripe_account": "acct_another"})
