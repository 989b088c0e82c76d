"""Pages of objects, newest first, with Stripe's cursors."""

from collections.abc import Iterable
from typing import Any

from tests.fakes.stripe.errors import ApiError, NotFoundError
from tests.fakes.stripe.routes import Call
from tests.fakes.stripe.world import Thing

LIMIT, LIMIT_MAX = 10, 100
CURSORS = frozenset({"limit", "starting_after", "ending_before", "expand"})


def whole(things: list[Thing], url: str) -> Thing:
    """A list that stands inside another object."""
    return {"object": "list", "data": things, "has_more": False, "url": url}


def page(call: Call, things: Iterable[Thing], *, url: str, filters: tuple[str, ...] = ()) -> Thing:
    """One page of `things`, which come oldest first.

    filters: parameters that must equal the object's attribute of that name; `created` always may
        be one moment or a range.
    """
    found = [thing for thing in things if _passes(thing, call.params, filters)]
    return window(call, found[::-1], url=url)


def window(call: Call, found: list[Thing], *, url: str) -> Thing:
    """One page of what is already in its order."""
    limit = call.params.get("limit", LIMIT)
    if not 1 <= limit <= LIMIT_MAX:
        raise ApiError(f"Invalid limit: must be between 1 and {LIMIT_MAX}", param="limit")
    after, before = call.params.get("starting_after"), call.params.get("ending_before")
    if after and before:
        raise ApiError("Received both starting_after and ending_before parameters.")
    if before:
        newer = found[: _place(found, before, "ending_before")]
        rows, has_more = newer[-limit:], len(newer) > limit
    else:
        rest = found[_place(found, after, "starting_after") + 1 :] if after else found
        rows, has_more = rest[:limit], len(rest) > limit
    return {"object": "list", "data": rows, "has_more": has_more, "url": url}


def _place(found: list[Thing], cursor: str, param: str) -> int:
    for index, thing in enumerate(found):
        if thing["id"] == cursor:
            return index
    raise NotFoundError("object", cursor, param=param)


def _passes(thing: Thing, params: dict[str, Any], filters: tuple[str, ...]) -> bool:
    for name in filters:
        if name in params and thing.get(name) != params[name]:
            return False
    created = params.get("created")
    if created is None:
        return True
    when = thing["created"]
    if not isinstance(created, dict):
        return bool(when == created)
    checks = {
        "gt": lambda bound: when > bound,
        "gte": lambda bound: when >= bound,
        "lt": lambda bound: when < bound,
        "lte": lambda bound: when <= bound,
    }
    return all(checks[name](bound) for name, bound in created.items())
