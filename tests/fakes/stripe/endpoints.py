"""Webhook endpoints."""

import re

from tests.fakes.stripe import lists
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.metadata import merged
from tests.fakes.stripe.routes import Call, api
from tests.fakes.stripe.world import Thing, new_id

ENDPOINTS_MAX = 16
"""Source: docs.stripe.com/webhooks: up to 16 endpoints for an account."""
PATH = "/v1/webhook_endpoints"
URL = re.compile(r"https?://[^\s/]+(/\S*)?")


@api("POST", PATH, params="WebhookEndpointCreateParams", permission="webhook")
def create(call: Call) -> Thing:
    """The only answer that has the secret."""
    given = call.params
    check_url(given["url"], livemode=call.livemode)
    if len(list(call.realm.all("webhook_endpoint"))) >= ENDPOINTS_MAX:
        raise ApiError(f"You have reached the maximum of {ENDPOINTS_MAX} test webhook endpoints.")
    secret = new_id("whsec_", 32)
    endpoint = {
        "id": new_id("we_1"),
        "object": "webhook_endpoint",
        "api_version": given.get("api_version"),
        "application": None,
        "created": call.now,
        "description": given.get("description") or None,
        "enabled_events": given["enabled_events"],
        "livemode": call.livemode,
        "metadata": merged({}, given.get("metadata")),
        "status": "enabled",
        "url": given["url"],
        "_secret": secret,
        "_connect": given.get("connect", False),
    }
    call.realm.add(endpoint)
    return {**endpoint, "secret": secret}


def check_url(url: str, *, livemode: bool) -> None:
    """Raises: ApiError. Unlike Stripe's own, this machine's addresses are fine in test mode."""
    if not URL.fullmatch(url):
        raise ApiError("Invalid URL: An explicit scheme (such as https) must be provided.")
    is_local = re.match(r"http://(localhost|127\.0\.0\.1|\[::1\])[:/]", url)
    if livemode and not url.startswith("https://") and not is_local:
        raise ApiError("Invalid URL: Livemode webhook endpoints must use https.", param="url")


@api("GET", PATH, params="WebhookEndpointListParams", permission="webhook")
def show_all(call: Call) -> Thing:
    return lists.page(call, call.realm.all("webhook_endpoint"), url=PATH)


@api("GET", PATH + "/{id}", params="WebhookEndpointRetrieveParams", permission="webhook")
def show(call: Call) -> Thing:
    return call.realm.find("webhook_endpoint", call.ids["id"])


@api("POST", PATH + "/{id}", params="WebhookEndpointUpdateParams", permission="webhook")
def update(call: Call) -> Thing:
    endpoint, given = show(call), call.params
    if "url" in given:
        check_url(given["url"], livemode=call.livemode)
    if "disabled" in given:
        endpoint["status"] = "disabled" if given["disabled"] else "enabled"
    endpoint["metadata"] = merged(endpoint["metadata"], given.get("metadata"))
    for name in ("url", "enabled_events", "description"):
        endpoint[name] = given.get(name, endpoint[name])
    return endpoint


@api("DELETE", PATH + "/{id}", params="WebhookEndpointDeleteParams", permission="webhook")
def delete(call: Call) -> Thing:
    """Its deliveries stop with it."""
    endpoint = show(call)
    del call.realm.things["webhook_endpoint"][endpoint["id"]]
    for delivery in call.world.deliveries.values():
        if delivery["endpoint"] == endpoint["id"] and delivery["state"] in ("due", "held"):
            delivery["state"] = "failed"
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}
