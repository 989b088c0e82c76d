"""The whole edge, one request at a time, as raw ASGI."""

import asyncio
import datetime as dt
import logging
import time
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async

from billing.gate import Gate
from config.kit import clock
from paywalls import keys
from paywalls.models import ApiKey, Paywall
from proxy.api import balance
from proxy.asgi import Application
from proxy.router import Endpoint, Route, Router
from proxy.watch import ClientGoneError
from tests.factories import EndUserFactory, make_key
from tests.proxy import edge
from tests.proxy.edge import JSON
from tests.proxy.tenant import make_tenant

BALANCE = "/v1/user/balance?user=u"
DEPOSIT = "/v1/user/balance/deposit"


class TestKeys:
    """B22 to B24."""

    @pytest.mark.parametrize(
        "authorization",
        [
            None,
            b"",
            b"Bearer",
            b"Bearer ",
            b"Basic dXNlcjpwYXNz",
            b"sk-paywalls-v1-" + b"a" * 46,
            b"Bearer sk-paywalls-v1-wrong",
            b"Bearer sk-paywalls-v1-" + b"a" * 46,
            b"Bearer sk-openai-abcdef",
            b"Bearer ' OR '1'='1",
            b"Bearer \xff\xfe\xf0\x9f\x92\xa9",
            b"Bearer " + b"x" * 4096,
        ],
    )
    async def test_garbage_is_refused(self, app: Application, authorization: bytes | None):
        sent = [] if authorization is None else [(b"authorization", authorization)]
        answer = await edge.send(app, "GET", BALANCE, headers=sent)
        assert (answer.status, answer.code) == (401, "invalid_api_key")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["x-request-id"].startswith("req_")

    async def test_a_wrong_secret_with_a_right_checksum(self, tenant):
        _, text = await sync_to_async(make_key)(tenant.paywall)
        await sync_to_async(ApiKey.objects.filter(last_four=text[-4:]).delete)()
        tenant.token = text
        assert (await tenant.get(BALANCE)).code == "invalid_api_key"

    async def test_the_scheme_has_no_case(self, tenant):
        header = (b"authorization", f"bearer  {tenant.token}".encode())
        assert (await edge.send(tenant.app, "GET", BALANCE, headers=[header])).status == 200

    async def test_an_expired_key(self, tenant):
        def expire():
            soon = clock.now() + dt.timedelta(seconds=30)
            key, tenant.token = make_key(tenant.paywall, expires_at=soon)
            ApiKey.objects.filter(pk=key.pk).update(expires_at=clock.now())

        await sync_to_async(expire)()
        assert (await tenant.get(BALANCE)).code == "invalid_api_key"

    async def test_a_key_expires_while_it_is_in_memory(self, tenant):
        assert (await tenant.get(BALANCE)).status == 200
        callers = tenant.app._services.snapshots._callers
        ((digest, (caller, until)),) = callers.items()
        callers[digest] = (replace(caller, deadline=time.monotonic()), until)
        assert (await tenant.get(BALANCE)).status == 401

    @pytest.mark.parametrize("name", ["api_key", "key", "access_token"])
    async def test_keys_in_addresses_are_refused(self, tenant, name: str):
        answer = await tenant.get(f"{BALANCE}&{name}={tenant.token}")
        assert answer.status == 400
        assert tenant.token not in answer.body.decode()

    async def test_cookies_are_not_asked_for(self, app: Application):
        answer = await edge.send(app, "GET", BALANCE, headers=[(b"cookie", b"sessionid=1")])
        assert answer.code == "invalid_api_key"

    async def test_test_keys_move_test_wallets(self, tenant):
        await tenant.post(DEPOSIT, {"user": tenant.user, "amount": "1"})
        _, tenant.token = await sync_to_async(make_key)(tenant.paywall, livemode=False)
        assert await tenant.balance() == "0"

    async def test_b21_a_user_of_another_paywall_is_another_user(self, tenant, app):
        await tenant.post(DEPOSIT, {"user": tenant.user, "amount": "1"})
        other = await sync_to_async(make_tenant)(app, user=tenant.user)
        assert (await tenant.balance(), await other.balance()) == ("1000000", "0")


