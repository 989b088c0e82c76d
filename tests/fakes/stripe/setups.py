"""Setup intents: a way to pay is kept without paying now."""

from typing import Any

from tests.fakes.stripe import intents, lists, methods
from tests.fakes.stripe.errors import CardError
from tests.fakes.stripe.events import change, emit
from tests.fakes.stripe.expand import public
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

PATH = "/v1/setup_intents"


def new(desk: Desk, **given: Any) -> Thing:
    intent_id = new_id("seti_1")
    intent = {
        "id": intent_id,
        "object": "setup_intent",
        **nulls("application automatic_payment_methods cancellation_reason customer description"),
        "client_secret": f"{intent_id}_secret_{new_id('')}",
        "created": desk.now,
        "flow_directions": None,
        **nulls("last_setup_error latest_attempt mandate next_action on_behalf_of"),
        "livemode": desk.livemode,
        "metadata": {},
        **nulls("payment_method payment_method_configuration_details single_use_mandate"),
        "payment_method_options": {
            "card": {**nulls("mandate_options network"), "request_three_d_secure": "automatic"}
        },
        "payment_method_types": ["card"],
        "status": intents.NEEDS_METHOD,
        "usage": "off_session",
        **given,
    }
    desk.realm.add(intent)
    emit(desk, "setup_intent.created", intent)
    return intent


def confirm_with(desk: Desk, intent: Thing, method: Thing, *, is_present: bool) -> None:
    """Keep the method, unless its bank says no at once."""
    behaviour = method["_behaviour"]
    if behaviour in intents.DECLINES and behaviour != "attach_then_decline":
        code, decline_code, message = intents.DECLINES[behaviour]
        error = {"code": code, "decline_code": decline_code, "message": message}
        error |= {"type": "card_error", "payment_method": public(method)}
        change(desk, "setup_intent.setup_failed", intent, last_setup_error=error)
        return
    if behaviour == "requires_action" and not is_present:
        page = f"{desk.world.base_url}/c/authenticate/{intent['id']}"
        redirect = {"url": page, "return_url": None}
        action = {"type": "redirect_to_url", "redirect_to_url": redirect}
        intent |= {"status": intents.ACTION, "payment_method": method["id"], "next_action": action}
        emit(desk, "setup_intent.requires_action", intent)
        return
    if intent["customer"]:
        methods.attach(desk, method["id"], desk.realm.find("customer", intent["customer"]))
    intent |= {"status": "succeeded", "payment_method": method["id"], "next_action": None}
    emit(desk, "setup_intent.succeeded", intent)


@api("POST", PATH, params="SetupIntentCreateParams", permission="setup_intent")
def create(call: Call) -> Thing:
    given = call.params
    intent = new(
        call,
        customer=given.get("customer"),
        description=given.get("description"),
        metadata=merged({}, given.get("metadata")),
        usage=given.get("usage", "off_session"),
    )
    if "payment_method" in given:
        method = methods.known(call, given["payment_method"])
        intent |= {"payment_method": method["id"], "status": intents.CONFIRM}
    if given.get("confirm"):
        return confirm(call, intent)
    return intent


def confirm(call: Call, intent: Thing) -> Thing:
    """Raises: CardError"""
    method = methods.known(call, str(intent["payment_method"]))
    confirm_with(call, intent, method, is_present=False)
    if error := intent["last_setup_error"]:
        raise CardError(error["message"], code=error["code"], setup_intent=public(intent))
    return intent


@api("POST", PATH + "/{id}/confirm", params="SetupIntentConfirmParams", permission="setup_intent")
def confirm_one(call: Call) -> Thing:
    intent = show(call)
    if "payment_method" in call.params:
        method = methods.known(call, call.params["payment_method"])
        intent["payment_method"] = method["id"]
    return confirm(call, intent)


@api("GET", PATH, params="SetupIntentListParams", permission="setup_intent")
def show_all(call: Call) -> Thing:
    filters = ("customer", "payment_method")
    return lists.page(call, call.realm.all("setup_intent"), url=PATH, filters=filters)


@api("GET", PATH + "/{id}", params="SetupIntentRetrieveParams", permission="setup_intent")
def show(call: Call) -> Thing:
    return call.realm.find("setup_intent", call.ids["id"], param="intent")
