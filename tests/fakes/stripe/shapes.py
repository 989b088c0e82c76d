"""Objects held to stripe-python's annotations: names, kinds, enumerations, nothing missing.

An enumeration that the SDK leaves open (`Literal[…] | str`) is held to its names all the same.
"""

import ast
import importlib
import inspect
import sys
import types
import typing
from decimal import Decimal
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import StripeObject

OPEN = {"type", "code"}
"""Attributes whose names the SDK does not all list."""


class Names(dict[str, Any]):
    """What an annotation in a class may name, also what is imported for type checkers alone."""

    def __init__(self, cls: type) -> None:
        module = sys.modules[cls.__module__]
        super().__init__(vars(module) | vars(cls))
        self.imports = imports_of(module)

    def __missing__(self, name: str) -> Any:
        module, original = self.imports[name]
        return getattr(importlib.import_module(module), original)


@cache
def imports_of(module: types.ModuleType) -> dict[str, tuple[str, str]]:
    """Local name → (module, name there)."""
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@cache
def fields(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("stripe.") and base is not StripeObject:
            names = Names(base)
            for name, kind in inspect.get_annotations(base).items():
                if not name.startswith("_") and name != "OBJECT_NAME":
                    found[name] = _resolve(kind, names)
    return found


def _resolve(kind: Any, names: Names) -> Any:
    if isinstance(kind, typing.ForwardRef):
        kind = kind.__forward_arg__
    if isinstance(kind, str):
        return _resolve(eval(kind, {}, names), names)
    if get_origin(kind) in (Union, types.UnionType):
        return Union[tuple(_resolve(each, names) for each in get_args(kind))]  # noqa: UP007
    if get_origin(kind) is list:
        return list[_resolve(get_args(kind)[0], names)]  # type: ignore[misc]
    if get_origin(kind) and get_origin(kind) is not Literal:
        return get_origin(kind)[tuple(_resolve(each, names) for each in get_args(kind))]
    return kind


def faults_of(thing: Any) -> list[str]:
    """What is wrong with an object, as `path: reason`; an empty list is a good one."""
    if thing.get("object") == "list":
        return [fault for each in thing["data"] for fault in faults_of(each)]
    if thing.get("deleted"):
        return []
    return list(_struct(thing, class_of(thing), thing["object"]))


def class_of(thing: dict[str, Any]) -> type:
    module, name = OBJECT_CLASSES[thing["object"]]
    found: type = getattr(importlib.import_module(module), name)
    return found


def _struct(thing: dict[str, Any], cls: type, path: str) -> typing.Iterator[str]:
    known = fields(cls)
    for name, value in thing.items():
        if known and name not in known:
            yield f"{path}.{name}: no such attribute of {cls.__name__}"
        elif known:
            yield from _value(value, known[name], f"{path}.{name}")
    for name, kind in known.items():
        if name not in thing and type(None) not in get_args(kind):
            yield f"{path}.{name}: missing"


def _value(value: Any, kind: Any, path: str) -> typing.Iterator[str]:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        yield from _union(value, get_args(kind), path)
    elif origin is Literal:
        if value not in get_args(kind):
            yield f"{path}: {value!r} is none of {get_args(kind)}"
    elif origin is list or isinstance(value, list):
        yield from _list(value, kind, path)
    elif isinstance(value, dict):
        yield from _dict(value, kind, path)
    elif not _is_plain(value, kind):
        yield f"{path}: {value!r} is not {kind}"


def _union(value: Any, kinds: tuple[Any, ...], path: str) -> typing.Iterator[str]:
    if value is None and type(None) in kinds:
        return
    named = [kind for kind in kinds if get_origin(kind) is Literal]
    others = [kind for kind in kinds if kind not in named and kind is not type(None)]
    if named and isinstance(value, str) and path.rpartition(".")[2] not in OPEN:
        others = [kind for kind in others if kind is not str]
    tries = [list(_value(value, kind, path)) for kind in (*named, *others)]
    if all(tries):
        yield from min(tries, key=len)


def _list(value: Any, kind: Any, path: str) -> typing.Iterator[str]:
    if not isinstance(value, list) or get_origin(kind) is not list:
        yield f"{path}: {value!r} is not {kind}"
        return
    for index, each in enumerate(value):
        yield from _value(each, get_args(kind)[0], f"{path}[{index}]")


def _dict(value: dict[str, Any], kind: Any, path: str) -> typing.Iterator[str]:
    cls = get_origin(kind) or kind
    if not isinstance(cls, type) or not issubclass(cls, StripeObject):
        yield f"{path}: an object is not {kind}"
    elif cls.__name__ == "ListObject":
        yield from (f"{path}: a list lacks {name}" for name in ("data", "url") if name not in value)
        for each in value.get("data", []):
            yield from _value(each, get_args(kind)[0], path)
    elif cls.__name__ != "UntypedStripeObject":
        yield from _struct(value, cls, path)


def _is_plain(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is Decimal:
        return isinstance(value, str)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)
