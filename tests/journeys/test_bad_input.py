"""Bad inputs (B1 to B29) on the running product: a 4xx in OpenAI's form, and never a charge."""

from typing import Any

import httpx
import orjson
import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from paywalls import keys
from paywalls.models import ApiKey
from providers.models import Connection, Model
from tests.factories import ACTOR, make_key
from tests.support.chats import request
from tests.support.product import MODEL, UNIT, Shop, Wallet

CHAT = "/chat/completions"
CHARGE = "/user/charge"
DEPOSIT = "/user/balance/deposit"
USER = "{user}"


def chat(**more: Any) -> bytes:
    return orjson.dumps(request(MODEL) | {"user": USER} | more)


def without(*names: str) -> bytes:
    body = request(MODEL) | {"user": USER}
    return orjson.dumps({name: value for name, value in body.items() if name not in names})


def parts(*content: Any) -> bytes:
    return chat(messages=[{"role": "user", "content": list(content)}])


def money(amount: str, **more: Any) -> bytes:
    """`amount` is JSON as it is."""
    fields = {"user": USER, **more}
    return b'{"amount": %b, %b' % (amount.encode(), orjson.dumps(fields)[1:])


BODIES = {
    "B1 empty": b"",
    "B2 not JSON": b"model=gpt",
    "B2 array": b"[]",
    "B2 scalar": b"1",
    "B2 byte order mark": b"\xef\xbb\xbf" + chat(),
    "B2 UTF-16": chat().decode().encode("utf-16"),
    "B2 half a surrogate": chat().replace(b"Say", rb"\ud800"),
    "B3 NaN": chat().replace(b"}]", b'}],"temperature":NaN', 1),
    "B3 1e400": chat(temperature=0).replace(b'"temperature":0', b'"temperature":1e400'),
    "B4 a million members": chat(x=0).replace(b'"x":0', b'"x":[' + b"0," * 1_000_000 + b"0]"),
    "B4 depth": chat(metadata=0).replace(b'"metadata":0', b'"metadata":' + b"[" * 10_000),
    "B4 user twice": chat().replace(b'"user":', b'"user":"a","user":', 1),
    "B9 no model": without("model"),
    "B9 null": chat(model=None),
    "B9 10 kB": chat(model="x" * 10_000),
    "B9 path": chat(model="../model"),
    "B9 unknown": chat(model="nothing"),
    "B10 zero": chat(max_tokens=0),
    "B10 negative": chat(max_tokens=-1),
    "B10 fraction": chat(max_tokens=1.5),
    "B10 text": chat(max_tokens="100"),
    "B10 huge": chat(max_tokens=2**63),
    "B10 true": chat(max_tokens=True),
    "B10 one of both": chat(max_tokens=10, max_completion_tokens=0),
    "B11 zero": chat(n=0),
    "B11 negative": chat(n=-1),
    "B11 many": chat(n=129),
    "B11 very many": chat(n=10**9),
    "B11 best_of": chat(best_of=10**9),
    "B12 none": chat(messages=[]),
    "B12 missing": without("messages"),
    "B12 text": chat(messages="Hi"),
    "B12 no role": chat(messages=[{"content": "Hi"}]),
    "B12 a hundred thousand": chat(messages=[{"role": "user", "content": "x"}] * 100_000),
    "B12 file": parts({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}),
    "B12 gopher": parts({"type": "image_url", "image_url": {"url": "gopher://127.0.0.1/"}}),
    "B12 no address": parts({"type": "image_url", "image_url": {"url": "127.0.0.1"}}),
    "B12 part": parts("Hi"),
    "B13 stream": chat(stream="true"),
    "B13 stream_options": chat(stream=True, stream_options="all"),
    "B13 include_usage": chat(stream=True, stream_options={"include_usage": "yes"}),
    "B14 api_base": chat(api_base="http://127.0.0.1/"),
    "B14 base_url": chat(base_url="http://127.0.0.1/"),
    "B14 api_key": chat(api_key="sk-mine"),
    "B14 extra_headers": chat(extra_headers={"X": "y"}),
    "B14 custom_llm_provider": chat(custom_llm_provider="x"),
    "B14 fallbacks": chat(fallbacks=["x"]),
    "B14 in metadata": chat(metadata={"api_base": "http://127.0.0.1/"}),
    "B14 in extra_body": chat(extra_body={"a": [{"base_url": "http://127.0.0.1/"}]}),
    "B17 nobody": without("user"),
    "B19 empty": chat(user=""),
    "B19 spaces": chat(user="a b"),
    "B19 10 kB": chat(user="x" * 10_000),
    "B19 NUL": chat(user="a\0"),
    "B19 right to left": chat(user="\u202ea"),
    "B19 number": chat(user=7),
}

