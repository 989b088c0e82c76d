"""What Stripe tells us: verified, stored once, answered at once; acted on afterwards.

Of an event only its ids are kept: what it says is asked for again before any money moves, so a
forged, old or reordered one can at most make us look.
"""

import datetime as dt
import traceback
from pathlib import Path
from typing import Any, Final

import orjson
import stripe
import structlog
from django.db import transaction
from django.db.models import F

from billing.stripe import endpoint
from billing.stripe.errors import StripeFailedError
from billing.stripe.handlers import EVENT_TYPES, Outcome, handle
from billing.stripe.models import InboxEvent, StripeAccount
from config.kit import clock
from config.kit.db import forbid_transaction
from config.kit.errors import InvalidRequestError, PaywallsError
from config.kit.limits import EVENT_RETENTION_DAYS

log = structlog.get_logger(__name__)

TOLERANCE_S: Final = 300
BODY_BYTES_MAX: Final = 512 * 1024
LEASE: Final = dt.timedelta(minutes=2)
"""An event whose worker died is taken again after this; longer than all calls of a handler."""

TRIES_MAX: Final = 14
PAUSE_S: Final = 5
PAUSE_S_MAX: Final = 3_600
BATCH_MAX: Final = 100


class NotFromStripeError(InvalidRequestError):
    """What arrived is not signed by Stripe for this address, or is no event."""


def receive(account: StripeAccount, body: bytes, signature: str) -> InboxEvent | None:
    """Stores an event; None if it is known already. `signature` is the header's text.

    Raises: NotFromStripeError.
    """
    facts = _verified(account, body, signature)
    StripeAccount.objects.filter(pk=account.pk).update(heard_at=clock.now())
    state, reason = _first_look(account, facts)
    event, is_new = InboxEvent.objects.get_or_create(
        account=account,
        event_id=facts["id"],
        defaults={
            "type": facts["type"][:100],
            "object_id": facts["object_id"],
            "payload": {"created": facts["created"], "object": facts["object"]},
            "state": state,
            "reason": reason,
            "ended_at": None if state == InboxEvent.State.RECEIVED else clock.now(),
        },
    )
    if is_new and state == InboxEvent.State.QUARANTINED:
        log.error("stripe.event_quarantined", event_id=event.event_id, reason=reason)
    return event if is_new else None


def forget_old() -> int:
    """Deletes what was done or ignored long ago; what somebody must look at stays."""
    ended = (InboxEvent.State.DONE, InboxEvent.State.IGNORED)
    before = clock.now() - dt.timedelta(days=EVENT_RETENTION_DAYS)
    deleted, _ = InboxEvent.objects.filter(state__in=ended, ended_at__lt=before).delete()
    return deleted


def process_due() -> int:
    """Handles events until none is due; returns how many. Several may run at once."""
    forbid_transaction()
    handled = 0
    while event := _claim():
        process(event)
        handled += 1
        if handled >= BATCH_MAX:
            break
    return handled


def process(event: InboxEvent) -> Outcome | None:
    """Does what the event asks for; None when it could not be done yet.

    A mistake of ours in one event neither loses it nor stops the others: it is tried again like one
    that Stripe did not answer, and put aside for somebody in the end.
    """
    if event.tries > TRIES_MAX:  # The worker ended within each of them.
        outcome = Outcome("quarantined", f"{TRIES_MAX} tries ended without an answer")
        end(event, outcome)
        return outcome
    try:
        outcome = handle(event)
    except StripeFailedError as error:
        log.warning("stripe.event_waits", event_id=event.event_id, error=error.code)
        _try_later(event, error.message)
        return None
    except Exception as error:  # Ours: the outermost handler of an event.
        log.exception("stripe.event_failed", event_id=event.event_id, type=event.type)
        _try_later(event, _what(error))
        return None
    end(event, outcome)
    return outcome


def end(event: InboxEvent, outcome: Outcome) -> None:
    """Writes down what became of it; somebody else may have done so before."""
    if outcome.state == "quarantined":
        log.error("stripe.event_quarantined", event_id=event.event_id, reason=outcome.reason)
    InboxEvent.objects.filter(pk=event.pk).exclude(state=InboxEvent.State.DONE).update(
        state=outcome.state, reason=outcome.reason[:300], ended_at=clock.now()
    )


