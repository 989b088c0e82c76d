"""From a hold to the last byte: ask the providers in turn, pass the answer on, book, finish."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from billing.errors import GateUnavailableError
from billing.types import Settled, Status
from config.kit.errors import PaywallsError
from config.kit.limits import DRAINS_MAX
from config.kit.money import format_nanos
from providers.errors import ProviderError, RejectedError
from providers.upstream import Reply
from proxy import answers, messages, relay, sse
from proxy.chat_errors import BudgetExhaustedError, TooSlowError
from proxy.dispatch import Dispatch
from proxy.offers import Offer
from proxy.requests import Call
from proxy.responses import JSON, NO_RETRY, error_body, money_headers, send_error, send_json
from proxy.watch import ClientGoneError, Watch

LAST_SEND_S: Final = 10.0
"""How long a client that reads slowly may take to make room for the last events."""

LINGER_S: Final = 1.0
"""How long a provider may take to end its answer after `[DONE]`, to have the connection kept."""

logger = logging.getLogger("paywalls.proxy")
_draining: set[UUID] = set()


@dataclass(slots=True)
class Delivered:
    """A whole answer: body is None when it went out as a stream, whose `[DONE]` is still owed."""

    reply: Reply
    body: bytes | None = None
    usage_chunk: dict[str, Any] | None = None


async def serve(dispatch: Dispatch) -> None:
    """Do what the hold was placed for. However this ends, it is settled once."""
    call = dispatch.call
    dispatch.services.gate.track(call.request_id, dispatch.progress)
    seconds = dispatch.plan.offers[0].model.endpoint.timeouts.total_s
    try:
        with Watch(call.receive, seconds=seconds, may_go_on=lambda: _may_drain(dispatch)) as watch:
            delivered = await _ask(dispatch, watch)
        await _finish(dispatch, delivered, watch)
    except ClientGoneError:
        call.facts["error"] = "client_gone"
        await dispatch.settled("client_gone", error_code="client_gone", http_status=499)
    except (ProviderError, BudgetExhaustedError, TooSlowError) as error:
        await _fail(dispatch, error)
    finally:
        # Only where this very task was cancelled or broke: everything else has settled by now.
        status: Status = "truncated" if dispatch.has_started else "failed"
        dispatch.settle(status, error_code="aborted", http_status=500)
        _draining.discard(call.request_id)


def is_graceful(call: Call) -> bool:
    """Whether trouble is told as an assistant message."""
    return call.caller.paywall.graceful and not call.error_mode


def _may_drain(dispatch: Dispatch) -> bool:
    """The client left: whether the connection's policy is to let the provider finish."""
    offer = dispatch.offer
    if offer is None or offer.model.endpoint.policy.client_gone != "drain":
        return False
    if len(_draining) >= DRAINS_MAX:
        return False
    _draining.add(dispatch.call.request_id)
    return True


async def _ask(dispatch: Dispatch, watch: Watch) -> Delivered:
    """Try the providers in turn until one answers; none after the first byte went out."""
    failure: ProviderError | None = None
    for offer, output_tokens in dispatch.worth_trying():
        try:
            return await _ask_one(dispatch, offer, output_tokens, watch)
        except ProviderError as error:
            dispatch.failed(error)
            failure = error
            if dispatch.has_started or watch.is_gone or not error.transient:
                raise
    assert failure is not None, "there is always an offer"
    raise failure


async def _ask_one(dispatch: Dispatch, offer: Offer, output_tokens: int, watch: Watch) -> Delivered:
    if answers.is_kept(dispatch.call):
        dispatch.kept = []
    reply = await dispatch.post(offer, output_tokens)
    meter, chat = dispatch.meter, dispatch.plan.chat
    assert meter is not None, "just made"
    is_whole = False
    try:
        if chat.stream and relay.is_stream(reply):
            adapter = offer.model.endpoint.adapter
            sieve = relay.Sieve(adapter, meter, shows_usage=chat.include_usage)
            await relay.stream(dispatch, reply, sieve, watch)
            dispatch.note_garbage(sieve.garbage)
            delivered = Delivered(reply, usage_chunk=sieve.usage_chunk)
        else:
            delivered = Delivered(reply, body=_without_costs(await relay.whole(reply, meter)))
        is_whole = True
    finally:
        if not is_whole:
            reply.drop()  # The provider stops working for nobody.
    return delivered


