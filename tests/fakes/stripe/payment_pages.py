"""What the official CLI uses instead of a browser: the page of a session, and its Pay button.

Not a published API. Source: the requests of `stripe trigger checkout.session.completed`.
"""

from tests.fakes.stripe import methods, outcomes
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.routes import Call, api
from tests.fakes.stripe.world import Thing

PATH = "/v1/payment_pages/{id}"


@api("GET", PATH, params=None, permission="checkout_session")
def show(call: Call) -> Thing:
    session = call.realm.find("checkout.session", call.ids["id"])
    return {"id": session["id"], "object": "checkout.session", "session_id": session["id"]}


@api("POST", PATH + "/confirm", params=None, permission="checkout_session")
def confirm(call: Call) -> Thing:
    """Pay, if the amount is what the payer saw."""
    session = call.realm.find("checkout.session", call.ids["id"])
    if str(session["amount_total"]) != call.params.get("expected_amount"):
        raise ApiError("The amount has changed.", param="expected_amount")
    method = methods.known(call, call.params["payment_method"])
    return outcomes.pay(call, session, method)