def retry(event: InboxEvent) -> None:
    """A person wants it handled again: its tries begin anew."""
    InboxEvent.objects.filter(pk=event.pk).exclude(state=InboxEvent.State.DONE).update(
        state=InboxEvent.State.RECEIVED, tries=0, next_at=clock.now(), ended_at=None
    )


def dismiss(event: InboxEvent, *, actor: str, reason: str) -> bool:
    """A person has looked, and nothing is to be done; False if it was not quarantined."""
    quarantined = InboxEvent.objects.filter(pk=event.pk, state=InboxEvent.State.QUARANTINED)
    return bool(
        quarantined.update(
            state=InboxEvent.State.IGNORED, reason=f"{actor}: {reason}"[:300], ended_at=clock.now()
        )
    )


def _claim() -> InboxEvent | None:
    """The event that waits longest, for a lease; its try is counted before it is made."""
    with transaction.atomic():
        event = (
            InboxEvent.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
            .select_related("account__paywall")
            .filter(state=InboxEvent.State.RECEIVED, next_at__lte=clock.now())
            .order_by("next_at")
            .first()
        )
        if event is not None:
            InboxEvent.objects.filter(pk=event.pk).update(
                tries=F("tries") + 1, next_at=clock.now() + LEASE
            )
            event.tries += 1
    return event


def _what(error: Exception) -> str:
    """An exception by its type and place; what it says may hold what is nobody's business."""
    if isinstance(error, PaywallsError):
        return f"{type(error).__name__}: {error.message}"
    places = traceback.extract_tb(error.__traceback__)
    ours = [place for place in places if "site-packages" not in place.filename]
    return f"{type(error).__name__} in {Path(ours[-1].filename).name}, line {ours[-1].lineno}"


def _try_later(event: InboxEvent, reason: str) -> None:
    if event.tries >= TRIES_MAX:
        end(event, Outcome("quarantined", f"{event.tries} tries: {reason}"))
        return
    pause = min(PAUSE_S * 2 ** (event.tries - 1), PAUSE_S_MAX)
    InboxEvent.objects.filter(pk=event.pk, state=InboxEvent.State.RECEIVED).update(
        reason=reason[:300], next_at=clock.now() + dt.timedelta(seconds=pause)
    )


def _verified(account: StripeAccount, body: bytes, signature: str) -> dict[str, Any]:
    """The few facts of a body that one of the account's secrets has signed just now.

    Source: docs.stripe.com/webhooks/signature; the SDK's own check lets the future pass.
    """
    if len(body) > BODY_BYTES_MAX or not signature.isascii():
        raise NotFromStripeError("This is no delivery of Stripe's.")
    for secret in endpoint.signing_secrets(account):
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(), signature, secret, tolerance=TOLERANCE_S
            )
        except (ValueError, stripe.SignatureVerificationError):
            continue
        if _stamp(signature) <= clock.now().timestamp() + TOLERANCE_S:
            return _facts(body)
    raise NotFromStripeError("The signature does not fit: is it another endpoint's secret?")


def _stamp(signature: str) -> int:
    """The time in a header that was verified."""
    return int(next(part[2:] for part in signature.split(",") if part.startswith("t=")))


def _facts(body: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(body)
        thing = event["data"]["object"]
        facts = {
            "id": str(event["id"]),
            "type": str(event["type"]),
            "livemode": event["livemode"],
            "connected": event.get("account"),
            "created": int(event["created"]),
            "object": str(thing["object"]),
            "object_id": str(thing.get("id") or "")[:255],
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotFromStripeError("This is no event that we know the form of.") from error
    if event.get("object") != "event" or len(facts["id"]) > 255:
        raise NotFromStripeError("This is no event that we know the form of.")
    return facts


def _first_look(account: StripeAccount, facts: dict[str, Any]) -> tuple[str, str]:
    if facts["livemode"] is not account.livemode:
        return InboxEvent.State.QUARANTINED, "live and test are mixed up"
    if facts["connected"] is not None:
        return InboxEvent.State.QUARANTINED, "it belongs to a connected account"
    if facts["type"] not in EVENT_TYPES:
        return InboxEvent.State.IGNORED, "we do not listen to this type"
    return InboxEvent.State.RECEIVED, ""
