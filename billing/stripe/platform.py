"""The operator's own Stripe account: saved, with its two webhooks; what they say is a hint to look.

A withdrawal is followed by asking Stripe for its objects, so an event that is lost, doubled or
forged at most changes when we ask.
"""

import hashlib
import secrets
from typing import Any, Final

import orjson
import stripe
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from billing.stripe import client as clients
from billing.stripe.connect import KEY
from billing.stripe.endpoint import SECRET_CHARS_MIN
from billing.stripe.errors import StripeBusyError, StripeKeyError, translated
from billing.stripe.person_models import PlatformStripe
from billing.withdrawals.errors import PayoutsUnavailableError
from config.kit import crypto, ids
from config.kit.db import forbid_transaction
from config.kit.errors import InvalidRequestError
from paywalls import audit

OWN_EVENTS: Final = (
    *("checkout.session.completed", "checkout.session.expired"),
    *("checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed"),
    *("charge.refunded", "refund.updated", "refund.failed"),
    *("charge.dispute.created", "charge.dispute.funds_withdrawn"),
    *("charge.dispute.funds_reinstated", "charge.dispute.closed"),
    *("transfer.created", "transfer.reversed", "transfer.updated"),
)
CONNECTED_EVENTS: Final = (
    *("account.updated", "payout.canceled", "payout.failed", "payout.paid", "payout.updated"),
)
OWNER: Final = "paywalls_platform"
WITHDRAWAL: Final = "paywalls_withdrawal"
PERSON_ORDER: Final = "paywalls_person_order"
TOLERANCE_S: Final = 300


def client(*, livemode: bool) -> stripe.StripeClient:
    """The SDK with the operator's key.

    Raises: PayoutsUnavailableError when there is none; StripeKeyError when it does not open.
    """
    saved = PlatformStripe.objects.filter(livemode=livemode).first()
    if saved is None:
        mode = "live" if livemode else "test"
        raise PayoutsUnavailableError(
            f"The operator has saved no Stripe key for {mode} money: connect_platform_stripe."
        )
    return clients.client(_unseal(saved, bytes(saved.sealed_key)).decode())


def modes() -> list[bool]:
    """For which money there is a key: live (True), test (False)."""
    return list(PlatformStripe.objects.values_list("livemode", flat=True))


def connect(key: str, *, actor: str) -> PlatformStripe:
    """Save the operator's key, try what it needs, and make its webhooks. Again: another key.

    Raises: InvalidRequestError for what is no key; StripeFailedError when Stripe refuses it.
    """
    forbid_transaction()
    found = KEY.fullmatch(key.strip())
    if found is None:
        raise InvalidRequestError("A Stripe key begins with rk_ or sk_.", param="key")
    _try(clients.client(found[0]))
    livemode = found[2] == "live"
    with transaction.atomic():
        saved, is_new = PlatformStripe.objects.select_for_update().get_or_create(
            livemode=livemode, defaults={"sealed_key": b"", "path": secrets.token_urlsafe(32)}
        )
        saved.sealed_key = _seal(saved, found[0])
        saved.key_prefix, saved.key_last_four = found[1], found[0][-4:]
        saved.save(update_fields=["sealed_key", "key_prefix", "key_last_four"])
        audit.record(
            paywall=None,
            actor=actor,
            action="platform_stripe.connected" if is_new else "platform_stripe.key_rotated",
            subject=ids.encode("sta", saved.pk),
            after={"key": str(saved), "livemode": livemode},
        )
    _ensure_webhooks(saved, clients.client(found[0]))
    return saved


