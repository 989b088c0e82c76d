"""GET /v1/openapi.json and .yml: the public API, described for programs. Made once a process."""

from collections.abc import Mapping
from functools import cache
from typing import Final

import orjson
from django.conf import settings

from proxy import sale_schemas, schemas, webhook_schemas
from proxy.operation import WITH_BODY, Operation
from proxy.requests import Exchange
from proxy.responses import request_header, write
from proxy.schemas import Schema

VERSION: Final = "3.1.0"
STATUSES: Final[Mapping[int, str]] = {
    400: "Something in the request is missing or malformed; `param` names it.",
    401: "The key is not valid.",
    402: "Money or an authorization is needed, in error mode.",
    403: "Key or paywall do not permit this.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "An earlier request with this Idempotency-Key runs or is done; or what is meant is off.",
    413: "The body is too large.",
    415: "The body is not plain JSON.",
    422: "The Idempotency-Key was used for another request.",
    429: "A limit is reached; `Retry-After` says when to come back.",
    500: "A bug of ours.",
    502: "The provider failed.",
    503: "The platform is not available; nothing was charged.",
    504: "The provider took too long.",
}
ALWAYS: Final = (400, 401, 403, 404, 500, 503)
MOVES_MONEY: Final = (402, 409, 422, 429)

_MONEY_HEADERS: Final = ("idempotencyKey", "userHeader", "mode", "feature", "run")
_MONEY: Final = (*WITH_BODY, *MOVES_MONEY)

OPERATIONS: Final = (
    Operation(
        path="/chat/completions",
        method="post",
        name="createChatCompletion",
        summary="A chat completion, as OpenAI has it, paid by the end user's wallet",
        answer=schemas.CHAT_ANSWER,
        media=("application/json", "text/event-stream"),
        body=schemas.CHAT_REQUEST,
        example={
            "model": "demo/echo",
            "user": "acme:user_123",
            "messages": [{"role": "user", "content": "Hello"}],
        },
        parameters=(*_MONEY_HEADERS, "maxCost"),
        statuses=(*_MONEY, 502, 504),
    ),
    Operation(
        path="/models",
        name="listModels",
        summary="The models this key may call, at selling prices per million tokens",
        answer=schemas.MODELS,
    ),
    Operation(
        path="/user/balance",
        name="getBalance",
        summary="What a user can spend",
        answer=schemas.BALANCE,
        parameters=("userQuery", "userHeader"),
    ),
    Operation(
        path="/user/balance/topup",
        name="getTopup",
        summary="The page where a user can top up",
        answer=schemas.record({"url": schemas.TEXT}),
        parameters=("userQuery", "userHeader"),
    ),
    Operation(
        path="/user/balance/deposit",
        method="post",
        name="createDeposit",
        summary="Credit a user with money that you took outside (Default mode)",
        answer=schemas.DEPOSIT_ANSWER,
        body=schemas.DEPOSIT_REQUEST,
        example={"user": "acme:user_123", "amount": "5"},
        parameters=("idempotencyKey", "userHeader"),
        statuses=_MONEY,
    ),
    Operation(
        path="/user/charge",
        method="post",
        name="createCharge",
        summary="Charge a user for something of your own, all or nothing",
        answer=schemas.CHARGE_ANSWER,
        body=schemas.CHARGE_REQUEST,
        example={"user": "acme:user_123", "amount": "0.05"},
        parameters=_MONEY_HEADERS,
        statuses=_MONEY,
    ),
    Operation(
        path="/user/connect",
        name="connectUser",
        summary="Whether a user is connected; in Default mode always, in Shared mode by a wallet",
        answer=schemas.CONNECTED,
        parameters=("userQuery", "userHeader"),
    ),
    Operation(
        path="/user/disconnect",
        name="disconnectUser",
        summary="Withdraw what a wallet allows a user; in Default mode there is nothing",
        answer=schemas.DISCONNECTED,
        parameters=("userQuery", "userHeader"),
    ),
    Operation(
        path="/user/disconnect",
        method="post",
        name="disconnectUserByPost",
        summary="The same as GET",
        answer=schemas.DISCONNECTED,
        body=schemas.record({}, {"user": schemas.USER}),
        body_required=False,
        example={"user": "acme:user_123"},
        parameters=("userHeader",),
        statuses=WITH_BODY,
    ),
    Operation(
        path="/user/usage",
        name="getUsage",
        summary="What a user spent, by model and by day",
        answer=schemas.USAGE,
        parameters=("userQuery", "userHeader", "period"),
    ),
    Operation(
        path="/user/history",
        name="getHistory",
        summary="The movements on a user's wallet, with totals by run and feature",
        answer=schemas.HISTORY,
        parameters=("userQuery", "userHeader", "cursor"),
    ),
    Operation(
        path="/user/menu",
        name="getMenu",
        summary="Links for a menu, to pages that need no login, good for an hour",
        answer=schemas.MENU,
        parameters=("userQuery", "userHeader"),
    ),
    Operation(
        path="/quote",
        method="post",
        name="createQuote",
        summary="What a chat would cost at today's prices; nothing is held",
        answer=schemas.QUOTE,
        body=schemas.CHAT_REQUEST,
        example={
            "model": "demo/echo",
            "user": "acme:user_123",
            "messages": [{"role": "user", "content": "Hello"}],
        },
        parameters=("userHeader", "feature", "maxCost"),
        statuses=(*WITH_BODY, 429),
    ),
    Operation(
        path="/requests/{id}",
        name="getRequest",
        summary="One request: what it used and cost",
        answer=schemas.REQUEST,
        parameters=("requestId",),
    ),
    Operation(
        path="/receipts/{id}",
        name="getReceipt",
        summary="What a movement came from, in items that add up to it",
        answer=schemas.RECEIPT,
        parameters=("transactionId",),
    ),
    *sale_schemas.OPERATIONS,
    *webhook_schemas.OPERATIONS,
    Operation(
        path="/checkout/{token}",
        name="openCheckout",
        summary="The link in an assistant's message; redirects to its page",
        parameters=("token",),
        is_public=True,
        success=303,
    ),
    Operation(
        path="/openapi.json",
        name="getOpenapiJson",
        summary="This document",
        answer={"type": "object"},
        is_public=True,
    ),
    Operation(
        path="/openapi.yml",
        name="getOpenapiYaml",
        summary="This document, as YAML",
        answer={},
        media=("application/yaml",),
        is_public=True,
    ),
)


