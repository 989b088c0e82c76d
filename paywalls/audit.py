"""The record of every change: who, when, what, from what to what."""

from collections.abc import Mapping
from typing import Any

from django.db.models import F

from config.kit.db import require_transaction
from paywalls.models import Change, Paywall

type Facts = Mapping[str, Any] | None
"""What JSON can hold. No secrets, and no external ids: these rows are never erased."""


def record(
    *,
    paywall: Paywall | None,
    actor: str,
    action: str,
    subject: str,
    before: Facts = None,
    after: Facts = None,
) -> Change:
    """Write one change down and count it in the paywall's version, in the caller's transaction.

    The paywall's row stays locked until the transaction ends, so versions follow each other.
    paywall: None for what belongs to no paywall, such as a developer. `paywall.version` is set.
    actor: a developer's id or `command:<login>`. subject: the public id of what was changed.
    """
    require_transaction()
    assert actor, "a change has an actor"
    version = None
    if paywall is not None:
        Paywall.objects.filter(pk=paywall.pk).update(version=F("version") + 1)
        version = Paywall.objects.values_list("version", flat=True).get(pk=paywall.pk)
        paywall.version = version
    return Change.objects.create(
        paywall=paywall,
        version=version,
        actor=actor,
        action=action,
        subject=subject,
        before=before,
        after=after,
    )


def lock(paywall: Paywall) -> None:
    """Wait for other changes of this paywall to end.

    Call it before reading what is to change, and before any other lock: then no two changes wait
    for each other.
    """
    require_transaction()
    Paywall.objects.select_for_update(no_key=True).get(pk=paywall.pk)
