"""Every address of the public API, in the order of the reference."""

from typing import Final

from django.conf import settings

from paywalls import keys
from proxy import chat, openapi, pages
from proxy.api import balance, charge, connect, deposit, models, requests, topup, usage
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
    Route("/v1/user/usage", {"GET": Endpoint(handler=usage.show, scope=keys.USAGE)}),
    Route(
        "/v1/requests/{id}",
        {"GET": Endpoint(handler=requests.show, scope=keys.REQUESTS, needs_user=False)},
    ),
    Route("/v1/checkout/{token}", {"GET": Public(pages.checkout)}),
    Route("/v1/openapi.json", {"GET": Public(openapi.as_json)}),
    Route("/v1/openapi.yml", {"GET": Public(openapi.as_yaml)}),
)
