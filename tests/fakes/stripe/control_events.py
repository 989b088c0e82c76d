"""`/_test/events/…`: deliveries disturbed, repeated, forged, looked at."""

import time
from dataclasses import asdict
from typing import Any, Final

from tests.fakes.stripe.control import Control, Given, route
from tests.fakes.stripe.delivery import add, signature
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.events import emit
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.traffic import Traffic
from tests.fakes.stripe.world import Thing


@route("POST", "/events/(?P<how>delay|reorder|drop)")
async def disturb(control: Control, ids: dict[str, str], given: Given) -> Any:
    """From now on: delay {"seconds"} (without: until flush), reorder {"order": "reverse", "shuffle"
    or a list of types} (held until flush), drop {"count"} (without: all). All take `types`."""
    traffic = Traffic(types=given.get("types"))
    if ids["how"] == "drop":
        traffic.drops = int(given.get("count", 1_000_000))
    elif "seconds" in given:
        traffic.delay_s = int(given["seconds"])
    else:
        traffic.holds, traffic.order = True, given.get("order", "created")
        if ids["how"] == "reorder":
            traffic.order = given.get("order", "reverse")
    control.world.traffic = traffic
    return asdict(traffic)


@route("POST", "/events/flush")
async def flush(control: Control, _ids: dict[str, str], _given: Given) -> Any:
    """Send what is held, one after the other in its order, and disturb nothing from now on."""
    held = [each for each in control.world.deliveries.values() if each["state"] == "held"]
    ordered = control.world.traffic.sorted(held)
    control.world.traffic = Traffic()
    for delivery in ordered:
        await control.dispatcher.start(delivery)
    return {"deliveries": ordered}


@route("POST", "/events/replay")
async def replay(control: Control, _ids: dict[str, str], given: Given) -> Any:
    """Send again: {"event": id} or all of {"session": id} (or any object), `times` at once."""
    chosen = str(given.get("event") or given.get("session") or given.get("object"))
    desk, thing = control.desk(chosen)
    events = [thing] if thing["object"] == "event" else about(desk, thing)
    sent = []
    for event in events:
        wanting = {
            each["endpoint"]
            for each in control.world.deliveries.values()
            if each["event"] == event["id"]
        }
        for endpoint_id in wanting:
            if endpoint := control.world.find_endpoint(endpoint_id):
                sent += [
                    add(control.world, desk.realm, event, endpoint)
                    for _ in range(int(given.get("times", 1)))
                ]
    control.dispatcher.start_due()
    await control.dispatcher.settled()
    return {"deliveries": sent}


def about(desk: Desk, thing: Thing) -> list[Thing]:
    """The events of an object and of what belongs to the same payment."""
    names = ("payment_intent", "invoice", "subscription", "setup_intent", "latest_charge")
    ids = {thing["id"], *(thing[name] for name in names if thing.get(name))}
    found = []
    for event in desk.realm.all("event"):
        shown = event["data"]["object"]
        if shown["id"] in ids or ids & {shown.get(name) for name in names if shown.get(name)}:
            found.append(event)
    return found


@route("GET", "/events/about/(?P<id>[^/]+)")
async def show_events(control: Control, ids: dict[str, str], _given: Given) -> Any:
    """The events of an object and of what belongs to the same payment, oldest first."""
    desk, thing = control.desk(ids["id"])
    return {"events": about(desk, thing)}


@route("POST", "/events/emit")
async def emit_event(control: Control, _ids: dict[str, str], given: Given) -> Any:
    """An event of any `type` about `object` (an id), with `changes` to what it says of it."""
    desk, thing = control.desk(str(given["object"]))
    return emit(desk, str(given["type"]), {**thing, **given.get("changes", {})})


FORGERIES: Final = ("none", "garbage", "old", "future", "other_secret", "unsigned_version")
"""none: no header; old, future: an hour off; unsigned_version: `v0` alone."""


@route("POST", "/events/(?P<id>[^/]+)/forge")
async def forge(control: Control, ids: dict[str, str], given: Given) -> Any:
    """Send the event to every endpoint that wants it with {"kind": one of FORGERIES}; answers with
    the statuses."""
    kind = str(given.get("kind"))
    if kind not in FORGERIES:
        raise ApiError(f"Invalid kind: must be one of {', '.join(FORGERIES)}", param="kind")
    statuses = []
    for delivery in list(control.world.deliveries.values()):
        endpoint = control.world.find_endpoint(delivery["endpoint"])
        if delivery["event"] == ids["id"] and endpoint:
            body = control.dispatcher.body(delivery)
            header = forged(kind, body, endpoint["_secret"])
            statuses.append(await control.dispatcher.post(endpoint["url"], body, header))
    return {"statuses": statuses}


def forged(kind: str, body: bytes, secret: str) -> str:
    """A `Stripe-Signature` that must not be believed; empty for none at all."""
    now = int(time.time())
    return {
        "none": "",
        "garbage": "t=abc,v1=zzz",
        "old": signature(body, secret, now - 3600),
        "future": signature(body, secret, now + 3600),
        "other_secret": signature(body, "whsec_another"),
        "unsigned_version": signature(body, secret).replace(",v1=", ",v0="),
    }[kind]


@route("POST", "/endpoints/(?P<id>[^/]+)/send")
async def send_raw(control: Control, ids: dict[str, str], given: Given) -> Any:
    """Any {"body"} (text), signed as this endpoint's, such as an event of another API."""
    _, endpoint = control.desk(ids["id"])
    body = str(given["body"]).encode()
    signed = signature(body, endpoint["_secret"])
    return {"status": await control.dispatcher.post(endpoint["url"], body, signed)}


@route("GET", "/deliveries")
async def show_deliveries(control: Control, _ids: dict[str, str], _given: Given) -> Any:
    """Every delivery with its state and the statuses that came back (0: no answer)."""
    return {"deliveries": list(control.world.deliveries.values())}


@route("GET", "/events/(?P<id>[^/]+)/signed")
async def sign_event(control: Control, ids: dict[str, str], _given: Given) -> Any:
    """What each endpoint that wants the event is sent: `url`, `body`, `signature`, made now."""
    signed = []
    for delivery in control.world.deliveries.values():
        endpoint = control.world.find_endpoint(delivery["endpoint"])
        if delivery["event"] == ids["id"] and endpoint:
            body = control.dispatcher.body(delivery)
            header = signature(body, endpoint["_secret"])
            signed.append({"url": endpoint["url"], "body": body.decode(), "signature": header})
    return {"signed": signed}
