"""Parameters, held to stripe-python's own types: names, kinds, enumerations, what is required.

A form has only strings; `typed` turns them into what the SDK's `…Params` class says they are, and
refuses the rest with Stripe's words. So a parameter that Stripe does not know is refused here too.
"""

import re
import sys
import types
import typing
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, NotRequired, Union, get_args, get_origin

import stripe
import stripe.params
import typing_extensions
from stripe._request_options import RequestOptions

from tests.fakes.stripe.errors import ApiError

METADATA_MAX, METADATA_NAME_MAX, METADATA_VALUE_MAX = 50, 40, 500
OPTIONS = frozenset(RequestOptions.__annotations__)
INT = re.compile(r"-?\d{1,19}")


def typed(params: dict[str, Any], name: str) -> dict[str, Any]:
    """The parameters as the class `name` of `stripe.params` declares them.

    Raises: ApiError in Stripe's form, naming the parameter.
    """
    return _struct(params, _params_class(name), "")


def _params_class(name: str) -> Any:
    found: Any = stripe.params
    for part in name.split("."):
        found = getattr(found, part)
    return found


@cache
def fields(cls: Any) -> dict[str, tuple[Any, bool]]:
    """Name → (type, is required)."""
    module = vars(sys.modules[cls.__module__])
    found: dict[str, tuple[Any, bool]] = {}
    for name, declared in cls.__annotations__.items():
        if name not in OPTIONS:
            is_optional = get_origin(declared) is NotRequired
            kind = get_args(declared)[0] if is_optional else declared
            found[name] = resolve(kind, module), not is_optional
    return found


def resolve(kind: Any, module: dict[str, Any]) -> Any:
    """A type instead of its name."""
    if isinstance(kind, typing.ForwardRef):
        kind = kind.__forward_arg__
    if isinstance(kind, str):
        return eval(kind, module)
    if get_origin(kind) is list:
        return list[resolve(get_args(kind)[0], module)]  # type: ignore[misc]
    if get_origin(kind) in (Union, types.UnionType):
        return Union[tuple(resolve(inner, module) for inner in get_args(kind))]  # noqa: UP007
    return kind


def _struct(value: Any, cls: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ApiError("Invalid object", param=path)
    known = fields(cls)
    for name in value:
        if name not in known:
            whole = _join(path, name)
            raise ApiError(
                f"Received unknown parameter: {whole}", code="parameter_unknown", param=whole
            )
    for name, (_, is_required) in known.items():
        if is_required and name not in value:
            whole = _join(path, name)
            raise ApiError(
                f"Missing required param: {whole}.", code="parameter_missing", param=whole
            )
    return {name: _value(inner, known[name][0], _join(path, name)) for name, inner in value.items()}


def _join(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def _value(value: Any, kind: Any, path: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _one_of(value, get_args(kind), path)
    if origin is Literal:
        return _choice(value, get_args(kind), path)
    if origin is list:
        if not isinstance(value, list):
            raise ApiError("Invalid array", param=path)
        (inner,) = get_args(kind)
        return [_value(each, inner, f"{path}[{index}]") for index, each in enumerate(value)]
    if origin is dict or getattr(origin, "__name__", "") == "UntypedStripeObject":
        return _mapping(value, path)
    if typing_extensions.is_typeddict(kind):
        return _struct(value, kind, path)
    return _plain(value, kind, path)


def _one_of(value: Any, kinds: tuple[Any, ...], path: str) -> Any:
    """The branch that fits. An open enumeration (`Literal[…] | str`) is held to its names."""
    named = [kind for kind in kinds if get_origin(kind) is Literal]
    others = [kind for kind in kinds if kind not in named and kind is not type(None)]
    names = tuple(name for kind in named for name in get_args(kind))
    if value in names:
        return value
    if names not in ((), ("",)) and str in others and isinstance(value, str):
        others.remove(str)
    complaint: ApiError | None = None
    for kind in others:
        try:
            return _value(value, kind, path)
        except ApiError as error:
            complaint = complaint or error
    if complaint:
        raise complaint
    return _choice(value, names, path)


def _choice(value: Any, names: tuple[Any, ...], path: str) -> Any:
    if value in names:
        return value
    listed = ", ".join(str(name) for name in names[:-1]) + f", or {names[-1]}"
    raise ApiError(f"Invalid {path}: must be one of {listed}", param=path)


def _mapping(value: Any, path: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ApiError("Invalid object", param=path)
    if path.endswith("metadata"):
        if len(value) > METADATA_MAX:
            raise ApiError(f"Metadata can have at most {METADATA_MAX} keys.", param=path)
        for name, text in value.items():
            if len(name) > METADATA_NAME_MAX:
                raise ApiError(f"Metadata keys have at most {METADATA_NAME_MAX} characters.")
            if len(str(text)) > METADATA_VALUE_MAX:
                raise ApiError(
                    f"Metadata values can have up to {METADATA_VALUE_MAX} characters.",
                    param=_join(path, name),
                )
    return dict(value)


def _plain(value: Any, kind: Any, path: str) -> Any:
    if not isinstance(value, str):
        raise ApiError(f"Invalid string: {value}", param=path)
    if kind is bool:
        if value not in ("true", "false"):
            raise ApiError(f"Invalid boolean: {value}", param=path)
        return value == "true"
    if kind is int:
        if not INT.fullmatch(value):
            raise ApiError(
                f"Invalid integer: {value}", code="parameter_invalid_integer", param=path
            )
        return int(value)
    if kind in (Decimal, float):
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise ApiError(f"Invalid decimal: {value}", param=path) from None
        return number if kind is Decimal else float(number)
    return value
