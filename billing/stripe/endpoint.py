"""The webhook that we make at Stripe for a saved key, and its secret.

Stripe tells a secret once. Making is idempotent by what the row knows, so that two at once, or one
that was cut before it saved, get the same endpoint; whatever else of ours is there is deleted.
"""

import datetime as dt
import hashlib
from collections.abc import Callable
from typing import Any, Final

import orjson
import stripe
from django.conf import settings
from django.db import transaction

from billing.stripe import client as clients
from billing.stripe.errors import StripeBusyError, translated
from billing.stripe.handlers import EVENT_TYPES, Outcome
from billing.stripe.models import InboxEvent, StripeAccount
from config.kit import clock, crypto, ids
from config.kit.db import forbid_transaction

SECRET_CHARS_MIN: Final = 16
"""Shorter ones are no secret of Stripe's: an empty one would let everybody sign."""

OVERLAP: Final = dt.timedelta(hours=24)
"""How long deliveries signed with the previous secret are still accepted."""

UNSAVED_S: Final = 600
"""A younger endpoint that no row knows may be somebody's who is about to save it."""

ROUNDS_MAX: Final = 4
"""Of looking again because somebody else made a webhook meanwhile."""

OWNER: Final = "paywalls_account"
PROBE: Final = "paywalls_probe"


def ensure(account: StripeAccount) -> None:
    """The account has exactly one webhook at Stripe, and we have its secret.

    Raises: StripeFailedError.
    """
    forbid_transaction()
    client = clients.client_of(account)
    ours = _ours(client, account)
    kept = next((each for each in ours if _fits(each, account)), None)
    if kept is None:
        make(account)
    elif set(kept.enabled_events) != set(EVENT_TYPES):
        with translated():
            client.v1.webhook_endpoints.update(kept.id, {"enabled_events": _event_types()})
    before = clock.now().timestamp() - UNSAVED_S
    for each in ours:
        if each.id != account.endpoint_id and (kept is None or each.created < before):
            delete(client, each.id)


def make(account: StripeAccount, note: Callable[[str], None] = lambda _secret: None) -> None:
    """A new webhook in the place of the one that the row knows; both secrets are accepted for a
    day. note: what else the saving transaction does, with the secret.

    Raises: StripeFailedError.
    """
    client, old = clients.client_of(account), account.endpoint_id
    made = _made(client, account)
    secret = made.secret or ""
    if len(secret) < SECRET_CHARS_MIN:
        raise StripeBusyError("Stripe gave no secret for the webhook. Check again.")
    changed: dict[str, Any] = {
        "endpoint_id": made.id,
        "sealed_secret": crypto.seal(
            secret.encode(), context=seal_context(account), keys=settings.ENCRYPTION_KEYS
        ),
        "heard_at": None,
    }
    if account.sealed_secret is not None:
        changed |= {
            "sealed_previous_secret": account.sealed_secret,
            "previous_secret_until": clock.now() + OVERLAP,
        }
    with transaction.atomic():
        mine = StripeAccount.objects.filter(pk=account.pk, endpoint_id=old)
        is_first = mine.update(**changed) == 1
        if is_first:
            note(secret)
    account.refresh_from_db()
    if account.endpoint_id != made.id:
        delete(client, made.id)  # Somebody else was quicker, with another one.


def delete(client: stripe.StripeClient, endpoint_id: str) -> None:
    """It is gone, whoever deleted it. Raises: StripeFailedError."""
    with translated():
        try:
            client.v1.webhook_endpoints.delete(endpoint_id)
        except stripe.InvalidRequestError as error:
            if error.code != "resource_missing":
                raise


def probe(account: StripeAccount) -> None:
    """Has Stripe send an event: a customer is made and deleted, and the deletion comes back.

    Raises: StripeFailedError.
    """
    with translated():
        customers = clients.client_of(account).v1.customers
        made = customers.create(
            {"description": "Paywalls: test event", "metadata": {PROBE: account.public_id}}
        )
        customers.delete(made.id)


