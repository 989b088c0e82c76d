"""What a caller sees of an object: no private names, and whole objects where it asked for them."""

from collections.abc import Callable
from typing import Any, Final

from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import Thing

DEPTH_MAX = 4

type Includer = Callable[[Desk, Thing], Any]

INCLUDED: Final[dict[tuple[str, str], Includer]] = {}
"""What an object has only for those who ask: (kind, name) → how to make it."""


def included(kind: str, name: str) -> Callable[[Includer], Includer]:
    """`expand[]=name` on `kind` shows what the decorated function returns."""

    def add(make: Includer) -> Includer:
        INCLUDED[kind, name] = make
        return make

    return add


def public(value: Any) -> Any:
    """A copy without private names."""
    if isinstance(value, dict):
        return {name: public(inner) for name, inner in value.items() if name[:1] != "_"}
    if isinstance(value, list):
        return [public(inner) for inner in value]
    return value


def expanded(desk: Desk, thing: Thing, paths: list[str]) -> Thing:
    """A public copy with `paths` (such as `data.payment_intent.latest_charge`) as objects.

    Raises: ApiError for a path that leads nowhere.
    """
    shown: Thing = public(thing)
    for path in paths:
        parts = path.split(".")
        if len(parts) > DEPTH_MAX + (parts[0] == "data"):
            raise ApiError(f"You cannot expand more than {DEPTH_MAX} levels of a property.")
        _expand(desk, shown, parts, path)
    return shown


def _expand(desk: Desk, shown: Any, parts: list[str], path: str) -> None:
    if isinstance(shown, list):
        for each in shown:
            _expand(desk, each, parts, path)
    elif isinstance(shown, dict):
        name, rest = parts[0], parts[1:]
        shown[name] = _opened(desk, shown, name, path)
        if rest:
            _expand(desk, shown[name], rest, path)


def _opened(desk: Desk, shown: Thing, name: str, path: str) -> Any:
    """The attribute, whole. Raises: ApiError when there is no such attribute."""
    if make := INCLUDED.get((shown.get("object", ""), name)):
        whole = desk.realm.find(shown["object"], shown["id"])
        return shown.get(name) or public(make(desk, whole))
    if name not in shown:
        raise ApiError(f"This property cannot be expanded ({path}).", param="expand")
    value = shown[name]
    if isinstance(value, str):
        return _whole(desk, value, path)
    if isinstance(value, list):
        return [_whole(desk, each, path) if isinstance(each, str) else each for each in value]
    return value


def _whole(desk: Desk, thing_id: str, path: str) -> Thing:
    found = desk.realm.any(thing_id)
    if found is None:
        raise ApiError(f"This property cannot be expanded ({path}).", param="expand")
    shown: Thing = public(found)
    return shown
