"""Chats with an Idempotency-Key: keeping the answer, and giving it again."""

from contextlib import suppress

from billing.errors import GateUnavailableError
from config.kit.crypto import SealError
from config.kit.limits import ANSWER_BYTES_MAX
from paywalls.decisions import Repeated
from proxy.errors import repeated
from proxy.requests import Call
from proxy.responses import NO_RETRY, Header, base_headers, money_headers, send_error, write
from proxy.services import Services

REPLAYED: Header = (b"idempotent-replayed", b"true")


def is_kept(call: Call) -> bool:
    """Whether the answer shall be kept: it can be asked for again, and the owner agreed."""
    return call.idempotency is not None and call.caller.paywall.store_answers


async def keep(services: Services, call: Call, body: bytes, content_type: bytes) -> None:
    """Keep a whole answer, sealed, for a day. It is a courtesy: the charge stands without it."""
    if len(body) > ANSWER_BYTES_MAX:
        return
    with suppress(GateUnavailableError):
        await services.reads.keep_answer(
            call.request_id, body=body, content_type=content_type.decode()
        )


async def send_again(services: Services, call: Call, decision: Repeated) -> None:
    """Answer a call whose key was used before; it never reaches a provider again."""
    answer = None
    if decision.state == "completed" and decision.request_id is not None:
        with suppress(SealError):  # Sealed with a key that is gone: the same as not kept.
            answer = await services.reads.kept_answer(decision.request_id)
    if answer is None:
        # Official clients repeat a 409 by themselves; one that is done stays done.
        is_done = decision.state == "completed"
        await send_error(call, repeated(decision), [NO_RETRY] if is_done else [])
        return
    body, content_type = answer
    call.facts["decision"] = "replayed"
    headers = money_headers("allowed", cost_nanos=decision.charged_nanos)
    await write(
        call.send,
        200,
        body,
        [*base_headers(call), *headers, REPLAYED],
        (b"content-type", content_type.encode()),
    )
