"""The customer portal: configurations, and sessions that lead to its page."""

from typing import Any

from tests.fakes.stripe import customers, lists
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.events import emit
from tests.fakes.stripe.metadata import merged, nulls
from tests.fakes.stripe.routes import Call, Desk, api
from tests.fakes.stripe.world import Thing, new_id

SESSIONS, CONFIGURATIONS = "/v1/billing_portal/sessions", "/v1/billing_portal/configurations"
SCOPE = "customer_portal"


def _features(given: dict[str, Any]) -> Thing:
    standard: Thing = {
        "customer_update": {"allowed_updates": [], "enabled": False},
        "invoice_history": {"enabled": False},
        "payment_method_update": {"enabled": False, "payment_method_configuration": None},
        "subscription_cancel": {
            "cancellation_reason": {"enabled": False, "options": []},
            "enabled": False,
            "mode": "at_period_end",
            "proration_behavior": "none",
        },
        "subscription_pause": {
            "duration": {"interval_options": [], "type": "indefinite"},
            "enabled": False,
        },
        "subscription_update": {
            "billing_cycle_anchor": None,
            "default_allowed_updates": [],
            "enabled": False,
            "products": [],
            "proration_behavior": "none",
            "schedule_at_period_end": {"conditions": []},
            "trial_update_behavior": "end_trial",
        },
    }
    for name, wanted in given.items():
        standard[name] |= wanted
    return standard


@api("POST", CONFIGURATIONS, params="billing_portal.ConfigurationCreateParams", permission=SCOPE)
def create_configuration(call: Call) -> Thing:
    return configure(call, call.params, is_default=False)


def configure(desk: Desk, given: dict[str, Any], *, is_default: bool) -> Thing:
    profile = {
        **nulls("headline privacy_policy_url terms_of_service_url"),
        **given.get("business_profile", {}),
    }
    configuration = {
        "id": new_id("bpc_1"),
        "object": "billing_portal.configuration",
        "active": True,
        "application": None,
        "business_profile": profile,
        "created": desk.now,
        "default_return_url": given.get("default_return_url") or None,
        "features": _features(given.get("features", {})),
        "is_default": is_default,
        "livemode": desk.livemode,
        "login_page": {"enabled": False, "url": None},
        "metadata": merged({}, given.get("metadata")),
        "name": given.get("name"),
        "updated": desk.now,
    }
    desk.realm.add(configuration)
    emit(desk, "billing_portal.configuration.created", configuration)
    return configuration


@api("GET", CONFIGURATIONS, params="billing_portal.ConfigurationListParams", permission=SCOPE)
def show_configurations(call: Call) -> Thing:
    found = call.realm.all("billing_portal.configuration")
    return lists.page(call, found, url=CONFIGURATIONS, filters=("active", "is_default"))


@api(
    "GET",
    CONFIGURATIONS + "/{id}",
    params="billing_portal.ConfigurationRetrieveParams",
    permission=SCOPE,
)
def show_configuration(call: Call) -> Thing:
    return call.realm.find("billing_portal.configuration", call.ids["id"])


@api("POST", SESSIONS, params="billing_portal.SessionCreateParams", permission=SCOPE)
def create(call: Call) -> Thing:
    """Without a configuration and without a default one Stripe refuses, and so is it here."""
    given = call.params
    customer = customers.present(call, str(given.get("customer")))
    wanted = given.get("configuration")
    if wanted:
        configuration = call.realm.find("billing_portal.configuration", wanted)
    else:
        configuration = _default(call)
    session_id = new_id("bps_1")
    session = {
        "id": session_id,
        "object": "billing_portal.session",
        "configuration": configuration["id"],
        "created": call.now,
        "customer": customer["id"],
        **nulls("customer_account on_behalf_of"),
        "flow": _flow(given["flow_data"]) if "flow_data" in given else None,
        "livemode": call.livemode,
        "locale": given.get("locale"),
        "return_url": given.get("return_url") or configuration["default_return_url"],
        "url": f"{call.world.base_url}/p/session/{session_id}",
    }
    call.realm.add(session)
    emit(call, "billing_portal.session.created", session)
    return session


def _flow(given: dict[str, Any]) -> Thing:
    """Straight to one thing to do. Raises: ApiError for those that are not served."""
    kind = given["type"]
    if kind not in ("payment_method_update", "subscription_cancel", "subscription_update"):
        raise ApiError(f"This stand-in does not serve the flow {kind}.", param="flow_data[type]")
    after = {"type": "portal_homepage", **given.get("after_completion", {})}
    named = ("customer_update", "subscription_pause", "subscription_update_confirm")
    flow: Thing = {
        "type": kind,
        "after_completion": {**nulls("hosted_confirmation redirect"), **after},
        **dict.fromkeys(named),
        **nulls("subscription_cancel subscription_update"),
    }
    if kind in given:
        flow[kind] = {"subscription": given[kind]["subscription"]}
    if kind == "subscription_cancel":
        flow[kind]["retention"] = None
    return flow


def _default(call: Call) -> Thing:
    for configuration in call.realm.where("billing_portal.configuration", is_default=True):
        return configuration
    if call.livemode:
        raise ApiError(
            "You can't create a portal session in live mode until you save your customer portal"
            " settings at https://dashboard.stripe.com/settings/billing/portal."
        )
    return configure(call, {}, is_default=True)
