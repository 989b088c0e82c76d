"""The fields of the money endpoints: amounts, metadata, dates."""

import datetime as dt
from typing import Final

import orjson

from config.kit import clock
from config.kit.errors import InvalidRequestError
from config.kit.limits import METADATA_BYTES_MAX, METADATA_DEPTH_MAX
from config.kit.money import parse_nanos
from proxy.body import check_shape, number_text
from proxy.requests import Call

EXPIRY_DAYS_MAX: Final = 36_525
"""A hundred years: later is a mistake, and some later dates are beyond the database."""


def amount_nanos(call: Call) -> int:
    """`amount`: a decimal string, or a number, which is read from its text.

    Raises: InvalidRequestError for all but 0.000000001 to 1000000000, without sign or exponent,
        and where a `currency` beside it is not the paywall's.
    """
    _check_currency(call)
    value = call.body.get("amount")
    text = ""
    if isinstance(value, str):
        text = value
    elif type(value) is int or type(value) is float:
        text = number_text(call.raw, "amount")
    nanos = parse_nanos(text)
    if not nanos:
        raise InvalidRequestError(
            '`amount` must be a decimal string above zero, such as "0.001": at most nine decimals'
            " and 1000000000, without sign or exponent.",
            param="amount",
        )
    return nanos


def _check_currency(call: Call) -> None:
    """No amount is ever taken for one in another currency."""
    named, own = call.body.get("currency"), call.caller.paywall.currency.upper()
    if named is None or (isinstance(named, str) and named.upper() == own):
        return
    raise InvalidRequestError(
        f"Amounts are in this paywall's currency, {own}: leave `currency` out, or send that.",
        param="currency",
    )


def metadata(call: Call) -> dict[str, object] | None:
    """`metadata`: a small object that is kept with the movement and shown in statements.

    Raises: InvalidRequestError.
    """
    value = call.body.get("metadata")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidRequestError("`metadata` must be an object.", param="metadata")
    text = orjson.dumps(value)
    if len(text) > METADATA_BYTES_MAX:
        raise InvalidRequestError(
            f"`metadata` is larger than {METADATA_BYTES_MAX} bytes.", param="metadata"
        )
    # PostgreSQL's text has no NUL. Escaped backslashes could be taken for the start of one.
    if b"\\u0000" in text.replace(b"\\\\", b""):
        raise InvalidRequestError("`metadata` holds a NUL character.", param="metadata")
    check_shape(value, depth_max=METADATA_DEPTH_MAX, what="`metadata`")
    return value


def expires_at(call: Call) -> dt.datetime | None:
    """`expiresAt`: an ISO-8601 time in the future; without an offset it is UTC.

    Raises: InvalidRequestError.
    """
    value = call.body.get("expiresAt")
    if value is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    now = clock.now()
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    if moment is None or not now < moment < now + dt.timedelta(days=EXPIRY_DAYS_MAX):
        raise InvalidRequestError(
            '`expiresAt` must be a time in the future, such as "2030-01-31T00:00:00Z".',
            param="expiresAt",
        )
    return moment
