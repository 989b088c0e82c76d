"""`/_test/…` for what happens to money afterwards: refunds, disputes, banks' answers, payouts."""

from typing import Any

from tests.fakes.stripe import connect, disputes, intents, methods, refunds, transfers
from tests.fakes.stripe.control import Control, Given, route
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import Thing


@route("POST", "/refunds")
async def make_refund(control: Control, _ids: dict[str, str], given: Given) -> Any:
    """As from Stripe's dashboard: `charge`, `payment_intent` or `session`, `amount`, `pending`."""
    desk, thing = control.desk(
        str(given.get("charge") or given.get("payment_intent") or given.get("session"))
    )
    charge = charge_of(desk, thing)
    return refunds.refund(
        desk, charge, given.get("amount"), pending=bool(given.get("pending", False))
    )


@route("POST", "/refunds/(?P<id>[^/]+)/(?P<outcome>succeed|fail)")
async def finish_refund(control: Control, ids: dict[str, str], _given: Given) -> Any:
    """A pending refund goes through, or any refund comes back."""
    desk, made = control.desk(ids["id"])
    refunds.settle(desk, made) if ids["outcome"] == "succeed" else refunds.fail(desk, made)
    return made


def charge_of(desk: Desk, thing: Thing) -> Thing:
    """The charge itself, or that of an intent or a session."""
    if thing["object"] == "checkout.session":
        thing = desk.realm.find("payment_intent", str(thing["payment_intent"]))
    if thing["object"] == "payment_intent":
        return desk.realm.find("charge", str(thing["latest_charge"]))
    return desk.realm.find("charge", thing["id"])


@route("POST", "/disputes/(?P<id>[^/]+)/(?P<moment>[a-z]+)")
async def move_dispute(control: Control, ids: dict[str, str], given: Given) -> Any:
    """open {"amount", "inquiry"}, withdraw, update, reinstate, win, lose, close; `id` is a charge,
    an intent or a session."""
    desk, thing = control.desk(ids["id"])
    charge = charge_of(desk, thing)
    moment = ids["moment"]
    if moment == "open":
        is_inquiry = bool(given.get("inquiry", False))
        return disputes.open_on(desk, charge, given.get("amount"), is_inquiry=is_inquiry)
    found = desk.realm.where("dispute", charge=charge["id"])
    if not found:
        raise ApiError(f"Nobody disputes {charge['id']}.")
    dispute = found[-1]
    endings = {"win": "won", "lose": "lost", "close": "warning_closed"}
    if moment in endings:
        return disputes.close(desk, dispute, endings[moment])
    steps = {
        "withdraw": disputes.withdraw,
        "update": disputes.respond,
        "reinstate": disputes.reinstate,
    }
    if moment not in steps:
        raise ApiError(f"A dispute has no moment {moment}.")
    return steps[moment](desk, dispute)


@route("POST", "/fraud_warnings/(?P<id>[^/]+)")
async def warn(control: Control, ids: dict[str, str], _given: Given) -> Any:
    """An early fraud warning about a charge, an intent's or a session's."""
    desk, thing = control.desk(ids["id"])
    return disputes.warn(desk, charge_of(desk, thing))


@route("POST", "/intents/(?P<id>[^/]+)/(?P<answer>approve|refuse)")
async def answer_bank(control: Control, ids: dict[str, str], _given: Given) -> Any:
    """The customer answers the bank's question."""
    desk, intent = control.desk(ids["id"])
    intents.answer(desk, intent, approves=ids["answer"] == "approve")
    return intent


@route("POST", "/accounts/(?P<id>[^/]+)/onboard")
async def onboard(control: Control, ids: dict[str, str], _given: Given) -> Any:
    """A connected account answers all of Stripe's questions."""
    desk, account = control.desk(ids["id"])
    realm = control.world.realm(account["id"], livemode=desk.livemode)
    connect.onboard(Desk(control.world, realm), account)
    return account


@route("POST", "/payouts/(?P<id>[^/]+)/(?P<outcome>arrive|fail)")
async def finish_payout(control: Control, ids: dict[str, str], _given: Given) -> Any:
    desk, payout = control.desk(ids["id"])
    ending = {"arrive": transfers.arrive, "fail": transfers.fail}[ids["outcome"]]
    ending(desk, payout)
    return payout


@route("POST", "/customers/(?P<id>[^/]+)/card")
async def spoil_card(control: Control, ids: dict[str, str], given: Given) -> Any:
    """From now on all that the customer pays with behaves like {"card": "chargeCustomerFail"}."""
    desk, customer = control.desk(ids["id"])
    for method in desk.realm.where("payment_method", customer=customer["id"]):
        method["_behaviour"] = methods.CARDS[str(given["card"])]
    return customer