AMOUNTS = {
    "0": '"0"',
    "negative": '"-1"',
    "negative zero": '"-0"',
    "exponent": '"1e3"',
    "ten decimals": '"0.0000000001"',
    "comma": '"1,00"',
    "space": '" 1"',
    "full width": '"\uff11"',
    "huge": '"' + "9" * 31 + '"',
    "NaN": "NaN",
    "text NaN": '"NaN"',
    "true": "true",
    "null": "null",
    "list": "[1]",
    "number with an exponent": "1e3",
}

METADATA = {
    "100 kB": {"a": "x" * 100_000},
    "text": "x",
    "depth": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}},
}

HEADERS = {
    "B6 form": {"Content-Type": "application/x-www-form-urlencoded"},
    "B6 multipart": {"Content-Type": "multipart/form-data; boundary=" + "-" * 20_000},
    "B5 gzip": {"Content-Encoding": "gzip"},
    "B8 underscore twin": {"X_Paywall_User": "somebody"},
    "B29 empty": {"Idempotency-Key": ""},
    "B29 256": {"Idempotency-Key": "x" * 256},
    "B29 non-ASCII": {"Idempotency-Key": "ä"},
    "B29 space": {"Idempotency-Key": "a b"},
    "mode": {"X-Paywall-Mode": "quiet"},
    "most": {"X-Paywall-Max-Cost": "-1"},
}


@pytest.fixture
def user(shop: Shop) -> str:
    return shop.funded()


@transaction.atomic
def revoke(key: ApiKey) -> None:
    keys.revoke(key, actor=ACTOR)


async def post(
    http: httpx.AsyncClient, shop: Shop, path: str, body: bytes, **headers: str
) -> httpx.Response:
    sent = {"Content-Type": "application/json"} | shop.headers | headers
    raw = {name.encode(): value.encode() for name, value in sent.items()}
    return await http.post(shop.api + path, content=body, headers=raw)


def assert_refused(answer: httpx.Response, *, statuses: tuple[int, ...] = (400,)) -> None:
    assert answer.status_code in statuses, answer.text[:300]
    error = answer.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert isinstance(error["message"], str)
    assert isinstance(error["code"], str)
    assert answer.headers["x-request-id"].startswith("req_")
    assert len(answer.content) < 2_000


def assert_nothing_happened(shop: Shop, user: str, fake) -> None:
    assert shop.wallet(user) == Wallet(UNIT, 0)
    assert shop.holds() == 0
    assert fake.requests == []


@pytest.mark.proves("B1", "B2", "B3", "B4", "B9", "B10", "B11", "B12", "B13", "B14", "B17", "B19")
@pytest.mark.parametrize("name", BODIES)
async def test_bodies_of_chats(shop, http, fake, user, name):
    body = BODIES[name].replace(USER.encode(), user.encode())
    answer = await post(http, shop, CHAT, body)
    expected = {"B9 unknown": 404, "B9 path": 404}.get(name, 400)
    assert_refused(answer, statuses=(expected, 413) if "thousand" in name else (expected,))
    assert_nothing_happened(shop, user, fake)


@pytest.mark.proves("B25")
@pytest.mark.parametrize("path", [CHARGE, DEPOSIT])
@pytest.mark.parametrize("name", AMOUNTS)
async def test_b25_amounts(shop, http, fake, user, path, name):
    body = money(AMOUNTS[name]).replace(USER.encode(), user.encode())
    assert_refused(await post(http, shop, path, body))
    assert_nothing_happened(shop, user, fake)


@pytest.mark.proves("B28")
@pytest.mark.parametrize("path", [CHARGE, DEPOSIT])
@pytest.mark.parametrize("name", METADATA)
async def test_b28_metadata(shop, http, fake, user, path, name):
    body = money('"1"', metadata=METADATA[name]).replace(USER.encode(), user.encode())
    assert_refused(await post(http, shop, path, body), statuses=(400, 413))
    assert_nothing_happened(shop, user, fake)


@pytest.mark.proves("B5", "B6", "B8", "B29")
@pytest.mark.parametrize("path", [CHAT, CHARGE, DEPOSIT])
@pytest.mark.parametrize("name", HEADERS)
async def test_headers(shop, http, fake, user, path, name):
    body = chat() if path == CHAT else money('"1"')
    sent = body.replace(USER.encode(), user.encode())
    answer = await post(http, shop, path, sent, **HEADERS[name])
    assert_refused(answer, statuses=(400, 415))
    assert_nothing_happened(shop, user, fake)


@pytest.mark.proves("B5")
async def test_b5_bodies_that_are_too_large(shop, http, fake, user):
    for path in (CHAT, CHARGE):
        answer = await post(http, shop, path, b" " * (11 * 1024 * 1024))
        assert_refused(answer, statuses=(413,))

    async def endless():
        for _ in range(200):
            yield b" " * 65_536

    headers = shop.headers | {"Content-Type": "application/json"}
    answer = await http.post(shop.api + CHAT, content=endless(), headers=headers)
    assert_refused(answer, statuses=(413,))
    assert_nothing_happened(shop, user, fake)


