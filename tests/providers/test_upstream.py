import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import orjson
import pytest

from config.kit import egress
from providers.adapters.registry import ADAPTERS
from providers.errors import (
    CutError,
    FailedError,
    LateError,
    OversizeError,
    ProviderError,
    UnreachableError,
)
from providers.types import Endpoint, Policy, Timeouts
from providers.upstream import Reply, Upstream
from tests.fakes.upstream import FakeUpstream
from tests.support.patience import PATIENCE_S

PATH = "/chat/completions"
CANARY = "sk-canary-0123456789"


def endpoint(fake: FakeUpstream, **timeouts: float) -> Endpoint:
    limits = {"connect_s": 2.0, "first_byte_s": 5.0, "idle_s": 5.0, "total_s": 10.0} | timeouts
    return Endpoint(
        connection_id=UUID(int=1),
        name="main",
        kind="compatible",
        adapter=ADAPTERS["compatible"],
        scheme="http",
        host="127.0.0.1",
        port=fake.port,
        base_path="/v1",
        headers=f"Authorization: Bearer {CANARY}\r\n".encode(),
        policy=Policy(),
        timeouts=Timeouts(**limits),
    )


def body(behaviour: str, *, stream: bool = True) -> bytes:
    request = {"model": f"fake-{behaviour}", "messages": [{"role": "user", "content": "hi"}]}
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return orjson.dumps(request | options)


async def drain(reply: Reply, into: list[bytes]) -> None:
    async for piece in reply:
        into.append(piece)  # noqa: PERF401 - what came before an error counts


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - the state is the reply's own, which tells nobody
        await asyncio.sleep(0)


async def first_words(reply: Reply, count: int) -> bytes:
    seen = b""
    while seen.count(b"\n\n") < count:
        seen += await anext(reply)
    return seen