def named(path: str, body: bytes, signature: str) -> dict[str, str]:
    """What a delivery to a webhook of ours is about: {type, withdrawal, account, order, payment},
    each may be empty. Nothing else in it is believed.

    Raises: InvalidRequestError for what Stripe did not sign.
    """
    saved = PlatformStripe.objects.filter(path=path).first()
    if saved is None or not signature.isascii() or not _is_signed(saved, body, signature):
        raise InvalidRequestError("The signature does not fit.")
    try:
        event = orjson.loads(body)
        thing: dict[str, Any] = event["data"]["object"]
        metadata = thing.get("metadata") or {}
        facts = {
            "type": str(event["type"]),
            "withdrawal": str(thing.get("transfer_group") or metadata.get(WITHDRAWAL, "")),
            "account": str(event.get("account") or ""),
            "order": str(metadata.get(PERSON_ORDER, "")),
            "payment": str(thing.get("payment_intent") or ""),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequestError("This is no event that we know the form of.") from error
    PlatformStripe.objects.filter(pk=saved.pk).update(heard_at=Now())
    return facts


def _is_signed(saved: PlatformStripe, body: bytes, signature: str) -> bool:
    for sealed in (saved.sealed_secret, saved.sealed_connect_secret):
        try:
            secret = _unseal(saved, bytes(sealed or b"")).decode()
            if len(secret) < SECRET_CHARS_MIN:
                continue
            stripe.WebhookSignature.verify_header(
                body.decode(), signature, secret, tolerance=TOLERANCE_S
            )
        except (StripeKeyError, ValueError, stripe.SignatureVerificationError):
            continue
        return True
    return False


def _try(client_: stripe.StripeClient) -> None:
    """Harmless calls that need what we shall need."""
    with translated():
        client_.v1.transfers.list({"limit": 1})
        client_.v1.accounts.list({"limit": 1})
        client_.v1.webhook_endpoints.list({"limit": 1})
        client_.v1.checkout.sessions.list({"limit": 1})


def _ensure_webhooks(saved: PlatformStripe, client_: stripe.StripeClient) -> None:
    """Both of ours are there, and we know their secrets; what was made before goes."""
    with translated():
        found = client_.v1.webhook_endpoints.list({"limit": 100}).auto_paging_iter()
        ours = [each for each in found if each.metadata.to_dict().get(OWNER) == _name(saved)]
    wanted = {"": OWN_EVENTS, "connect_": CONNECTED_EVENTS}
    there = {
        (each.id, tuple(sorted(each.enabled_events)))
        for each in ours
        if each.status == "enabled" and each.url == _url(saved)
    }
    for part, events in wanted.items():
        known = getattr(saved, f"{part}endpoint_id")
        if (known, tuple(sorted(events))) not in there:
            _make_webhook(saved, client_, part, events)
    kept = {saved.endpoint_id, saved.connect_endpoint_id}
    for each in ours:
        if each.id not in kept:
            with translated():
                client_.v1.webhook_endpoints.delete(each.id)


def _make_webhook(
    saved: PlatformStripe, client_: stripe.StripeClient, part: str, events: tuple[str, ...]
) -> None:
    wanted: dict[str, Any] = {
        "url": _url(saved),
        "enabled_events": list(events),
        "api_version": clients.API_VERSION,
        "connect": part == "connect_",
        "metadata": {OWNER: _name(saved)},
    }
    facts = orjson.dumps([getattr(saved, f"{part}endpoint_id"), saved.key_last_four, wanted])
    key = f"platform:{hashlib.sha256(facts).hexdigest()}"
    endpoints: Any = client_.v1.webhook_endpoints  # Theirs lists every type of event.
    with translated():
        made = endpoints.create(wanted, {"idempotency_key": key})
    if len(made.secret or "") < SECRET_CHARS_MIN:
        raise StripeBusyError("Stripe gave no secret for the webhook. Connect again.")
    setattr(saved, f"{part}endpoint_id", made.id)
    setattr(saved, f"sealed_{part}secret", _seal(saved, made.secret))
    saved.save(update_fields=[f"{part}endpoint_id", f"sealed_{part}secret"])


def _url(saved: PlatformStripe) -> str:
    return f"{settings.BASE_URL}/webhooks/stripe-platform/{saved.path}"


def _name(saved: PlatformStripe) -> str:
    return ids.encode("sta", saved.pk)


def _seal(saved: PlatformStripe, text: str) -> bytes:
    return crypto.seal(text.encode(), context=seal_context(saved), keys=settings.ENCRYPTION_KEYS)


def _unseal(saved: PlatformStripe, sealed: bytes) -> bytes:
    try:
        return crypto.unseal(sealed, context=seal_context(saved), keys=settings.ENCRYPTION_KEYS)
    except crypto.SealError as error:
        raise StripeKeyError("The operator's Stripe key does not open: save it again.") from error


def seal_context(saved: PlatformStripe) -> str:
    return f"platform-stripe:{saved.pk}"
