"""What the document says of what users can buy, and of what they have."""

from typing import Final

from proxy.operation import WITH_BODY, Operation
from proxy.schemas import AMOUNT, COUNT, DECIMAL, TEXT, TIME, USER, listed, record

_FLAG: Final = {"type": "boolean"}
_LINK: Final = record({"url": TEXT})
_PRODUCT: Final = {"id": TEXT, "name": TEXT, "price": DECIMAL, "credit": DECIMAL}
_PLAN: Final = {
    **_PRODUCT,
    "interval": {"enum": ["day", "week", "month", "year"]},
    "intervalCount": COUNT,
    "rollover": _FLAG,
    "drip": _FLAG,
    "entitlements": listed(TEXT),
}
_OWN: Final = {
    "id": TEXT,
    "name": TEXT,
    "status": TEXT,
    "currentPeriodEnd": {"oneOf": [TIME, {"type": "null"}]},
    "cancelAtPeriodEnd": _FLAG,
    "nextCreditAt": {"oneOf": [TIME, {"type": "null"}]},
}
_USER: Final = ("userQuery", "userHeader")

OPERATIONS: Final = (
    Operation(
        path="/packages",
        name="listPackages",
        summary="What users can buy: any amount between limits, packages, plans",
        answer=record(
            {
                "currency": TEXT,
                "credits": {"oneOf": [record({"name": TEXT, "perUnit": COUNT}), {"type": "null"}]},
                "topup": record({"min": DECIMAL, "max": DECIMAL, "suggested": listed(DECIMAL)}),
                "packages": listed(record({**_PRODUCT, "bonus": DECIMAL})),
                "plans": listed(record(_PLAN)),
            }
        ),
    ),
    Operation(
        path="/user/checkout",
        method="post",
        name="createCheckout",
        summary="A link to pay for a package, a plan or an amount: send one of the three",
        answer=_LINK,
        body=record(
            {},
            {
                "user": USER,
                "package": TEXT,
                "plan": TEXT,
                "amount": AMOUNT,
                "successUrl": TEXT,
                "cancelUrl": TEXT,
            },
        ),
        example={"user": "acme:user_123", "amount": "10"},
        parameters=("userHeader",),
        statuses=WITH_BODY,
    ),
    Operation(
        path="/user/promo",
        method="post",
        name="redeemPromo",
        summary="Give the user the credit of a code, once",
        answer=record({"credit": DECIMAL}),
        body=record({"code": TEXT}, {"user": USER}),
        example={"user": "acme:user_123", "code": "WELCOME-5"},
        parameters=("userHeader",),
        statuses=(*WITH_BODY, 429),
    ),
    Operation(
        path="/user/portal",
        name="getPortal",
        summary="Stripe's page to change the card or end the plan; good for some minutes",
        answer=_LINK,
        parameters=_USER,
        statuses=(502,),
    ),
    Operation(
        path="/user/entitlements",
        name="getEntitlements",
        summary="The user's plans, and the features that come with those that are paid",
        answer=record({"entitlements": listed(TEXT), "plans": listed(record(_OWN))}),
        parameters=_USER,
    ),
)