class TestPost:
    async def test_sends_what_a_provider_needs_and_nothing_of_the_environment(
        self, fake: FakeUpstream, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        reply = await upstream.post(endpoint(fake), PATH, body("normal", stream=False))
        assert reply.status == 200
        assert orjson.loads(await reply.read())["usage"] == fake.usage
        (seen,) = fake.requests
        assert seen.path == "/v1/chat/completions"
        assert seen.headers["host"] == f"127.0.0.1:{fake.port}"
        assert seen.headers["authorization"] == f"Bearer {CANARY}"
        assert seen.headers["accept-encoding"] == "identity"
        assert seen.json["model"] == "fake-normal"

    async def test_a_connection_is_used_again(self, fake: FakeUpstream, upstream: Upstream) -> None:
        for _ in range(3):
            reply = await upstream.post(endpoint(fake), PATH, body("normal"))
            await reply.read()
            reply.drop()
        assert (fake.connections, len(fake.requests)) == (1, 3)

    async def test_requests_at_the_same_time_have_connections_of_their_own(
        self, fake: FakeUpstream, upstream: Upstream
    ) -> None:
        async def one() -> bytes:
            reply = await upstream.post(endpoint(fake), PATH, body("normal"))
            return await reply.read()

        answers = await asyncio.gather(*(one() for _ in range(5)))
        assert len(set(answers)) == 1
        assert fake.connections == 5

    async def test_a_dead_kept_connection_is_replaced_without_the_caller_knowing(
        self, fake: FakeUpstream, upstream: Upstream
    ) -> None:
        await (await upstream.post(endpoint(fake), PATH, body("normal"))).read()
        (pool,) = upstream._pools.values()
        stale = pool._spares[-1]
        fake.drop_clients()  # we have not noticed yet
        reply = await upstream.post(endpoint(fake), PATH, body("normal"))
        assert (await reply.read()).endswith(b"data: [DONE]\n\n")
        assert fake.connections == 2
        assert not stale.is_open

    async def test_a_fresh_connection_that_dies_is_not_tried_again(
        self, fake: FakeUpstream, upstream: Upstream
    ) -> None:
        posting = asyncio.ensure_future(upstream.post(endpoint(fake), PATH, body("silent")))
        await fake.wait_requests()
        fake.drop_clients()
        with pytest.raises(CutError) as caught:
            await posting
        assert caught.value.consumed
        assert len(fake.requests) == 1

    async def test_a_spare_connection_is_closed_when_nobody_needs_it(
        self, fake: FakeUpstream, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("config.kit.limits.UPSTREAM_SPARE_S", 0.02)
        await (await upstream.post(endpoint(fake), PATH, body("normal"))).read()
        (pool,) = upstream._pools.values()
        async with asyncio.timeout(PATIENCE_S):
            await until(lambda: not pool._open)
        await (await upstream.post(endpoint(fake), PATH, body("normal"))).read()
        assert fake.connections == 2

    async def test_spare_connections_are_bounded(
        self, fake: FakeUpstream, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("config.kit.limits.UPSTREAM_SPARE_MAX", 2)
        posts = (upstream.post(endpoint(fake), PATH, body("normal")) for _ in range(4))
        for reply in await asyncio.gather(*posts):
            await reply.read()
        assert fake.connections == 4
        (pool,) = upstream._pools.values()
        async with asyncio.timeout(PATIENCE_S):
            await until(lambda: len(pool._open) == 2)

    async def test_open_connections_are_bounded(
        self, fake: FakeUpstream, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("config.kit.limits.UPSTREAM_CONNECTIONS_MAX", 1)
        held = await upstream.post(endpoint(fake), PATH, body("stall"))
        with pytest.raises(UnreachableError):
            await upstream.post(endpoint(fake), PATH, body("normal"))
        held.drop()

    @pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
    async def test_an_error_status_is_an_answer(
        self, fake: FakeUpstream, upstream: Upstream, status: int
    ) -> None:
        reply = await upstream.post(endpoint(fake), PATH, body(str(status)))
        assert reply.status == status
        assert b"error" in await reply.read()
        if status == 429:
            assert reply.headers[b"retry-after"] == b"7"

    @pytest.mark.parametrize(
        ("behaviour", "error"),
        [
            ("redirect", FailedError),
            ("gzip", FailedError),
            ("not-http", FailedError),
            ("huge-headers", OversizeError),
        ],
    )
    async def test_what_is_no_acceptable_answer(
        self,
        fake: FakeUpstream,
        upstream: Upstream,
        behaviour: str,
        error: type[ProviderError],
    ) -> None:
        with pytest.raises(error) as caught:
            await upstream.post(endpoint(fake), PATH, body(behaviour))
        assert CANARY not in str(caught.value)
        assert len(fake.requests) == 1

    async def test_nobody_listens(self, fake: FakeUpstream, upstream: Upstream) -> None:
        nowhere = replace(endpoint(fake), port=1)
        with pytest.raises(UnreachableError) as caught:
            await upstream.post(nowhere, PATH, b"{}")
        assert not caught.value.consumed
        assert caught.value.transient


class TestAddresses:
    async def is_refused(self, fake: FakeUpstream, *addresses: str) -> bool:
        """Whether a name with these addresses is, before any connection."""

        async def lookup(_host: str, _port: int) -> list[str]:
            return list(addresses)

        client = Upstream(egress.policy(), lookup=lookup)
        try:
            with pytest.raises(UnreachableError):
                await client.post(replace(endpoint(fake), host="h.example"), PATH, b"{}")
        finally:
            await client.close()
        return fake.connections == 0

    async def test_a_name_that_resolves_to_a_private_address(self, fake: FakeUpstream) -> None:
        assert await self.is_refused(fake, "127.0.0.1")

    async def test_one_private_address_among_public_ones(self, fake: FakeUpstream) -> None:
        assert await self.is_refused(fake, "93.184.215.14", "127.0.0.1")

    async def test_every_new_connection_is_checked_again(self, fake: FakeUpstream) -> None:
        answers = iter((["127.0.0.2"], ["127.0.0.1"]))

        async def lookup(_host: str, _port: int) -> list[str]:
            return next(answers)

        client = Upstream(egress.policy(["127.0.0.1/32"]), lookup=lookup)
        rebinding = replace(endpoint(fake), host="h.example")
        with pytest.raises(UnreachableError):
            await client.post(rebinding, PATH, body("normal"))
        reply = await client.post(rebinding, PATH, body("normal"))
        await reply.read()
        assert fake.requests[0].headers["host"] == f"h.example:{fake.port}"
        await client.close()

    async def test_the_next_address_is_tried(self, fake: FakeUpstream) -> None:
        async def lookup(_host: str, _port: int) -> list[str]:
            return ["::1", "127.0.0.1"]  # nobody listens on the first

        client = Upstream(egress.policy(["127.0.0.0/8", "::1"]), lookup=lookup)
        reply = await client.post(replace(endpoint(fake), host="h.example"), PATH, body("normal"))
        assert reply.status == 200
        await reply.read()
        await client.close()


class TestReply:
    @pytest.mark.parametrize("behaviour", ["normal", "bytewise", "crlf", "garbage"])
    async def test_bytes_arrive_as_they_were_sent(
        self, fake: FakeUpstream, upstream: Upstream, behaviour: str
    ) -> None:
        reply = await upstream.post(endpoint(fake), PATH, body(behaviour))
        whole = await reply.read()
        assert whole.endswith(b"[DONE]\r\n\r\n" if behaviour == "crlf" else b"[DONE]\n\n")
        assert whole.count(b"Hello") == 1

    async def test_a_long_line_survives(self, fake: FakeUpstream, upstream: Upstream) -> None:
        reply = await upstream.post(endpoint(fake), PATH, body("huge-line"))
        assert len(await reply.read()) > 5_000_000

    async def test_the_end_of_the_connection_can_be_the_end_of_the_body(
        self, fake: FakeUpstream, upstream: Upstream
    ) -> None:
        for _ in range(2):
            reply = await upstream.post(endpoint(fake), PATH, body("close-framed"))
            assert (await reply.read()).endswith(b"data: [DONE]\n\n")
        assert fake.connections == 2

    @pytest.mark.parametrize("stream", [True, False])
    async def test_a_reset_is_told_after_what_had_arrived(
        self, fake: FakeUpstream, upstream: Upstream, *, stream: bool
    ) -> None:
        reply = await upstream.post(endpoint(fake), PATH, body("cut", stream=stream))
        seen: list[bytes] = []
        with pytest.raises(CutError) as caught:
            await drain(reply, seen)
        assert b"Hello" in b"".join(seen) or not stream
        assert caught.value.consumed

    @pytest.mark.parametrize("stream", [True, False])
    async def test_a_clean_close_before_the_promised_end_is_a_cut(
        self, fake: FakeUpstream, upstream: Upstream, *, stream: bool
    ) -> None:
        reply = await upstream.post(endpoint(fake), PATH, body("short", stream=stream))
        with pytest.raises(CutError):
            await reply.read()

    async def test_a_body_over_the_bound_is_cut(
        self, fake: FakeUpstream, upstream: Upstream
    ) -> None:
        reply = await upstream.post(endpoint(fake), PATH, body("huge-body"))
        with pytest.raises(OversizeError):
            await reply.read()

    async def test_no_answer_in_time(self, fake: FakeUpstream, upstream: Upstream) -> None:
        with pytest.raises(LateError):
            await upstream.post(endpoint(fake, first_byte_s=0.05), PATH, body("silent"))
        await fake.wait_closed()

    async def test_silence_in_the_middle(self, fake: FakeUpstream, upstream: Upstream) -> None:
        reply = await upstream.post(endpoint(fake, idle_s=0.3), PATH, body("hang"))
        assert b"Hello" in await first_words(reply, 3)
        async with asyncio.timeout(PATIENCE_S):  # the wait for the first byte is over
            with pytest.raises(LateError):
                await reply.read()
        await fake.wait_closed()

    async def test_never_ends(self, fake: FakeUpstream, upstream: Upstream) -> None:
        reply = await upstream.post(endpoint(fake, total_s=0.05), PATH, body("stall"))
        with pytest.raises(LateError):
            await reply.read()

    async def test_a_slow_reader_is_not_the_providers_silence(
        self, fake: FakeUpstream, upstream: Upstream
    ) -> None:
        reply = await upstream.post(endpoint(fake, idle_s=0.3), PATH, body("huge-line"))
        await until(lambda: reply._is_held)
        await asyncio.sleep(0.6)
        assert reply.error is None
        assert len(await reply.read()) > 5_000_000

    async def test_a_slow_reader_holds_the_provider_back(
        self, fake: FakeUpstream, upstream: Upstream
    ) -> None:
        reply = await upstream.post(endpoint(fake), PATH, body("huge-body"))
        await until(lambda: reply._is_held)
        held = reply._queued_bytes
        await asyncio.sleep(0.05)
        assert reply._queued_bytes == held < 2_000_000
        reply.drop()

    async def test_closing_reaches_the_provider_at_once(
        self, fake: FakeUpstream, upstream: Upstream
    ) -> None:
        reply = await upstream.post(endpoint(fake), PATH, body("hang"))
        await first_words(reply, 2)
        reply.drop()
        await fake.wait_closed()
        assert fake.closed == 1

    async def test_cancelling_before_the_head_reaches_the_provider(
        self, fake: FakeUpstream, upstream: Upstream
    ) -> None:
        posting = asyncio.ensure_future(upstream.post(endpoint(fake), PATH, body("silent")))
        await fake.wait_requests()
        posting.cancel()
        await fake.wait_closed()
        assert fake.closed == 1

    async def test_closing_a_finished_reply_keeps_the_connection(
        self, fake: FakeUpstream, upstream: Upstream
    ) -> None:
        for _ in range(2):
            reply = await upstream.post(endpoint(fake), PATH, body("normal"))
            await reply.read()
            reply.drop()
        assert (fake.connections, fake.closed) == (1, 0)

    async def test_an_unread_but_finished_reply_does_not_hold_its_connection(
        self, fake: FakeUpstream, upstream: Upstream
    ) -> None:
        first = await upstream.post(endpoint(fake), PATH, body("normal"))
        await until(lambda: first.finished)
        second = await upstream.post(endpoint(fake), PATH, body("normal", stream=False))
        assert b"chat.completion.chunk" in await first.read()
        assert b"chat.completion.chunk" not in await second.read()
        assert fake.connections == 1
