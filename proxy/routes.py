"""Every address of the public API, in the order of the reference."""

from typing import Final

from django.conf import settings

from paywalls import keys
from proxy import chat, openapi, pages
from proxy.api import (
    balance,
    charge,
    checkout,
    connect,
    deposit,
    entitlements,
    history,
    menu,
    models,
    packages,
    portal,
    promo,
    quote,
    receipts,
    requests,
    topup,
    usage,
    webhooks,
)
from proxy.router import Endpoint, Public, Route

ROUTES: Final = (
    Route(
        "/v1/chat/completions",
        {
            "POST": Endpoint(
                handler=chat.complete,
                scope=keys.CHAT,
                spends=True,
                moves_money=True,
                body="required",
                body_bytes_max=settings.REQUEST_BODY_BYTES_MAX,
            )
        },
    ),
    Route(
        "/v1/models",
        {"GET": Endpoint(handler=models.show, scope=keys.MODELS, needs_user=False)},
    ),
    Route("/v1/user/balance", {"GET": Endpoint(handler=balance.show, scope=keys.BALANCE)}),
    Route("/v1/user/balance/topup", {"GET": Endpoint(handler=topup.show, scope=keys.BALANCE)}),
    Route(
        "/v1/user/balance/deposit",
        {
            "POST": Endpoint(
                handler=deposit.create, scope=keys.DEPOSIT, moves_money=True, body="required"
            )
        },
    ),
    Route(
        "/v1/user/charge",
        {
            "POST": Endpoint(
                handler=charge.create,
                scope=keys.CHARGE,
                spends=True,
                moves_money=True,
                body="required",
            )
        },
    ),
    Route("/v1/user/connect", {"GET": Endpoint(handler=connect.connect, scope=keys.CONNECT)}),
    Route(
        "/v1/user/disconnect",
        {
            "GET": Endpoint(handler=connect.disconnect, scope=keys.CONNECT),
            "POST": Endpoint(handler=connect.disconnect, scope=keys.CONNECT, body="optional"),
        },
    ),
    Route(
        "/v1/packages",
        {"GET": Endpoint(handler=packages.show, scope=keys.BALANCE, needs_user=False)},
    ),
    Route(
        "/v1/user/checkout",
        {"POST": Endpoint(handler=checkout.create, scope=keys.BALANCE, body="required")},
    ),
    Route(
        "/v1/user/promo",
        {"POST": Endpoint(handler=promo.create, scope=keys.BALANCE, body="required")},
    ),
    Route("/v1/user/portal", {"GET": Endpoint(handler=portal.show, scope=keys.BALANCE)}),
    Route(
        "/v1/user/entitlements",
        {"GET": Endpoint(handler=entitlements.show, scope=keys.BALANCE)},
    ),
    Route("/v1/user/usage", {"GET": Endpoint(handler=usage.show, scope=keys.USAGE)}),
    Route("/v1/user/history", {"GET": Endpoint(handler=history.show, scope=keys.USAGE)}),
    Route("/v1/user/menu", {"GET": Endpoint(handler=menu.show, scope=keys.BALANCE)}),
    Route(
        "/v1/quote",
        {
            "POST": Endpoint(
                handler=quote.create,
                scope=keys.CHAT,
                body="required",
                body_bytes_max=settings.REQUEST_BODY_BYTES_MAX,
            )
        },
    ),
    Route(
        "/v1/requests/{id}",
        {"GET": Endpoint(handler=requests.show, scope=keys.REQUESTS, needs_user=False)},
    ),
    Route(
        "/v1/receipts/{id}",
        {"GET": Endpoint(handler=receipts.show, scope=keys.REQUESTS, needs_user=False)},
    ),
    Route(
        "/v1/webhooks/subscriptions",
        {
            "GET": Endpoint(handler=webhooks.index, scope=keys.WEBHOOKS, needs_user=False),
            "POST": Endpoint(
                handler=webhooks.create, scope=keys.WEBHOOKS, needs_user=False, body="required"
            ),
        },
    ),
    Route(
        "/v1/webhooks/subscriptions/{id}",
        {
            "GET": Endpoint(handler=webhooks.show, scope=keys.WEBHOOKS, needs_user=False),
            "PATCH": Endpoint(
                handler=webhooks.update, scope=keys.WEBHOOKS, needs_user=False, body="required"
            ),
            "DELETE": Endpoint(handler=webhooks.remove, scope=keys.WEBHOOKS, needs_user=False),
        },
    ),
    Route(
        "/v1/webhooks/subscriptions/{id}/rotate",
        {
            "POST": Endpoint(
                handler=webhooks.rotate, scope=keys.WEBHOOKS, needs_user=False, body="optional"
            )
        },
    ),
    Route(
        "/v1/webhooks/logs",
        {"GET": Endpoint(handler=webhooks.log, scope=keys.WEBHOOKS, needs_user=False)},
    ),
    Route(
        "/v1/webhooks/logs/{id}/replay",
        {
            "POST": Endpoint(
                handler=webhooks.replay, scope=keys.WEBHOOKS, needs_user=False, body="optional"
            )
        },
    ),
    Route("/v1/checkout/{token}", {"GET": Public(pages.checkout)}),
    Route("/v1/openapi.json", {"GET": Public(openapi.as_json)}),
    Route("/v1/openapi.yml", {"GET": Public(openapi.as_yaml)}),
)
