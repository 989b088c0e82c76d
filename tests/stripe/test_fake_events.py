"""What the stand-in sends to endpoints, and how it is disturbed."""

import pytest
import stripe

from tests.stripe.conftest import Shop
from tests.stripe.sink import Sink

COMPLETED = "checkout.session.completed"


def test_deliveries_are_signed_with_the_endpoints_own_secret(shop: Shop, sink: Sink) -> None:
    endpoint = shop.listen(sink, COMPLETED)
    assert endpoint.secret is not None
    session = shop.paid()
    sink.wait(1)
    event = sink.arrivals[0].verified(endpoint.secret)
    assert (event.type, event.livemode, event.api_version) == (COMPLETED, False, stripe.api_version)
    assert event.data.object["id"] == session["id"]
    with pytest.raises(stripe.SignatureVerificationError):
        sink.arrivals[0].verified("whsec_another")
    assert "secret" not in shop.v1.webhook_endpoints.retrieve(endpoint.id)


def test_only_what_an_endpoint_wants_reaches_it(shop: Shop, sink: Sink) -> None:
    disabled = shop.listen(sink, "*")
    shop.v1.webhook_endpoints.update(disabled.id, params={"disabled": True})
    shop.listen(sink, "charge.refunded", COMPLETED)
    session = shop.paid()
    shop.fake.test("refunds", session=session["id"])
    sink.wait(2)
    assert sorted(sink.types) == ["charge.refunded", COMPLETED]


def test_a_failed_delivery_is_tried_again_three_times(shop: Shop, sink: Sink) -> None:
    sink.statuses = [500] * 10
    shop.listen(sink, COMPLETED)
    shop.paid()
    sink.wait(1)
    failed = shop.v1.events.list(params={"delivery_success": False, "type": COMPLETED})
    assert [event.pending_webhooks for event in failed.data] == [1]
    shop.later(days=4)
    assert len(sink.arrivals) == 4
    assert len({arrival.event["id"] for arrival in sink.arrivals}) == 1


def test_a_retry_that_is_taken_is_the_last(shop: Shop, sink: Sink) -> None:
    sink.statuses = [500, 0, 503]
    shop.listen(sink, COMPLETED)
    shop.paid()
    shop.later(days=4)
    assert len(sink.arrivals) == 4
    assert not shop.v1.events.list(params={"delivery_success": False, "type": COMPLETED}).data


def test_replays_repeat_the_same_event(shop: Shop, sink: Sink) -> None:
    shop.listen(sink, COMPLETED)
    session = shop.paid()
    sink.wait(1)
    shop.fake.test("events", "replay", session=session["id"], times=5)
    assert len(sink.arrivals) == 6
    assert len({arrival.body for arrival in sink.arrivals} | {b""}) <= 3
    assert len({arrival.event["id"] for arrival in sink.arrivals}) == 1


@pytest.mark.parametrize(
    ("order", "arrive"),
    [
        ("reverse", [COMPLETED, "payment_intent.succeeded", "charge.succeeded"]),
        (
            ["payment_intent.succeeded", COMPLETED, "charge.succeeded"],
            ["payment_intent.succeeded", COMPLETED, "charge.succeeded"],
        ),
    ],
)
def test_events_arrive_in_any_order(
    shop: Shop, sink: Sink, order: object, arrive: list[str]
) -> None:
    shop.listen(sink, COMPLETED, "payment_intent.succeeded", "charge.succeeded")
    shop.fake.test("events", "reorder", order=order)
    shop.paid()
    assert sink.arrivals == []
    shop.fake.test("events", "flush")
    assert sink.types == arrive


def test_a_delayed_event_comes_with_the_clock(shop: Shop, sink: Sink) -> None:
    shop.listen(sink, COMPLETED)
    shop.fake.test("events", "delay", seconds=3600)
    shop.paid()
    shop.later(minutes=59)
    assert sink.arrivals == []
    shop.later(minutes=1)
    assert sink.types == [COMPLETED]


def test_a_dropped_event_is_listed_as_undelivered(shop: Shop, sink: Sink) -> None:
    shop.listen(sink, COMPLETED)
    shop.fake.test("events", "drop", count=1)
    lost = shop.paid()
    found = shop.paid()
    sink.wait(1)
    shop.later(days=4)
    assert [arrival.event["data"]["object"]["id"] for arrival in sink.arrivals] == [found["id"]]
    missed = shop.v1.events.list(params={"delivery_success": False})
    assert [event.data.object["id"] for event in missed.data] == [lost["id"]]


def test_a_deleted_endpoint_hears_nothing_more(shop: Shop, sink: Sink) -> None:
    sink.statuses = [500]
    endpoint = shop.listen(sink, COMPLETED)
    shop.paid()
    sink.wait(1)
    shop.v1.webhook_endpoints.delete(endpoint.id)
    shop.paid()
    shop.later(days=1)
    assert len(sink.arrivals) == 1


@pytest.mark.parametrize("kind", ["none", "garbage", "old", "other_secret", "unsigned_version"])
def test_forgeries_do_not_verify(shop: Shop, sink: Sink, kind: str) -> None:
    endpoint = shop.listen(sink, COMPLETED)
    assert endpoint.secret is not None
    session = shop.paid()
    sink.wait(1)
    (event,) = [each for each in shop.fake.events(session["id"]) if each["type"] == COMPLETED]
    assert shop.fake.test("events", event["id"], "forge", kind=kind) == {"statuses": [200]}
    with pytest.raises(stripe.SignatureVerificationError):
        sink.arrivals[-1].verified(endpoint.secret)


def test_any_event_about_anything_can_be_sent(shop: Shop, sink: Sink) -> None:
    shop.listen(sink, "*")
    session = shop.session()
    shop.fake.test(
        "events", "emit", type="tomorrows.news", object=session.id, changes={"amount_total": None}
    )
    sink.wait(3)
    (event,) = [each.event for each in sink.arrivals if each.event["type"] == "tomorrows.news"]
    assert event["data"]["object"]["amount_total"] is None
    assert shop.v1.checkout.sessions.retrieve(session.id).amount_total == 1000


def test_any_text_can_be_sent_signed(shop: Shop, sink: Sink) -> None:
    endpoint = shop.listen(sink, COMPLETED)
    answer = shop.fake.test("endpoints", endpoint.id, "send", body='{"object": "v2.core.event"}')
    assert answer == {"status": 200}
    assert sink.arrivals[0].event["object"] == "v2.core.event"


def test_a_signed_copy_can_be_posted_by_hand(shop: Shop, sink: Sink) -> None:
    endpoint = shop.listen(sink, COMPLETED)
    session = shop.paid()
    event = shop.fake.events(session["id"])[-1]
    (copy,) = shop.fake.signed(event["id"])
    assert copy["url"] == sink.url
    verified = stripe.Webhook.construct_event(copy["body"], copy["signature"], endpoint.secret)
    assert verified.id == event["id"]


def test_at_most_sixteen_endpoints_fit(shop: Shop, sink: Sink) -> None:
    for _ in range(16):
        shop.listen(sink)
    with pytest.raises(stripe.InvalidRequestError, match="maximum of 16"):
        shop.listen(sink)