@pytest.mark.proves("B7")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_b7_methods(shop, http, fake, user, method):
    answer = await http.request(method, shop.api + CHAT, headers=shop.headers)
    assert_refused(answer, statuses=(405,))
    assert "POST" in answer.headers["allow"]
    slash = await post(http, shop, f"{CHAT}/", without("user"))
    assert_refused(slash)
    assert_nothing_happened(shop, user, fake)


@pytest.mark.proves("B9")
async def test_b9_a_model_without_a_price(shop, http, fake, user):
    found = await sync_to_async(Connection.objects.get)(paywall=shop.paywall)
    await sync_to_async(Model.objects.create)(
        kind=found.kind, connection=found, name="unpriced", cost=None, source="tests"
    )
    body = chat(model="unpriced").replace(USER.encode(), user.encode())
    answer = await post(http, shop, CHAT, body)
    assert_refused(answer)
    assert answer.json()["error"]["code"] == "model_not_priced"
    assert_nothing_happened(shop, user, fake)


@pytest.mark.proves("B15", "B16")
async def test_b15_b16_templates_and_unknown_fields_pass_untouched(shop, http, fake, user):
    said = "{{7*7}} ${7*7} {% debug %} {{url}}"
    messages = [{"role": "user", "content": said}]
    odd = {"unheard_of": {"a": [1.5, None]}, "seed": 7}
    body = chat(messages=messages, **odd).replace(USER.encode(), user.encode())
    assert (await post(http, shop, CHAT, body)).status_code == 200
    (seen,) = fake.requests
    assert seen.json["messages"] == messages
    assert {name: seen.json[name] for name in odd} == odd


@pytest.mark.proves("B18")
async def test_b18_the_body_names_the_user_first(shop, http, fake, user):
    other = await sync_to_async(shop.funded)()
    body = chat().replace(USER.encode(), user.encode())
    answer = await http.post(
        f"{shop.api}/{other}{CHAT}", content=body, headers=shop.headers | {"X-Paywall-User": other}
    )
    assert answer.status_code == 200
    assert shop.wallet(other) == Wallet(UNIT, 0)
    assert shop.wallet(user).posted < UNIT


@pytest.mark.proves("B19")
async def test_b19_reserved_words_are_no_users(shop, http):
    for word in ("chat", "user", "models", "openapi.json"):
        answer = await post(http, shop, f"/{word}{CHAT}", without("user"))
        assert_refused(answer, statuses=(400, 404))


@pytest.mark.proves("B20")
async def test_b20_an_address_is_accepted_with_a_warning(shop, http):
    body = chat(user="someone@example.com")
    answer = await post(http, shop, CHAT, body)
    assert answer.status_code == 200
    assert "user-looks-like-email" in answer.headers["x-paywall-warning"]


@pytest.mark.proves("B22", "B23")
@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Basic eDp5",
        "Bearer sk-paywalls-v1-wrong",
        "Bearer ' OR 1=1 --",
        "Bearer \u2603",
        "Bearer " + "x" * 4_096,
        "Bearer sk-paywalls-v1-" + "\u0661" * 46,
    ],
)
async def test_b22_b23_keys_that_are_none(shop, http, fake, user, authorization):
    body = chat().replace(USER.encode(), user.encode())
    answer = await post(http, shop, CHAT, body, Authorization=authorization)
    assert_refused(answer, statuses=(401,))
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert_nothing_happened(shop, user, fake)


@pytest.mark.proves("B22")
async def test_b22_keys_that_are_no_longer_or_of_the_other_world(shop, http, fake, user):
    body = chat().replace(USER.encode(), user.encode())
    _, test_token = await sync_to_async(make_key)(shop.paywall, livemode=False)
    answer = await post(http, shop, CHAT, body, Authorization=f"Bearer {test_token}")
    assert answer.headers["x-paywall-decision"] == "topup_required"
    flipped = test_token.replace("-test-", "-v1-")
    assert_refused(
        await post(http, shop, CHAT, body, Authorization=f"Bearer {flipped}"), statuses=(401,)
    )
    gone, gone_token = await sync_to_async(make_key)(shop.paywall)
    await sync_to_async(revoke)(gone)
    assert_refused(
        await post(http, shop, CHAT, body, Authorization=f"Bearer {gone_token}"), statuses=(401,)
    )
    in_query = await http.post(f"{shop.api}{CHAT}?api_key={shop.token}", content=body)
    assert_refused(in_query, statuses=(400, 401))
    assert_nothing_happened(shop, user, fake)