class TestPermission:
    async def test_a_scope_that_the_key_lacks(self, tenant):
        options = {"scopes": [keys.BALANCE]}
        _, tenant.token = await sync_to_async(make_key)(tenant.paywall, **options)
        assert (await tenant.get(BALANCE)).status == 200
        answer = await tenant.post(DEPOSIT, {"user": "u", "amount": "1"})
        assert (answer.status, answer.code) == (403, "scope_missing")
        assert "deposit" in answer.json["error"]["message"]

    @pytest.mark.parametrize(
        ("field", "address", "body", "expected"),
        [
            ("archived_at", BALANCE, None, "paywall_archived"),
            ("archived_at", "/v1/user/charge", {"user": "u", "amount": "1"}, "paywall_archived"),
            ("paused_at", "/v1/user/charge", {"user": "u", "amount": "1"}, "paywall_paused"),
            ("paused_at", "/v1/chat/completions", {"user": "u"}, "paywall_paused"),
        ],
    )
    async def test_closed_paywalls(self, tenant, field, address, body, expected):
        await set_on(tenant.paywall, **{field: clock.now()})
        answer = await (tenant.post(address, body) if body else tenant.get(address))
        assert (answer.status, answer.code) == (403, expected)

    async def test_a_paused_paywall_still_shows_balances(self, tenant):
        await set_on(tenant.paywall, paused_at=clock.now())
        assert (await tenant.get(BALANCE)).status == 200

    async def test_a_bound_key_means_its_user_whatever_is_sent(self, tenant):
        def bind():
            user = EndUserFactory.create(paywall=tenant.paywall, external_id="bound")
            _, tenant.token = make_key(tenant.paywall, end_user=user)

        await sync_to_async(bind)()
        answer = await tenant.get("/v1/user/connect?user=another", (b"x-paywall-user", b"third"))
        assert answer.json["connectedUser"]["externalUserId"] == "bound"
        answer = await tenant.get("/v1/user/connect")
        assert answer.json["connectedUser"]["externalUserId"] == "bound"


async def set_on(paywall: Paywall, **fields: object) -> None:
    await sync_to_async(Paywall.objects.filter(pk=paywall.pk).update)(**fields)


class TestHeaders:
    """B8, and our own."""

    @pytest.mark.parametrize(
        ("name", "first", "second"),
        [
            (b"idempotency-key", b"a", b"b"),
            (b"idempotency-key", b"a", b"a"),
            (b"x-paywall-user", b"a", b"b"),
            (b"content-type", b"application/json", b"text/plain"),
            (b"authorization", b"Bearer a", b"Bearer b"),
        ],
    )
    async def test_one_header_twice(self, tenant, name: bytes, first: bytes, second: bytes):
        sent = [header for header in (tenant.bearer, JSON) if header[0] != name]
        sent += [(name, first), (name, second)]
        body = {"user": "u", "amount": "1"}
        answer = await edge.send(tenant.app, "POST", DEPOSIT, body=body, headers=sent)
        assert (answer.status, answer.json["error"]["param"]) == (400, name.decode())

    @pytest.mark.parametrize("name", [b"x_paywall_user", b"idempotency_key", b"x-paywall_mode"])
    async def test_underscores_are_refused(self, tenant, name: bytes):
        name = name.replace(b"-", b"_")
        assert (await tenant.get(BALANCE, (name, b"a"))).status == 400

    async def test_other_headers_may_stand_twice(self, tenant):
        assert (await tenant.get(BALANCE, (b"accept", b"a"), (b"accept", b"b"))).status == 200

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            (b"x-paywall-mode", b"quiet"),
            (b"x-paywall-max-cost", b"1e3"),
            (b"x-paywall-max-cost", b"-1"),
            (b"x-paywall-feature", b"x" * 129),
            (b"x-paywall-run", b"\x01"),
        ],
    )
    async def test_malformed_headers_of_ours(self, tenant, name: bytes, value: bytes):
        assert (await tenant.get(BALANCE, (name, value))).status == 400

    async def test_an_id_like_a_mail_address_is_accepted_with_a_warning(self, tenant):
        answer = await tenant.get("/v1/user/balance?user=a@b.example")
        assert answer.status == 200
        assert answer.headers["x-paywall-warning"] == "user-looks-like-email"

    async def test_a_missing_idempotency_key_is_warned_of(self, tenant):
        answer = await tenant.post(DEPOSIT, {"user": "u", "amount": "1"})
        assert answer.headers["x-paywall-warning"] == "idempotency-key-missing"
        answer = await tenant.post(
            DEPOSIT, {"user": "u", "amount": "1"}, (b"idempotency-key", b"given")
        )
        assert "x-paywall-warning" not in answer.headers

    async def test_or_refused_where_the_key_says_so(self, tenant):
        _, tenant.token = await sync_to_async(make_key)(tenant.paywall, idempotency_required=True)
        answer = await tenant.post(DEPOSIT, {"user": tenant.user, "amount": "1"})
        assert answer.status == 400
        assert await tenant.balance() == "0"


