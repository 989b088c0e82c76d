"""Loads what the hot path must know about a key and its paywall. The cold path: five queries."""

import datetime as dt
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from django.db.models import DurationField, ExpressionWrapper, F, Q
from django.db.models.functions import Now

from paywalls import keys, messages, rules
from paywalls.models import ApiKey, Limit, MessageTemplate, ModelAlias, Paywall
from paywalls.types import Caps, KeyConfig, PaywallConfig

_LEFT: Final = ExpressionWrapper(F("expires_at") - Now(), output_field=DurationField())


def load(key_digests: Sequence[bytes]) -> tuple[PaywallConfig, KeyConfig] | None:
    """The paywall and the key behind one of the digests; None when it is unknown or has ended.

    A paused or archived paywall is found: its state is part of the answer. Synchronous.
    """
    found = ApiKey.objects.select_related("paywall", "end_user").annotate(left=_LEFT)
    key = found.filter(hash__in=key_digests, revoked_at=None).first()
    if key is None or (key.left is not None and key.left <= dt.timedelta(0)):
        return None
    keys.refresh(key, key_digests[0])
    caps = _caps(key)
    return _paywall_config(key.paywall, caps), _key_config(key, key.left, caps.get("key", {}))


def _caps(key: ApiKey) -> dict[str, dict[str, int]]:
    """Limits by subject: those of each user, of the paywall and of this key."""
    mine = Limit.objects.filter(Q(target=None) | Q(target=key.pk), paywall_id=key.paywall_id)
    found: dict[str, dict[str, int]] = {}
    for subject, kind, value in mine.values_list("subject", "kind", "value"):
        found.setdefault(subject, {})[kind] = value
    return found


def _paywall_config(paywall: Paywall, caps: dict[str, dict[str, int]]) -> PaywallConfig:
    texts = MessageTemplate.objects.filter(paywall=paywall).values_list("event", "text")
    return PaywallConfig(
        id=paywall.pk,
        name=paywall.name,
        mode="shared" if paywall.mode == Paywall.Mode.SHARED else "default",
        currency=paywall.currency,
        livemode=paywall.livemode,
        timezone=paywall.timezone,
        allowed_models=tuple(paywall.allowed_models),
        graceful=paywall.graceful,
        store_answers=paywall.store_answers,
        paused=paywall.paused_at is not None,
        archived=paywall.archived_at is not None,
        version=paywall.version,
        prices=rules.price_list(paywall.pk),
        user_caps=caps.get("user", {}),
        paywall_caps=caps.get("paywall", {}),
        aliases=_aliases(paywall.pk),
        templates={**messages.DEFAULTS, **dict(texts)},
    )


def _aliases(paywall_id: UUID) -> dict[str, str]:
    return dict(ModelAlias.objects.filter(paywall_id=paywall_id).values_list("alias", "target"))


def _key_config(key: ApiKey, left: dt.timedelta | None, caps: Caps) -> KeyConfig:
    scopes = frozenset(key.scopes)
    if key.end_user_id is not None:
        scopes = (scopes or frozenset(keys.SCOPES)) & frozenset(keys.USER_SCOPES)
    return KeyConfig(
        id=key.pk,
        paywall_id=key.paywall_id,
        livemode=key.livemode and key.paywall.livemode,
        scopes=scopes,
        allowed_models=tuple(key.allowed_models),
        external_user=key.end_user.external_id if key.end_user else None,
        error_mode=key.error_mode,
        idempotency_required=key.idempotency_required,
        left=left,
        caps=caps,
    )
