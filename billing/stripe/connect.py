"""A paywall's Stripe key: save, examine, rotate, take away; its webhook is made with it.

Steps that talk to Stripe stand between transactions. A step that was cut is found by its row: an
account without a webhook gets one when it is examined next.
"""

import re
import secrets
from collections.abc import Iterable
from typing import Final

import stripe
import structlog
from django.db import transaction

from billing.stripe import client as clients
from billing.stripe import doctor, endpoint, stops
from billing.stripe.doctor import Check
from billing.stripe.errors import (
    StripeBusyError,
    StripeFailedError,
    StripeKeyError,
    StripePermissionError,
    translated,
)
from billing.stripe.models import StripeAccount
from billing.webhooks.events import Event
from billing.webhooks.outbox import emit
from config.kit import clock
from config.kit.db import forbid_transaction
from config.kit.errors import InvalidRequestError
from paywalls import audit
from paywalls.models import Paywall

log = structlog.get_logger(__name__)

KEY: Final = re.compile(r"((?:rk|sk)_(live|test))_[A-Za-z0-9_]{16,240}", re.ASCII)
KNOWN_MAX: Final = 5
"""Earlier keys of a paywall that are compared with a new one."""

SAVED: Final = (
    *("sealed_key", "key_prefix", "key_last_four"),
    *("checks", "trouble", "told_at", "checked_at", "is_active"),
)


def connect(paywall: Paywall, key: str, *, actor: str) -> StripeAccount:
    """Save a key, examine it and make its webhook. Its mode becomes the paywall's.

    A key of a Stripe account that is known takes the place of its last one. Another active key of
    the paywall is replaced; payments of its account are still followed.
    Raises: InvalidRequestError for what is no key; StripeFailedError when Stripe refuses the key
    or cannot be asked (nothing is saved then).
    """
    forbid_transaction()
    found = _read(key)
    if paywall.mode != Paywall.Mode.DEFAULT:
        raise InvalidRequestError(
            "A Shared paywall takes money through the platform's Stripe account.", param="paywall"
        )
    checks = _examined(found[0])
    known = _known(paywall, found)
    account = _save(paywall, found, checks, known, actor=actor)
    return _finish(account, checks)


def check(account: StripeAccount) -> StripeAccount:
    """Examine again, and repair the webhook; what is wrong is kept with the account.

    Raises: StripeBusyError when Stripe cannot be asked: then nothing is known anew.
    """
    forbid_transaction()
    try:
        checks = _examined(clients.open_key(account))
    except StripeBusyError:
        raise
    except StripeFailedError as error:
        return _note(account, [doctor.unexpected(error)])
    return _finish(account, checks)


def check_all() -> int:
    """Examines every active key; returns how many have trouble."""
    return _check_each(StripeAccount.objects.filter(is_active=True).select_related("paywall"))


def mind_stopped() -> int:
    """Looks whether people can pay again; returns through how many accounts they still cannot."""
    return _check_each(stops.due())


def _check_each(accounts: Iterable[StripeAccount]) -> int:
    """One does not stop the others."""
    troubled = 0
    for account in accounts:
        try:
            troubled += bool(check(account).trouble)
        except StripeBusyError:
            log.warning("stripe.not_checked", account=account.public_id)
    return troubled


def rotate_key(account: StripeAccount, key: str, *, actor: str) -> StripeAccount:
    """Another key of the same Stripe account and mode; the webhook stays.

    Raises: as `connect`; InvalidRequestError when it is another Stripe account's.
    """
    forbid_transaction()
    found = _read(key)
    if (found[2] == "live") != account.livemode:
        mode = "live" if account.livemode else "test"
        raise InvalidRequestError(f"A {mode} key is needed here.", param="key")
    checks = _examined(found[0])
    if not _is_of(account, found[0]):
        raise InvalidRequestError(
            "This key is of another Stripe account, or may not see our webhook: connect it anew.",
            param="key",
        )
    return _finish(_save(account.paywall, found, checks, account, actor=actor), checks)


def rotate_secret(account: StripeAccount, *, actor: str) -> StripeAccount:
    """A new webhook with a new secret; both secrets are accepted for a day.

    Raises: StripeFailedError.
    """
    forbid_transaction()
    account.refresh_from_db()
    old = account.endpoint_id

    def note(secret: str) -> None:
        audit.lock(account.paywall)
        account.refresh_from_db(fields=["endpoint_id"])
        _record(account, "stripe.secret_rotated", actor, {"endpoint": old})
        facts = {
            "webhookId": account.endpoint_id,
            "url": endpoint.url_of(account),
            "secretSuffix": secret[-4:],
        }
        _tell(account, "integration.stripe.webhook.rotated", actor, facts)

    endpoint.make(account, note)
    if old and old != account.endpoint_id:
        endpoint.delete(clients.client_of(account), old)
    return account


def disconnect(account: StripeAccount, *, actor: str) -> None:
    """No new payments through it; what was paid is still followed. Its key stays, sealed, for that.

    The caller's transaction.
    """
    audit.lock(account.paywall)
    if not StripeAccount.objects.filter(pk=account.pk, is_active=True).update(is_active=False):
        return
    account.is_active = False
    _record(account, "stripe.disconnected", actor, {"key": account.key_last_four})
    facts = {"integrationKey": "stripe", "disabledBy": actor}
    _tell(account, "integration.disconnected", actor, facts)