class TestAnswers:
    async def test_unknown_addresses(self, tenant):
        answer = await tenant.get("/v1/nothing")
        assert (answer.status, answer.code) == (404, "not_found")

    async def test_b7_other_methods(self, tenant):
        answer = await edge.send(tenant.app, "PUT", DEPOSIT, headers=[tenant.bearer])
        assert (answer.status, answer.headers["allow"]) == (405, "POST")

    async def test_b7_a_slash_at_the_end_keeps_key_and_body(self, tenant):
        answer = await tenant.post(f"{DEPOSIT}/", {"user": tenant.user, "amount": "1"})
        assert answer.status == 200
        assert await tenant.balance() == "1000000"

    async def test_head_is_a_get(self, tenant):
        answer = await edge.send(tenant.app, "HEAD", BALANCE, headers=[tenant.bearer])
        assert answer.status == 200

    async def test_no_user(self, tenant):
        answer = await tenant.get("/v1/user/balance")
        assert (answer.status, answer.code) == (400, "missing_user")

    async def test_the_query_does_not_count_in_a_post(self, tenant):
        answer = await tenant.post(f"{DEPOSIT}?user=u", {"amount": "1"})
        assert answer.code == "missing_user"

    async def test_b5_too_large(self, tenant):
        answer = await edge.send(
            tenant.app,
            "POST",
            DEPOSIT,
            headers=[tenant.bearer, JSON],
            pieces=[b" " * 40_000, b" " * 40_000],
        )
        assert (answer.status, answer.headers["connection"]) == (413, "close")

    async def test_b6_a_form(self, tenant):
        sent = [tenant.bearer, (b"content-type", b"multipart/form-data; boundary=x")]
        answer = await edge.send(tenant.app, "POST", DEPOSIT, body=b"--x--", headers=sent)
        assert (answer.status, answer.code) == (415, "unsupported_media_type")

    async def test_a_client_that_left_gets_nothing(self, app: Application, monkeypatch, tenant):
        async def leave(*_args: object, **_more: object) -> bytes:
            raise ClientGoneError

        monkeypatch.setattr("proxy.body.read", leave)
        assert (await tenant.post(DEPOSIT, {})).status == 0

    async def test_refusals_on_money_say_the_decision(self, tenant):
        answer = await tenant.post(DEPOSIT, {"user": "u", "amount": "0"})
        assert answer.headers["x-paywall-decision"] == "invalid_request_error"


