"""`/_test/…`: how tests, the demo and a curious developer drive the stand-in. JSON in and out."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from tests.fakes.stripe import (
    jobs,
    keys,
    methods,
    outcomes,
)
from tests.fakes.stripe.api import Api
from tests.fakes.stripe.delivery import Dispatcher
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.expand import public
from tests.fakes.stripe.faults import Fault
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import ACCOUNT, Key, Thing, World

type Given = dict[str, Any]
type Answer = Callable[["Control", dict[str, str], Given], Awaitable[Any]]

ROUTES: Final[list[tuple[str, re.Pattern[str], Answer]]] = []


def route(method: str, path: str) -> Callable[[Answer], Answer]:
    def add_route(answer: Answer) -> Answer:
        ROUTES.append((method, re.compile("/_test" + path), answer))
        return answer

    return add_route


@dataclass
class Control:
    """All that a `_test` call may touch."""

    world: World
    api: Api
    dispatcher: Dispatcher

    async def answer(self, method: str, path: str, given: Given) -> Any:
        """Raises: ApiError"""
        for wanted, pattern, answer in ROUTES:
            if wanted == method and (match := pattern.fullmatch(path)):
                value = await answer(self, match.groupdict(), given)
                self.world.is_changed = True
                return public(value)
        raise ApiError(f"There is no {method} {path}; the package's docstring lists what there is.")

    def desk(self, thing_id: str) -> tuple[Desk, Thing]:
        realm, thing = self.world.realm_of(thing_id)
        return Desk(self.world, realm), thing


@route("POST", "/sessions/(?P<id>[^/]+)/(?P<outcome>[a-z_]+)")
async def finish_session(control: Control, ids: dict[str, str], given: Given) -> Any:
    """pay, pay_async, decline, expire, async_succeed, async_fail; answers with the session.

    given, for the first three: `email`, `promotion_code`, and `card` (such as `createDispute`).
    """
    desk, session = control.desk(ids["id"])
    cards = {"pay": "visa", "decline": "chargeDeclined"}
    outcome = ids["outcome"]
    if outcome in ("pay", "decline", "pay_async"):
        kind = "sepa_debit" if outcome == "pay_async" else "card"
        card = str(given.pop("card", cards.get(outcome, "visa")))
        method = methods.new(desk, methods.CARDS[card], kind)
        return outcomes.pay(desk, session, method, **given)
    if outcome in ("async_succeed", "async_fail"):
        return outcomes.settle_later(desk, session, succeeds=outcome == "async_succeed")
    if outcome != "expire" or session["status"] != "open":
        raise ApiError(f"A session that is {session['status']} cannot {outcome}.")
    outcomes.expire(desk, session)
    return session


@route("POST", "/clock/advance")
async def advance_clock(control: Control, _ids: dict[str, str], given: Given) -> Any:
    """{"seconds"}: renews, expires, retries and delivers what falls on the way."""
    await jobs.advance(control.world, control.dispatcher, int(given["seconds"]))
    return {"now": control.world.now()}


@route("POST", "/objects/(?P<id>[^/]+)")
async def tamper(control: Control, ids: dict[str, str], given: Given) -> Any:
    """Set attributes of any object to anything, without an event."""
    _, thing = control.desk(ids["id"])
    thing.update(given)
    return thing


@route("GET", "/objects/(?P<id>[^/]+)")
async def look(control: Control, ids: dict[str, str], _given: Given) -> Any:
    return control.desk(ids["id"])[1]


@route("POST", "/keys")
async def add_key(control: Control, _ids: dict[str, str], given: Given) -> Any:
    """{"key": "rk_test_…", "permissions": ["checkout_session_write", …], "account"}.

    Without `permissions` an `rk_` key gets all that a paywall needs; an `sk_` key may do anything.
    The same key again replaces it.
    """
    secret = str(given["key"])
    match = keys.KEY.fullmatch(secret)
    if match is None:
        raise ApiError("A key looks like rk_test_… or sk_live_….", param="key")
    account = str(given.get("account", ACCOUNT))
    standard = None if match[1] == "sk" else list(keys.PERMISSIONS)
    key = Key(secret, account, match[2] == "live", given.get("permissions", standard))
    control.world.keys[secret] = key
    return asdict(key)


@route("POST", "/keys/(?P<key>[^/]+)/(?P<what>revoke|restore)")
async def revoke(control: Control, ids: dict[str, str], _given: Given) -> Any:
    key = control.world.keys[ids["key"]]
    key.is_revoked = ids["what"] == "revoke"
    return asdict(key)


@route("POST", "/faults")
async def order_fault(control: Control, _ids: dict[str, str], given: Given) -> Any:
    """{"kind": see `faults.KINDS`, "path": "/v1/checkout/*", "method", "times", "seconds"}."""
    fault = Fault.of(given)
    control.api.faults.append(fault)
    return asdict(fault)


@route("DELETE", "/faults")
async def forget_faults(control: Control, _ids: dict[str, str], _given: Given) -> Any:
    control.api.faults.clear()
    return {}


@route("GET", "/calls")
async def count_calls(control: Control, _ids: dict[str, str], _given: Given) -> Any:
    """{"total", "peak_per_s", "calls": {"POST /v1/checkout/sessions": 1, …}}."""
    return control.api.counts()


@route("DELETE", "/calls")
async def forget_calls(control: Control, _ids: dict[str, str], _given: Given) -> Any:
    control.api.calls.clear()
    return {}


@route("POST", "/reset")
async def reset(control: Control, _ids: dict[str, str], _given: Given) -> Any:
    """As new: no objects, the seeded keys alone, the real time."""
    await control.dispatcher.stop()
    control.api.faults.clear()
    control.api.calls.clear()
    control.world.clear()
    keys.seed(control.world)
    return {}
