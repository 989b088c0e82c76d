"""Connected accounts and how they are onboarded."""

from typing import Any

from tests.fakes.stripe import lists
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.events import change
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

PATH = "/v1/accounts"
SCOPE = "accounts_kyc_basic"
LINK_S = 300
NEEDED = ["external_account", "tos_acceptance.date", "individual.first_name"]


def new(desk: Desk, account_id: str, given: dict[str, Any]) -> Thing:
    """An account as Stripe shows it to a platform, not onboarded yet."""
    kind = given.get("type", "none" if "controller" in given else "standard")
    return {
        "id": account_id,
        "object": "account",
        "business_profile": {
            **nulls("annual_revenue estimated_worker_count mcc name product_description"),
            **nulls("support_address support_email support_phone support_url url"),
        },
        "business_type": given.get("business_type"),
        "capabilities": dict.fromkeys(given.get("capabilities", {}), "inactive"),
        "charges_enabled": False,
        "controller": _controller(kind, given.get("controller", {})),
        "country": given.get("country", "US"),
        "created": desk.now,
        "default_currency": given.get("default_currency", "usd"),
        "details_submitted": False,
        "email": given.get("email"),
        "external_accounts": lists.whole([], f"{PATH}/{account_id}/external_accounts"),
        "future_requirements": requirements([]),
        "metadata": merged({}, given.get("metadata")),
        "payouts_enabled": False,
        "requirements": requirements(NEEDED),
        "settings": _settings(),
        "tos_acceptance": nulls("date ip user_agent"),
        "type": kind,
    }


def _controller(kind: str, given: dict[str, Any]) -> Thing:
    is_light = kind in ("express", "custom", "none")
    dashboard = {"express": "express", "standard": "full"}.get(kind, "none")
    return {
        "fees": {"payer": "application" if is_light else "account", **given.get("fees", {})},
        "is_controller": True,
        "losses": {"payments": "application", **given.get("losses", {})},
        "requirement_collection": given.get("requirement_collection", "stripe"),
        "stripe_dashboard": {"type": dashboard, **given.get("stripe_dashboard", {})},
        "type": "application",
    }


def requirements(due: list[str]) -> Thing:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": due,
        "disabled_reason": "requirements.past_due" if due else None,
        "errors": [],
        "eventually_due": due,
        "past_due": due,
        "pending_verification": [],
    }


def _settings() -> Thing:
    return {
        "branding": nulls("icon logo primary_color secondary_color"),
        "card_payments": nulls(
            "statement_descriptor_prefix statement_descriptor_prefix_kana"
            " statement_descriptor_prefix_kanji"
        ),
        "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
        "payments": nulls("statement_descriptor statement_descriptor_kana"),
        "payouts": {
            "debit_negative_balances": True,
            "schedule": {"delay_days": 2, "interval": "manual"},
            "statement_descriptor": None,
        },
    }


def onboard(desk: Desk, account: Thing) -> None:
    """All that was asked for is there; `desk` is the connected account's own."""
    bank = {
        "id": new_id("ba_1"),
        "object": "bank_account",
        "account": account["id"],
        **nulls("account_holder_name account_holder_type account_type"),
        "available_payout_methods": ["standard"],
        "bank_name": "STRIPE TEST BANK",
        "country": account["country"],
        "currency": account["default_currency"],
        "default_for_currency": True,
        "fingerprint": "StandInBank00002",
        "last4": "6789",
        "metadata": {},
        "routing_number": "110000000",
        "status": "new",
    }
    external = lists.whole([bank], account["external_accounts"]["url"])
    change(
        desk,
        "account.updated",
        account,
        details_submitted=True,
        payouts_enabled=True,
        charges_enabled="card_payments" in account["capabilities"],
        capabilities=dict.fromkeys(account["capabilities"], "active"),
        external_accounts=external,
        requirements=requirements([]),
    )


@api("POST", PATH, params="AccountCreateParams", permission=SCOPE)
def create(call: Call) -> Thing:
    account = new(call, new_id("acct_1", 16), call.params)
    realm = call.world.realm(account["id"], livemode=call.livemode)
    realm.platform = call.realm.account
    return call.realm.add(account)


@api("GET", PATH, params="AccountListParams", permission=SCOPE)
def show_all(call: Call) -> Thing:
    return lists.page(call, call.realm.all("account"), url=PATH)


@api("GET", "/v1/account", params=None, permission="accounts_kyc_id_numbers")
def show_own(call: Call) -> Thing:
    return new(call, call.realm.account, {"country": "US"})


@api("GET", PATH + "/{id}", params="AccountRetrieveParams", permission=SCOPE)
def show(call: Call) -> Thing:
    return call.realm.find("account", call.ids["id"])


@api("POST", PATH + "/{id}", params="AccountUpdateParams", permission=SCOPE)
def update(call: Call) -> Thing:
    account, given = show(call), call.params
    connected = Desk(call.world, call.world.realm(account["id"], livemode=call.livemode))
    metadata = merged(account["metadata"], given.get("metadata"))
    email = given.get("email", account["email"])
    change(connected, "account.updated", account, metadata=metadata, email=email)
    return account


@api("DELETE", PATH + "/{id}", params="AccountDeleteParams", permission=SCOPE)
def delete(call: Call) -> Thing:
    account = show(call)
    del call.realm.things["account"][account["id"]]
    return {"id": account["id"], "object": "account", "deleted": True}


@api("POST", "/v1/account_links", params="AccountLinkCreateParams", permission="account_link")
def create_link(call: Call) -> Thing:
    """Good once and for five minutes. Its page has one button that finishes everything."""
    given = call.params
    account = call.realm.find("account", given["account"], param="account")
    for name in ("return_url", "refresh_url"):
        if name not in given:
            raise ApiError(f"Missing required param: {name}.", code="parameter_missing", param=name)
    link = new_id("", 12)
    account["_link"] = {
        "id": link,
        "expires_at": call.now + LINK_S,
        "return_url": given["return_url"],
        "refresh_url": given["refresh_url"],
    }
    return {
        "object": "account_link",
        "created": call.now,
        "expires_at": call.now + LINK_S,
        "url": f"{call.world.base_url}/setup/{account['id']}/{link}",
    }