def on_customer_deleted(_event: InboxEvent) -> Outcome:
    """That it arrived is all: `heard_at` is written down with every event."""
    return Outcome("ignored", "a customer was deleted: nothing is booked for that")


def url_of(account: StripeAccount) -> str:
    """Where Stripe sends this account's events; nobody can guess it."""
    return f"{settings.BASE_URL}/webhooks/stripe/{account.path}"


def signing_secrets(account: StripeAccount) -> list[str]:
    """The secrets that a delivery may be signed with: the present one, and for a day the last.

    One that does not open, or is no secret, signs nothing.
    """
    sealed = [account.sealed_secret]
    if account.previous_secret_until and account.previous_secret_until > clock.now():
        sealed.append(account.sealed_previous_secret)
    found = [_opened(account, bytes(one)) for one in sealed if one is not None]
    return [secret for secret in found if secret and len(secret) >= SECRET_CHARS_MIN]


def has_blank_secret(account: StripeAccount) -> bool:
    """Whether its secret opens, and is none. One that does not open is only out of use."""
    secret = _opened(account, bytes(account.sealed_secret or b""))
    return secret is not None and len(secret) < SECRET_CHARS_MIN


def _opened(account: StripeAccount, sealed: bytes) -> str | None:
    try:
        plain = crypto.unseal(sealed, context=seal_context(account), keys=settings.ENCRYPTION_KEYS)
    except crypto.SealError:
        return None
    return plain.decode().strip()


def _ours(client: stripe.StripeClient, account: StripeAccount) -> list[stripe.WebhookEndpoint]:
    """The account's webhooks; one that somebody saves meanwhile is among them."""
    ours: list[stripe.WebhookEndpoint] = []
    known = None
    for _ in range(ROUNDS_MAX):
        account.refresh_from_db()
        if account.endpoint_id == known:
            break
        known = account.endpoint_id
        with translated():
            found = client.v1.webhook_endpoints.list({"limit": 100}).auto_paging_iter()
            ours = [each for each in found if _owner(each) == account.public_id]
    return ours


def _made(client: stripe.StripeClient, account: StripeAccount) -> stripe.WebhookEndpoint:
    """The answer to an earlier try counts too, if what it made is still there."""
    wanted: dict[str, Any] = {
        "url": url_of(account),
        "enabled_events": _event_types(),
        "api_version": clients.API_VERSION,
        "description": "Paywalls",
        "metadata": {OWNER: account.public_id},
    }
    facts = orjson.dumps([account.endpoint_id, account.key_last_four, wanted])
    key = f"endpoint:{hashlib.sha256(facts).hexdigest()}"
    endpoints: Any = client.v1.webhook_endpoints  # Theirs lists every type of event.
    with translated():
        made: stripe.WebhookEndpoint = endpoints.create(wanted, {"idempotency_key": key})
        try:
            endpoints.retrieve(made.id)
        except stripe.InvalidRequestError:
            again = f"{key}:{ids.uuid7().hex}"
            made = endpoints.create(wanted, {"idempotency_key": again})
    return made


def _event_types() -> Any:
    return sorted(EVENT_TYPES)


def _owner(endpoint: stripe.WebhookEndpoint) -> str:
    return str(endpoint.metadata.to_dict().get(OWNER, ""))


def _fits(endpoint: stripe.WebhookEndpoint, account: StripeAccount) -> bool:
    return (
        endpoint.id == account.endpoint_id
        and endpoint.status == "enabled"
        and endpoint.url == url_of(account)
        and endpoint.api_version == clients.API_VERSION
        and bool(signing_secrets(account))
    )


def seal_context(account: StripeAccount) -> str:
    """What the secrets are bound to."""
    return f"stripe-webhook:{account.paywall_id}:{account.id}"
