"""Keys, idempotency, failures, pages of lists: the API around the objects."""

import threading
from typing import Any

import httpx
import pytest
import stripe

from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running
from tests.stripe.conftest import Shop

CUSTOMERS = "/v1/customers"


def customer(shop: Shop, key: str = "", **params: Any) -> Any:
    options: stripe.RequestOptions = {"idempotency_key": key} if key else {}
    return shop.v1.customers.create(params={"email": "a@b.test", **params}, options=options)


def count(shop: Shop) -> int:
    return len(shop.v1.customers.list(params={"limit": 100}).data)


@pytest.mark.parametrize(
    ("permissions", "missing"),
    [
        (["checkout_session_read"], "rak_customer_write"),
        (["customer_read"], "rak_customer_write"),
    ],
)
def test_a_missing_permission_is_named(fake: Running, permissions: list[str], missing: str) -> None:
    v1 = fake.client(fake.key(*permissions, account="acct_a")).v1
    with pytest.raises(stripe.PermissionError, match=f"Having the '{missing}' permission"):
        v1.customers.create(params={})
    with pytest.raises(stripe.PermissionError, match="Having the 'webhook_read' permission"):
        v1.webhook_endpoints.list()


def test_write_implies_read(fake: Running) -> None:
    v1 = fake.client(fake.key("customer_write", account="acct_a")).v1
    assert v1.customers.retrieve(v1.customers.create(params={}).id).object == "customer"


def test_a_revoked_or_unknown_key_is_refused(fake: Running) -> None:
    key = fake.key(account="acct_a")
    v1 = fake.client(key).v1
    v1.customers.list()
    fake.test("keys", key, "revoke")
    with pytest.raises(stripe.AuthenticationError, match="Expired API Key"):
        v1.customers.list()
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key"):
        fake.client("rk_test_nobodyknowsthis").v1.customers.list()


def test_accounts_and_modes_do_not_see_each_other(fake: Running) -> None:
    made = fake.client(seeded("sk", "test")).v1.customers.create(params={})
    others = (seeded("sk", "live"), fake.key(account="acct_b"))
    for key in others:
        with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
            fake.client(key).v1.customers.retrieve(made.id)


def test_the_same_idempotency_key_answers_the_same(shop: Shop) -> None:
    first, second = customer(shop, "k"), customer(shop, "k")
    assert first.id == second.id
    assert second.last_response.headers["idempotent-replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        customer(shop, "k", name="Other")
    assert count(shop) == 1


def test_a_refusal_before_the_work_leaves_the_key_free(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        customer(shop, "k", surprise="1")
    shop.fake.test("faults", kind="429", path=CUSTOMERS)
    with pytest.raises(stripe.RateLimitError):
        customer(shop, "k")
    assert customer(shop, "k").id
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError, match="No such payment_method"):
            customer(shop, "k3", payment_method="pm_none")


@pytest.mark.parametrize(("kind", "made"), [("500", 0), ("500_after", 1)])
def test_a_500_is_what_the_key_answers_from_then_on(shop: Shop, kind: str, made: int) -> None:
    shop.fake.test("faults", kind=kind, path=CUSTOMERS)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            customer(shop, "k")
    assert count(shop) == made
    assert customer(shop, "k2").id


@pytest.mark.parametrize("kind", ["timeout", "timeout_after"])
def test_a_lost_answer_makes_one_object(shop: Shop, kind: str) -> None:
    shop.fake.test("faults", kind=kind, path=CUSTOMERS, method="POST", seconds=0.2)
    impatient = stripe.StripeClient(
        seeded("sk", "test"),
        base_addresses={"api": shop.fake.url},
        http_client=stripe.RequestsClient(timeout=0.1),
        max_network_retries=0,
    )
    options: stripe.RequestOptions = {"idempotency_key": "k"}
    with pytest.raises(stripe.APIConnectionError):
        impatient.v1.customers.create(params={"email": "a@b.test"}, options=options)
    assert customer(shop, "k").id
    assert count(shop) == 1


def test_two_at_once_with_one_key_conflict(shop: Shop) -> None:
    shop.fake.test("faults", kind="slow", path=CUSTOMERS, method="POST", seconds=1)
    slow = threading.Thread(target=customer, args=(shop, "k"))
    slow.start()
    while not shop.fake.calls()["calls"].get(f"POST {CUSTOMERS}"):
        pass
    with pytest.raises(stripe.APIError) as refused:
        customer(shop, "k")
    assert refused.value.http_status == 409
    assert refused.value.error is not None
    assert refused.value.error.code == "idempotency_key_in_use"
    slow.join()
    assert count(shop) == 1


def test_calls_are_counted_by_path(shop: Shop) -> None:
    made = customer(shop)
    shop.v1.customers.retrieve(made.id)
    shop.v1.customers.retrieve(made.id)
    counted = shop.fake.calls()
    assert counted["calls"] == {"POST /v1/customers": 1, "GET /v1/customers/{id}": 2}
    assert counted["peak_per_s"] == counted["total"] == 3


def test_lists_go_both_ways_in_pages(shop: Shop) -> None:
    ids = [customer(shop).id for _ in range(5)][::-1]
    first = shop.v1.customers.list(params={"limit": 2})
    assert ([each.id for each in first.data], first.has_more) == (ids[:2], True)
    assert [each.id for each in first.auto_paging_iter()] == ids
    back = shop.v1.customers.list(params={"limit": 2, "ending_before": ids[3]})
    assert ([each.id for each in back.data], back.has_more) == (ids[1:3], True)
    with pytest.raises(stripe.InvalidRequestError, match="between 1 and 100"):
        shop.v1.customers.list(params={"limit": 101})


def test_what_cannot_be_expanded_is_said(shop: Shop) -> None:
    made = customer(shop)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        shop.v1.customers.retrieve(made.id, params={"expand": ["fortune"]})


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("email=a&nonsense=1", "Received unknown parameter: nonsense"),
        ("balance=much", "Invalid integer: much"),
        ("metadata=text", "Invalid object"),
        ("tax_exempt=maybe", "must be one of"),
    ],
)
def test_parameters_are_held_to_the_sdks_types(fake: Running, form: str, said: str) -> None:
    answer = httpx.post(
        f"{fake.url}{CUSTOMERS}", content=form, auth=(seeded("sk", "test"), ""), trust_env=False
    )
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_required_parameters_are_required(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Missing required param: url"):
        shop.v1.webhook_endpoints.create(params={"enabled_events": ["*"]})


def test_another_version_is_refused_rather_than_answered_wrongly(fake: Running) -> None:
    client = fake.client(stripe_version="2020-08-27")
    with pytest.raises(stripe.InvalidRequestError, match="Invalid Stripe API version"):
        client.v1.customers.list()


def test_an_address_that_is_not_served_says_so(fake: Running) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        fake.client().v1.quotes.list()
