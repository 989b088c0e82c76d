"""The paywall's own words: one decision as an assistant message, as a stream, or as a 402."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import orjson
from django.conf import settings

from config.kit.errors import PaywallsError
from paywalls import links
from paywalls import messages as templates
from paywalls.decisions import NeedsGrant, NeedsTopUp
from proxy import sse
from proxy.chat_body import Chat
from proxy.errors import payment_required
from proxy.requests import Call
from proxy.responses import Header, base_headers, money_headers, send_error, send_json

STREAM_HEADERS: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # Proxies in front would otherwise collect the stream before passing it on.
    (b"x-accel-buffering", b"no"),
)
NO_USAGE: Final = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
LOCALE_CHARS_MAX: Final = 100
ID_PREFIX: Final = "chatcmpl-paywall-"
"""By which apps recognize an answer that is not the model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a paywall says. status, reason: for programs; url: where the user can act, or None.

    event: which template it is, as the message endpoint is asked for it.
    """

    event: str
    status: str
    reason: str
    text: str
    url: str | None
    balance_nanos: int | None = None

    def as_object(self) -> dict[str, object]:
        return {"status": self.status, "reason": self.reason, "url": self.url}


async def send_decision(call: Call, chat: Chat, decision: NeedsTopUp | NeedsGrant) -> None:
    """Tell the user what to do before the model answers; programs get a 402 if they want one."""
    notice = await worded(call, notice_of(call, decision))
    if call.error_mode:
        await send_refusal(call, notice)
    else:
        await _send(call, chat, notice)


async def send_refusal(call: Call, notice: Notice) -> None:
    """The same facts as a 402."""
    error = payment_required(notice.status, notice.text, url=notice.url)
    error.details |= notice.as_object()
    await send_error(call, error, headers_of(notice))


async def send_unavailable(call: Call, chat: Chat, error: PaywallsError) -> None:
    """Say that the model cannot be had, for paywalls whose owner switched `graceful` on."""
    paywall = call.caller.paywall
    text = templates.render(
        paywall.templates[templates.Event.MODEL_UNAVAILABLE],
        url=settings.BASE_URL,
        name=paywall.name,
    )
    event = templates.Event.MODEL_UNAVAILABLE.value
    notice = Notice(event=event, status="model_unavailable", reason=error.code, text=text, url=None)
    await _send(call, chat, await worded(call, notice))


async def worded(call: Call, notice: Notice) -> Notice:
    """The same in the words of the developer's message endpoint, if there is one and it answers."""
    said = await call.caller.snapshot.ask(
        {
            "event": notice.event,
            "url": notice.url,
            "name": call.caller.paywall.name,
            "user": call.user,
            "model": call.body.get("model"),
            "requestId": call.id_text,
            "locale": call.headers.get("accept-language", "")[:LOCALE_CHARS_MAX] or None,
        }
    )
    return replace(notice, text=said) if said else notice


def notice_of(call: Call, decision: NeedsTopUp | NeedsGrant) -> Notice:
    """What the user is told, in the paywall's own words."""
    paywall, shared = call.caller.paywall, call.payer.shared
    url: str | None = _link(decision.user_id, shared=shared)
    balance: int | None = None
    if isinstance(decision, NeedsTopUp):
        event = templates.Event.INSUFFICIENT_FUNDS.value
        status = "debt" if decision.debt else "topup_required"
        reason = "debt" if decision.debt else "insufficient_balance"
        balance = None if shared else decision.balance_nanos
        if call.caller.key.livemode in call.caller.snapshot.stopped_modes:
            event = templates.Event.PAYMENTS_UNAVAILABLE.value
            reason, url = "payments_unavailable", None
    else:
        status = reason = "cap_reached" if decision.cap_reached else "authorization_required"
        event = status
    words = paywall.templates.get(event, templates.CAP_REACHED)
    text = templates.render(words, url=url or settings.BASE_URL, name=paywall.name)
    return Notice(
        event=event,
        status=status,
        reason=reason,
        text=text,
        url=url,
        balance_nanos=balance,
    )


def _link(user_id: UUID | None, *, shared: bool) -> str:
    """Where the user can act: in Shared mode all of it is behind one link."""
    if user_id is None:
        return settings.BASE_URL
    return links.authorize_url(user_id) if shared else links.checkout_url(user_id)


def headers_of(notice: Notice) -> list[Header]:
    """Nothing was charged, and why."""
    return money_headers(notice.status, cost_nanos=0, balance_nanos=notice.balance_nanos)


async def _send(call: Call, chat: Chat, notice: Notice) -> None:
    """As the assistant's answer, in the form that the caller asked for."""
    call.facts["decision"] = notice.status
    headers = headers_of(notice)
    if not chat.stream:
        await send_json(call, 200, orjson.dumps(completion(call, chat, notice)), headers)
        return
    events = b"".join(stream_events(call, chat, notice))
    head = [*STREAM_HEADERS, *base_headers(call), *headers]
    await call.send({"type": "http.response.start", "status": 200, "headers": head})
    await call.send({"type": "http.response.body", "body": events})


def completion(call: Call, chat: Chat, notice: Notice) -> dict[str, object]:
    """A whole answer, once for each choice that was asked for."""
    message = {"role": "assistant", **_said(chat, notice)}
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": "stop"}
        for index in range(chat.choices)
    ]
    head = _head(call, chat, notice, kind="chat.completion")
    return {**head, "choices": choices, "usage": NO_USAGE}


def stream_events(call: Call, chat: Chat, notice: Notice) -> list[bytes]:
    """The same as a stream: role, content, reason to stop, for each choice, and `[DONE]`."""
    head = _head(call, chat, notice, kind="chat.completion.chunk")
    deltas: list[tuple[Mapping[str, object], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        (_said(chat, notice), None),
        ({}, "stop"),
    ]
    events = [
        sse.write({**head, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]})
        for index in range(chat.choices)
        for delta, reason in deltas
    ]
    if chat.include_usage:
        events.append(sse.write({**head, "choices": [], "usage": NO_USAGE}))
    return [*events, sse.DONE]


def _head(call: Call, chat: Chat, notice: Notice, *, kind: str) -> dict[str, object]:
    return {
        "id": f"{ID_PREFIX}{call.request_id.hex}",
        "object": kind,
        "created": int(call.started_at.timestamp()),
        "model": chat.model,
        "paywall": notice.as_object(),
    }


def _said(chat: Chat, notice: Notice) -> Mapping[str, object]:
    """The text, where JSON was asked for inside JSON: parsers of the answer must not fail.

    A refusal keeps the official clients from checking it against the caller's schema.
    Source: openai-python lib/_parsing/_completions.py, `maybe_parse_content`.
    """
    if not chat.json_answer:
        return {"content": notice.text}
    content = orjson.dumps({"message": notice.text, "url": notice.url}).decode()
    return {"content": content, "refusal": notice.text}