async def _finish(dispatch: Dispatch, delivered: Delivered, watch: Watch) -> None:
    """Book the charge, and only then let the client have the end of the answer."""
    settled = await dispatch.settled("client_gone" if watch.is_gone else "completed")
    if watch.is_gone:
        return
    if settled is None:
        message = "The charge could not be booked. Ask GET /v1/requests/{id} before you repeat it."
        await _send_failure(dispatch, GateUnavailableError(message), consumed=True)
    elif delivered.body is None:
        await _end_stream(dispatch, delivered, settled)
    else:
        headers = money_headers(
            "allowed",
            cost_nanos=settled.charged_nanos,
            balance_nanos=None if dispatch.call.payer.shared else settled.balance_nanos,
        )
        if answers.is_kept(dispatch.call):
            await answers.keep(dispatch.services, dispatch.call, delivered.body, JSON)
        await send_json(dispatch.call, 200, delivered.body, headers)
    await _let_go(delivered.reply)


async def _end_stream(dispatch: Dispatch, delivered: Delivered, settled: Settled) -> None:
    end = sse.DONE
    if dispatch.plan.chat.include_usage:
        end = _usage_event(dispatch, delivered.usage_chunk, settled) + end
    if not dispatch.has_started:
        await relay.start_stream(dispatch)
    if dispatch.kept is not None:
        body = b"".join([*dispatch.kept, end])
        content_type = messages.STREAM_HEADERS[0][1]
        await answers.keep(dispatch.services, dispatch.call, body, content_type)
    await _send_last(dispatch.call, end)


def _usage_event(dispatch: Dispatch, chunk: dict[str, Any] | None, settled: Settled) -> bytes:
    """The chunk of usage, the provider's or our own, with what was charged as `cost`."""
    if chunk is None:
        chunk = dispatch.usage_chunk()
    reported = relay.users_part(chunk["usage"])
    # A JSON number with the exact digits: a float would not keep nine decimals of large amounts.
    cost = orjson.Fragment(format_nanos(settled.charged_nanos).encode())
    return sse.write({**chunk, "usage": {**reported, "cost": cost}})


def _without_costs(body: bytes) -> bytes:
    """A whole answer, as it came where its provider says nothing of its own price."""
    if not relay.OWN_NAMES.search(body):
        return body
    answer = orjson.loads(body)
    if isinstance(answer.get("usage"), dict):
        answer["usage"] = relay.users_part(answer["usage"])
    return orjson.dumps(answer)


async def _fail(dispatch: Dispatch, error: PaywallsError) -> None:
    """The answer is not whole: book what was delivered, say so, and never pretend otherwise."""
    call = dispatch.call
    call.facts["error"] = error.code
    if isinstance(error, BudgetExhaustedError):
        logger.warning("a provider ignored its output limit", extra={"request_id": call.id_text})
    status: Status = "truncated" if dispatch.has_started else "failed"
    http_status = 200 if dispatch.has_started else error.status
    await dispatch.settled(status, error_code=error.code, http_status=http_status)
    if not dispatch.has_started and is_graceful(call) and not isinstance(error, RejectedError):
        await messages.send_unavailable(call, dispatch.plan.chat, error)
        return
    consumed = error.consumed if isinstance(error, ProviderError) else True
    await _send_failure(dispatch, error, consumed=consumed)


async def _send_failure(dispatch: Dispatch, error: PaywallsError, *, consumed: bool) -> None:
    call = dispatch.call
    if dispatch.has_started:
        payload = error_body(error, request_id=call.request_id)
        await _send_last(call, relay.failure_event(payload))
    else:
        await send_error(call, error, [NO_RETRY] if consumed else [])


async def _send_last(call: Call, events: bytes) -> None:
    """The end of a stream; a client that does not read it in time goes without."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_SEND_S):
            await call.send({"type": "http.response.body", "body": events})


async def _let_go(reply: Reply) -> None:
    """Wait a moment for the formal end of an answer, so that its connection can be kept."""
    if reply.finished:
        return
    with suppress(TimeoutError, ProviderError):
        async with asyncio.timeout(LINGER_S):
            async for _ in reply:
                pass
    reply.drop()
