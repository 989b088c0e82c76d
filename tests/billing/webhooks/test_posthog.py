"""PostHog is told of each routed request, never of what was said."""

import orjson
from django.db import transaction

from billing import movements
from billing.webhooks import subscriptions
from billing.webhooks.models import Delivery, Subscription
from config.kit import clock, ids
from config.kit.money import NANOS
from tests.billing.webhooks.conftest import deliver
from tests.factories import ACTOR

KEY = "phc_0123456789abcdefghij"
WHY = movements.Reason(actor=ACTOR, reason="tests")


def request(owner, paywall, user, **more) -> dict[str, object]:
    """A request's row, as settling writes it, and the event that tells of its end."""
    row = {
        "id": ids.uuid7(), "paywall_id": paywall.pk, "livemode": True, "user_id": user,
        "key_id": None, "status": "completed", "policy": "completed", "model": "openai/gpt-5",
        "connection_id": None, "rate_id": None, "feature": "", "run": "", "streamed": False,
        "http_status": 200, "error_code": "", "usage": {"prompt": 9, "completion": 5},
        "usage_source": "provider", "charged": 5, "written_off": 0, "provider_cost": 1_500_000,
        "transaction_id": None, "first_byte_ms": 1, "duration_ms": 1_250, "attempts": [],
        "created_at": clock.now(), "finished_at": clock.now(), **more,
    }  # fmt: skip
    bill = {
        "id": row["id"], "txn": ids.uuid7(), "paywall": paywall.pk, "live": True, "user": user,
        "model": row["model"], "status": row["status"], "error_code": row["error_code"],
        "usage": row["usage"], "tell": True,
    }  # fmt: skip
    result = {"id": row["id"], "state": "released", "charged": 0}
    owner.execute(
        "INSERT INTO billing_request SELECT * FROM"
        " jsonb_populate_record(NULL::billing_request, %s::jsonb)",
        [orjson.dumps(row).decode()],
    )
    owner.execute(
        "SELECT billing_events_settled(%s::jsonb, %s::jsonb)",
        [orjson.dumps([bill]).decode(), orjson.dumps([result]).decode()],
    )
    return row


def test_a_generation(paywall, sink, owner):
    user = movements.deposit(paywall, "ann", NANOS, WHY).user_id
    with transaction.atomic():
        subscriptions.connect(
            paywall, Subscription.Kind.POSTHOG, f"http://127.0.0.1:{sink.port}", KEY, actor=ACTOR
        )
    good = request(owner, paywall, user)
    failure = {"status": "failed", "error_code": "upstream_error", "http_status": 502}
    bad = request(owner, paywall, user, **failure)
    assert deliver() == {"success": 2}
    assert {seen.path for seen in sink.seen} == {"/i/v0/e/"}
    sent = {seen.json["properties"]["$ai_http_status"]: seen.json for seen in sink.seen}
    assert sent[200]["api_key"] == KEY
    assert (sent[200]["event"], sent[200]["distinct_id"]) == ("$ai_generation", "ann")
    assert sent[200]["properties"] == {
        "$ai_trace_id": ids.encode("req", good["id"]),
        "$ai_model": "gpt-5",
        "$ai_provider": "openai",
        "$ai_input_tokens": 9,
        "$ai_output_tokens": 5,
        "$ai_latency": 1.25,
        "$ai_http_status": 200,
        "$ai_is_error": False,
        "$ai_error": None,
        "$ai_total_cost_usd": 0.0015,
    }
    failed = sent[502]["properties"]
    assert (failed["$ai_is_error"], failed["$ai_error"]) == (True, "upstream_error")
    assert failed["$ai_trace_id"] == ids.encode("req", bad["id"])


def test_it_is_off_until_it_is_switched_on(paywall, sink, owner):
    user = movements.deposit(paywall, "ann", NANOS, WHY).user_id
    request(owner, paywall, user)
    with transaction.atomic():
        subscriptions.connect(
            paywall, Subscription.Kind.POSTHOG, f"http://127.0.0.1:{sink.port}", KEY, actor=ACTOR
        )
        subscriptions.disconnect(paywall, Subscription.Kind.POSTHOG, actor=ACTOR)
    request(owner, paywall, user)
    assert not Delivery.objects.filter(paywall_id=paywall.pk).exists()
