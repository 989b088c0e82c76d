"""The shapes of the public API, as JSON Schema; `proxy.openapi` puts them together."""

from typing import Any, Final

from config.kit.limits import (
    EXTERNAL_USER_CHARS_MAX,
    IDEMPOTENCY_KEY_CHARS_MAX,
    LABEL_CHARS_MAX,
    MESSAGES_MAX,
    MODEL_CHARS_MAX,
)

type Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
DECIMAL: Final[Schema] = {
    "type": "string",
    "pattern": r"^(0|[1-9][0-9]*)(\.[0-9]{1,9})?$",
    "description": "A decimal string in the paywall's currency.",
    "examples": ["0.001"],
}
SIGNED: Final[Schema] = {
    "type": "string",
    "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]{1,19})?$",
    "description": "A decimal string in the paywall's currency; below zero with a minus.",
    "examples": ["-0.001"],
}
AMOUNT: Final[Schema] = {
    "description": "Above zero, at most nine decimals, no sign, no exponent.",
    "oneOf": [
        {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?$"},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000_000},
    ],
    "examples": ["0.001"],
}
USER: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": EXTERNAL_USER_CHARS_MAX,
    "pattern": r"^\S+$",
    "description": "Your id of the end user. Also `X-Paywall-User` or `/v1/{user}/…`.",
    "examples": ["acme:user_123"],
}
METADATA: Final[Schema] = {
    "type": ["object", "null"],
    "description": "Up to 8 kB of JSON that is kept with the movement.",
}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object; unknown fields are allowed, as the API ignores them."""
    return {
        "type": "object",
        "required": list(required),
        "properties": required | (optional or {}),
    }


def listed(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_SPENDING: Final = {
    "spent": DECIMAL,
    "requests": COUNT,
    "promptTokens": COUNT,
    "completionTokens": COUNT,
}
_NULLABLE: Final[Schema] = {"type": ["string", "null"]}
_NULLABLE_SIGNED: Final[Schema] = {**SIGNED, "type": ["string", "null"]}
_NULLABLE_TIME: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}

ERROR: Final = record(
    {
        "error": record(
            {"message": TEXT, "type": TEXT, "param": _NULLABLE, "code": TEXT},
            {"request_id": TEXT},
        )
    }
)
CHAT_REQUEST: Final = record(
    {
        "model": {"type": "string", "minLength": 1, "maxLength": MODEL_CHARS_MAX},
        "messages": {
            "type": "array",
            "minItems": 1,
            "maxItems": MESSAGES_MAX,
            "items": record({"role": TEXT}, {"content": {"type": ["string", "array", "null"]}}),
        },
    },
    {
        "user": USER,
        "stream": {"type": ["boolean", "null"]},
        "max_tokens": {"type": ["integer", "null"], "minimum": 1},
        "max_completion_tokens": {"type": ["integer", "null"], "minimum": 1},
    },
)
CHAT_ANSWER: Final = record(
    {"id": TEXT, "object": TEXT, "choices": listed({"type": "object"})},
    {
        "created": COUNT,
        "model": TEXT,
        "usage": {"type": ["object", "null"]},
        "paywall": record({"status": TEXT, "reason": TEXT}, {"url": _NULLABLE}),
    },
)
QUOTE: Final = record(
    {
        "min": DECIMAL,
        "max": DECIMAL,
        "affordableMaxTokens": COUNT,
        "currency": TEXT,
        "priceVersion": TEXT,
    }
)
EVENT: Final = record({"data": TEXT}, {"event": TEXT})
MODELS: Final = record(
    {
        "object": {"const": "list"},
        "data": listed(
            record(
                {
                    "id": TEXT,
                    "object": {"const": "model"},
                    "created": COUNT,
                    "owned_by": TEXT,
                    "name": TEXT,
                    "display_name": TEXT,
                    "description": TEXT,
                    "context_length": {"type": ["integer", "null"]},
                    "pricing": record(
                        {
                            "prompt": DECIMAL,
                            "completion": DECIMAL,
                            "request": DECIMAL,
                            "minimum": DECIMAL,
                            "input_cache_read": DECIMAL,
                        }
                    ),
                }
            )
        ),
    }
)
BALANCE: Final = record(
    {
        "balance": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "Whole millionths of the currency's unit.",
            "examples": ["12345678"],
        },
        "balanceFormatted": DECIMAL | {"examples": ["12.345678"]},
    }
)
DEPOSIT_REQUEST: Final = record(
    {"amount": AMOUNT},
    {
        "user": USER,
        "metadata": METADATA,
        "expiresAt": {"type": ["string", "null"], "format": "date-time"},
    },
)
DEPOSIT_ANSWER: Final = record({"balanceFormatted": DECIMAL, "transactionId": TEXT})
CHARGE_REQUEST: Final = record({"amount": AMOUNT}, {"user": USER, "metadata": METADATA})
CHARGE_ANSWER: Final = record(
    {"success": {"type": "boolean"}, "message": TEXT},
    {
        "transactionId": TEXT,
        "url": {"type": ["string", "null"], "format": "uri"},
        "reason": {
            "enum": [
                "insufficient_balance",
                "debt",
                "payments_unavailable",
                "authorization_required",
                "cap_reached",
            ]
        },
    },
)
CONNECTED: Final = record(
    {"connected": {"type": "boolean"}, "message": TEXT},
    {
        "connectedUser": record(
            {"paywallKeyId": TEXT, "userId": TEXT, "externalUserId": TEXT, "createdAt": TIME}
        ),
        "url": {"type": "string", "format": "uri"},
    },
)
DISCONNECTED: Final = record({"success": {"type": "boolean"}, "message": TEXT})
USAGE: Final = record(
    {
        "period": {"enum": ["day", "week", "month", "all"]},
        **_SPENDING,
        "byModel": listed(record({"model": TEXT, **_SPENDING})),
        "byDay": listed(record({"day": {"type": "string", "format": "date"}, **_SPENDING})),
    }
)
REQUEST: Final = record(
    {
        "id": TEXT,
        "status": TEXT,
        "model": TEXT,
        "usage": {"type": "object", "additionalProperties": COUNT},
        "usageSource": {"enum": ["provider", "estimated", "none"]},
        "cost": DECIMAL,
        "policy": TEXT,
        "error": _NULLABLE,
        "createdAt": TIME,
        "finishedAt": _NULLABLE_TIME,
        "receiptUrl": _NULLABLE,
    }
)
_SPENT: Final = {"spent": DECIMAL, "requests": COUNT}
HISTORY: Final = record(
    {
        "data": listed(
            record(
                {
                    "id": TEXT,
                    "type": TEXT,
                    "amount": SIGNED,
                    "balanceAfter": _NULLABLE_SIGNED,
                    "model": _NULLABLE,
                    "run": _NULLABLE,
                    "feature": _NULLABLE,
                    "requestId": _NULLABLE,
                    "createdAt": TIME,
                    "receiptUrl": TEXT,
                }
            )
        ),
        "next": _NULLABLE,
    },
    {
        "totals": record(
            {
                "since": _NULLABLE_TIME,
                "byRun": listed(record({"run": TEXT, **_SPENT})),
                "byFeature": listed(record({"feature": TEXT, **_SPENT})),
            }
        )
    },
)
MENU: Final = record({"topup": TEXT, "activity": TEXT, "wallet": TEXT})
RECEIPT: Final = record(
    {
        "id": TEXT,
        "type": TEXT,
        "user": TEXT,
        "currency": TEXT,
        "amount": SIGNED,
        "total": DECIMAL,
        "items": listed(
            record(
                {
                    "name": TEXT,
                    "count": {"type": ["integer", "null"]},
                    "rate": _NULLABLE,
                    "per": {"type": ["integer", "null"]},
                    "amount": SIGNED,
                }
            )
        ),
        "balanceBefore": _NULLABLE_SIGNED,
        "balanceAfter": _NULLABLE_SIGNED,
        "split": {
            "anyOf": [
                record(
                    {"providerCost": SIGNED, "platformFee": SIGNED, "developerEarnings": SIGNED}
                ),
                {"type": "null"},
            ]
        },
        "requestId": _NULLABLE,
        "model": _NULLABLE,
        "usage": {"type": ["object", "null"], "additionalProperties": COUNT},
        "usageSource": _NULLABLE,
        "policy": _NULLABLE,
        "priceVersion": _NULLABLE,
        "refunds": listed(record({"id": TEXT, "amount": DECIMAL, "createdAt": TIME})),
        "of": _NULLABLE,
        "createdAt": TIME,
        "receiptUrl": TEXT,
    }
)
IDEMPOTENCY_KEY: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": IDEMPOTENCY_KEY_CHARS_MAX,
    "pattern": "^[!-~]+$",
}
LABEL: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": LABEL_CHARS_MAX}
