"""Events: what happened, for the list of events and for the endpoints that want to hear of it."""

from typing import Any

from stripe._api_version import _ApiVersion

from tests.fakes.stripe import lists
from tests.fakes.stripe.delivery import plan
from tests.fakes.stripe.expand import public
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

API_VERSION = _ApiVersion.CURRENT
KEPT_S = 30 * 86_400
"""How far back the list of events goes."""


def emit(desk: Desk, kind: str, thing: Thing, previous: dict[str, Any] | None = None) -> Thing:
    """Write down that `kind` happened to `thing`, as it is now, and send it on its way.

    previous: for `….updated`, what the changed attributes were.
    """
    data: dict[str, Any] = {"object": public(thing)}
    if previous is not None:
        data["previous_attributes"] = public(previous)
    event = {
        "id": new_id("evt_1"),
        "object": "event",
        "api_version": API_VERSION,
        "created": desk.now,
        "data": data,
        "livemode": desk.livemode,
        "pending_webhooks": 0,
        "request": {"id": desk.request_id, "idempotency_key": desk.idempotency_key},
        "type": kind,
    }
    if desk.realm.platform:
        event["account"] = desk.realm.account
    desk.realm.add(event)
    event["pending_webhooks"] = plan(desk.world, desk.realm, event)
    return event


def change(desk: Desk, kind: str | None, thing: Thing, /, **values: Any) -> dict[str, Any]:
    """Set attributes and, with `kind`, emit it with what they were; returns what they were."""
    previous = {name: thing.get(name) for name, value in values.items() if thing.get(name) != value}
    thing.update(values)
    if kind is not None and previous:
        emit(desk, kind, thing, previous)
    return previous


@api("GET", "/v1/events", params="EventListParams", permission="event")
def show_all(call: Call) -> Thing:
    oldest = call.now - KEPT_S
    wanted = call.params.get("types")
    found = [
        event
        for event in call.realm.all("event")
        if event["created"] >= oldest and (not wanted or event["type"] in wanted)
    ]
    if "delivery_success" in call.params:
        undelivered = {
            delivery["event"]
            for delivery in call.world.deliveries.values()
            if delivery["state"] != "done"
        }
        wants_success = call.params["delivery_success"]
        found = [event for event in found if (event["id"] not in undelivered) == wants_success]
    return lists.page(call, found, url="/v1/events", filters=("type",))


@api("GET", "/v1/events/{id}", params="EventRetrieveParams", permission="event")
def show(call: Call) -> Thing:
    return call.realm.find("event", call.ids["id"])