class TestBugs:
    @pytest.fixture
    def caught(self, monkeypatch, caplog):
        async def broken(_services: object, _call: object) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr("proxy.routes.balance.show", broken)
        caplog.set_level(logging.CRITICAL, "paywalls.proxy")
        return broken

    async def test_a_bug_is_a_500_without_its_details(self, tenant, caught):
        endpoint = Endpoint(handler=caught, scope=keys.BALANCE)
        tenant.app._router = Router([Route("/v1/user/balance", {"GET": endpoint})])
        answer = await tenant.get(BALANCE)
        assert (answer.status, answer.code) == (500, "internal_error")
        assert b"secret" not in answer.body

    async def test_an_answer_that_has_begun_just_ends(self, tenant, caught):
        async def half(services, call):
            await call.send({"type": "http.response.start", "status": 200, "headers": []})
            await caught(services, call)

        endpoint = Endpoint(handler=half, scope=keys.BALANCE)
        tenant.app._router = Router([Route("/v1/user/balance", {"GET": endpoint})])
        answer = await tenant.get(BALANCE)
        assert (answer.status, answer.body) == (200, b"")


class TestLife:
    async def test_running_requests_end_before_the_gate_closes(self, monkeypatch):
        order, begun, go = [], asyncio.Event(), asyncio.Event()

        async def slow(services, call):
            begun.set()
            await go.wait()
            await balance.show(services, call)
            order.append("answered")

        close = Gate.close

        async def closing(gate: Gate) -> None:
            order.append("closed")
            await close(gate)

        monkeypatch.setattr(Gate, "close", closing)
        app = Application()
        endpoint = Endpoint(handler=slow, scope=keys.BALANCE)
        app._router = Router([Route("/v1/user/balance", {"GET": endpoint})])
        async with edge.running(app):
            tenant = await sync_to_async(make_tenant)(app, user="u")
            request = asyncio.create_task(tenant.get(BALANCE))
            await begun.wait()
            app._is_draining = True
            late = await tenant.get(BALANCE)
            ready = await edge.send(app, "GET", "/readyz")
            go.set()
        assert (await request).status == 200
        assert order == ["answered", "closed"]
        assert (late.status, late.code, late.headers["connection"]) == (
            503,
            "shutting_down",
            "close",
        )
        assert ready.status == 503

    async def test_draining_has_an_end(self, monkeypatch, settings):
        settings.DRAIN_S = 0.01
        app = Application()
        async with edge.running(app):
            app._running = 1  # One that never ends.

    async def test_before_it_is_open_it_is_not_ready(self):
        app = Application()
        assert (await edge.send(app, "GET", "/readyz")).status == 503
        assert (await edge.send(app, "GET", "/healthz")).status == 200
        assert (await edge.send(app, "GET", BALANCE)).status == 503


class TestOperators:
    async def test_ready(self, app: Application):
        assert (await edge.send(app, "GET", "/readyz")).json == {"status": "ready"}

    async def test_metrics_for_this_machine(self, tenant):
        await tenant.get(BALANCE)
        answer = await edge.send(tenant.app, "GET", "/metrics")
        assert answer.status == 200
        assert b'paywalls_requests_total{route="/v1/user/balance",status="200"} 1.0' in answer.body

    @pytest.mark.parametrize(
        ("client", "headers"),
        [
            (("203.0.113.9", 1), []),
            (None, []),
            (("127.0.0.1", 1), [(b"x-forwarded-for", b"203.0.113.9")]),
        ],
    )
    async def test_metrics_are_not_there_for_others(self, app: Application, client, headers):
        answer = await edge.send(app, "GET", "/metrics", client=client, headers=headers)
        assert answer.status == 404

    @pytest.mark.parametrize(("sent", "status"), [(b"Bearer s3cret", 200), (b"Bearer x", 401)])
    async def test_metrics_with_a_token(self, app: Application, settings, sent, status):
        settings.METRICS_TOKEN = "s3cret"
        answer = await edge.send(
            app,
            "GET",
            "/metrics",
            client=("203.0.113.9", 1),
            headers=[(b"authorization", sent)],
        )
        assert answer.status == status

    async def test_other_methods(self, app: Application):
        assert (await edge.send(app, "POST", "/healthz")).status == 405