def _parameter(name: str, place: str, schema: Schema, text: str) -> Schema:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": text,
    }


PARAMETERS: Final[Mapping[str, Schema]] = {
    "feature": _parameter(
        "X-Paywall-Feature", "header", schemas.LABEL, "Chooses a price rule; groups in reports."
    ),
    "idempotencyKey": _parameter(
        "Idempotency-Key",
        "header",
        schemas.IDEMPOTENCY_KEY,
        "A new value for each call, the same value when it is repeated: it then moves money once.",
    ),
    "maxCost": _parameter(
        "X-Paywall-Max-Cost", "header", schemas.DECIMAL, "The most that this call may cost."
    ),
    "mode": _parameter(
        "X-Paywall-Mode",
        "header",
        {"enum": ["message", "error"]},
        "Whether a refusal for money is a message or HTTP 402.",
    ),
    "period": _parameter("period", "query", schemas.USAGE["properties"]["period"], "Default month"),
    "requestId": _parameter("id", "path", schemas.TEXT, "From `x-request-id`"),
    "run": _parameter("X-Paywall-Run", "header", schemas.LABEL, "Joins several calls of one job."),
    "token": _parameter("token", "path", schemas.TEXT, "From the message"),
    "transactionId": _parameter("id", "path", schemas.TEXT, "Of the movement: `txn_…`"),
    "userHeader": _parameter("X-Paywall-User", "header", schemas.USER, "The end user"),
    "userQuery": _parameter("user", "query", schemas.USER, "The end user"),
    **{name: _parameter(*each) for name, each in webhook_schemas.PARAMETERS.items()},
}


@cache
def document() -> bytes:
    """The OpenAPI document as JSON."""
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return orjson.dumps(
        {
            "openapi": VERSION,
            "info": {
                "title": "Paywalls",
                "version": "1",
                "description": "OpenAI-compatible, with wallets, prices and a ledger.",
            },
            "servers": [{"url": f"{settings.BASE_URL}/v1"}],
            "security": [{"key": []}],
            "paths": paths,
            "components": {
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
                "parameters": PARAMETERS,
                "responses": {str(status): _refusal(status) for status in STATUSES},
                "schemas": {"Error": schemas.ERROR},
            },
        }
    )


def _described(operation: Operation) -> Schema:
    statuses = (400, 404, 500, 503) if operation.is_public else (*ALWAYS, *operation.statuses)
    described: Schema = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [
            {"$ref": f"#/components/parameters/{name}"} for name in operation.parameters
        ],
        "responses": {
            str(operation.success): _success(operation),
            **{
                str(status): {"$ref": f"#/components/responses/{status}"}
                for status in sorted(statuses)
            },
        },
    }
    if operation.is_public:
        described["security"] = []
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": _media(operation.body, operation.example)},
        }
    return described


def _success(operation: Operation) -> Schema:
    headers = {"x-request-id": {"schema": schemas.TEXT}}
    if operation.answer is None:
        location = {"location": {"schema": schemas.TEXT}}
        return {"description": "The page behind the link.", "headers": headers | location}
    return {
        "description": "Done.",
        "headers": headers,
        "content": {
            kind: _media(schemas.EVENT if kind == "text/event-stream" else operation.answer)
            for kind in operation.media
        },
    }


def _media(schema: Schema, example: Schema | None = None) -> Schema:
    return {"schema": schema} | ({"example": example} if example else {})


def _refusal(status: int) -> Schema:
    return {
        "description": STATUSES[status],
        "headers": {"x-request-id": {"schema": schemas.TEXT}},
        "content": {"application/json": _media({"$ref": "#/components/schemas/Error"})},
    }


async def as_json(exchange: Exchange, _parts: Mapping[str, str]) -> None:
    await write(exchange.send, 200, document(), [request_header(exchange.id_text)])


async def as_yaml(exchange: Exchange, _parts: Mapping[str, str]) -> None:
    """JSON is YAML too."""
    kind = (b"content-type", b"application/yaml")
    await write(exchange.send, 200, document(), [request_header(exchange.id_text)], kind)
