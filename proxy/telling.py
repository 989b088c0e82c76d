"""Events of refusals by a rule: no money was asked for, so no transaction tells them."""

from typing import Final, Literal

import orjson
import psycopg
import structlog

from billing.errors import GateUnavailableError
from proxy.requests import Call
from proxy.services import Services

TYPE: Final = "paywall.proxy.request.blocked"
AT_ONCE_MAX: Final = 100
"""Events on their way to the database; of a flood of refusals the rest is not told."""

log = structlog.get_logger(__name__)
_under_way: set[str] = set()


def blocked(
    services: Services,
    call: Call,
    reason: Literal["model_not_allowed", "policy_violation", "paused"],
) -> None:
    """Tell of it, if somebody listens; nobody waits for that."""
    if TYPE not in call.caller.snapshot.listening.types or len(_under_way) >= AT_ONCE_MAX:
        return
    _under_way.add(call.id_text)
    services.gate.spawn(_tell(services, call, reason))


async def _tell(services: Services, call: Call, reason: str) -> None:
    key = call.caller.key
    said = {
        "paywall": key.paywall_id,
        "live": key.livemode,
        "key": key.id,
        "user": call.user,
        "request": call.request_id,
        "reason": reason,
    }
    try:
        await services.gate.database.value(
            "SELECT billing_events_blocked(%s::jsonb)", [orjson.dumps(said).decode()]
        )
    except (GateUnavailableError, psycopg.Error) as problem:
        log.warning("event.not_told", problem=type(problem).__name__)
    finally:
        _under_way.discard(call.id_text)