def findings(account: StripeAccount) -> list[Check]:
    """What the last examination found, and whether an event has arrived since."""
    found = [Check.of(each) for each in account.checks]
    if account.endpoint_id:
        found.append(
            Check(
                name="Test event",
                need="hearing of payments at once",
                ok=account.heard_at is not None,
                message=f"No event has arrived yet: can Stripe reach {endpoint.url_of(account)}?",
                stops=False,
            )
        )
    return found


def _read(key: str) -> re.Match[str]:
    found = KEY.fullmatch(key.strip())
    if found is None:
        raise InvalidRequestError(
            "A Stripe key begins with rk_live_ or rk_test_ (or sk_…). Copy it once more.",
            param="key",
        )
    return found


def _examined(key: str) -> list[Check]:
    checks = doctor.examine(clients.client(key))
    return [*checks, doctor.FULL_KEY] if key.startswith("sk_") else checks


def _finish(account: StripeAccount, checks: list[Check]) -> StripeAccount:
    """The webhook, and a test event through it; what does not work becomes a finding."""
    try:
        endpoint.ensure(account)
        if account.heard_at is None:
            endpoint.probe(account)
    except StripePermissionError:
        pass  # One of the findings names it.
    except StripeFailedError as error:
        checks = [*checks, doctor.no_webhook(error)]
    if account.stopped_at and not doctor.stops_sales(checks):
        checks = [*checks, *stops.trial(account)]
    return _note(account, checks)


def _note(account: StripeAccount, checks: list[Check]) -> StripeAccount:
    account.checks = [each.as_dict() for each in checks]
    account.trouble = doctor.trouble_of(checks)
    account.checked_at = clock.now()
    was_stopped, is_stopped = account.stopped_at is not None, doctor.stops_sales(checks)
    if is_stopped != was_stopped:
        account.stopped_at = clock.now() if is_stopped else None
    if not account.trouble or (is_stopped and not was_stopped):
        account.told_at = None
    account.save(update_fields=["checks", "trouble", "checked_at", "stopped_at", "told_at"])
    if account.trouble:
        log.error("stripe.key_trouble", account=account.public_id, trouble=account.trouble)
    return account


def _known(paywall: Paywall, found: re.Match[str]) -> StripeAccount | None:
    """The row of the Stripe account that the key is of: its events go on to the same webhook."""
    rows = StripeAccount.objects.filter(paywall=paywall, livemode=found[2] == "live")
    newest = rows.select_related("paywall").order_by("-is_active", "-id")[:KNOWN_MAX]
    return next((row for row in newest if _is_of(row, found[0])), None)


def _is_of(account: StripeAccount, key: str) -> bool:
    """Whether a key is of the account's Stripe account: only then it sees our webhook.

    Raises: StripeFailedError.
    """
    try:
        if secrets.compare_digest(clients.open_key(account), key):
            return True
    except StripeKeyError:
        log.warning("stripe.key_lost", account=account.public_id)
    if not account.endpoint_id:
        return False
    with translated():
        try:
            clients.client(key).v1.webhook_endpoints.retrieve(account.endpoint_id)
        except (stripe.InvalidRequestError, stripe.PermissionError):
            return False
    return True


def _save(
    paywall: Paywall,
    found: re.Match[str],
    checks: list[Check],
    known: StripeAccount | None,
    *,
    actor: str,
) -> StripeAccount:
    livemode = found[2] == "live"
    with transaction.atomic():
        audit.lock(paywall)
        account = known or StripeAccount(paywall=paywall, livemode=livemode)
        replaced = StripeAccount.objects.filter(paywall=paywall, is_active=True)
        before = {"replaced": ", ".join(map(str, replaced))}
        was_active = replaced.filter(pk=account.pk).exists()
        replaced.exclude(pk=account.pk).update(is_active=False)
        account.path = account.path or secrets.token_urlsafe(32)
        account.sealed_key = clients.seal_key(account, found[0])
        account.key_prefix, account.key_last_four = found[1], found[0][-4:]
        account.checks = [each.as_dict() for each in checks]
        account.trouble = doctor.trouble_of(checks)
        account.checked_at, account.is_active = clock.now(), True
        account.told_at = clock.now()  # By the answer, which names what is missing.
        if known is None:
            account.save(force_insert=True)
        else:
            account.save(update_fields=SAVED)
        Paywall.objects.filter(pk=paywall.pk).update(livemode=livemode)
        paywall.livemode = livemode
        _record(account, "stripe.key_rotated" if was_active else "stripe.connected", actor, before)
        if not was_active:
            facts = {"integrationKey": "stripe", "enabledBy": actor}
            _tell(account, "integration.connected", actor, facts)
    return account


def _tell(account: StripeAccount, what: str, actor: str, facts: dict[str, str]) -> None:
    emit(
        account.paywall,
        Event(
            type=f"paywall.{what}",
            livemode=account.livemode,
            source="dashboard",
            actor=actor,
            facts=facts,
        ),
    )


def _record(account: StripeAccount, action: str, actor: str, before: dict[str, str]) -> None:
    audit.record(
        paywall=account.paywall,
        actor=actor,
        action=action,
        subject=account.public_id,
        before=before,
        after={"key": str(account), "livemode": account.livemode},
    )
