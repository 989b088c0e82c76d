"""A person whose wallet pays for users of Shared paywalls."""

import os
from dataclasses import replace
from typing import Any

from django.db import transaction

from billing import movements
from billing.movements import Reason
from billing.types import Payer
from config.kit import ids
from paywalls import grants
from paywalls.grants import GrantTerms
from paywalls.models import ApiKey, EndUser, Grant, GrantRequest, Paywall, Person, Team
from tests.factories import PaywallFactory

WHY = Reason(actor="command:tests", reason="for a test")


def make_person() -> Person:
    return Person.objects.create(email=f"{ids.uuid7().hex}@example.test")


def shared_payer(*, livemode: bool = True, team: Team | None = None, **more: Any) -> Payer:
    """A user nobody has seen, on a Shared paywall of its own."""
    extra = {"team": team} if team else {}
    paywall = PaywallFactory.create(mode=Paywall.Mode.SHARED, **extra)
    key = ApiKey.objects.create(
        paywall=paywall,
        name="k",
        hash=os.urandom(32),
        pepper=1,
        last_four="0000",
        livemode=livemode,
    )
    made = Payer(
        paywall_id=paywall.id,
        key_id=key.id,
        livemode=livemode,
        currency="USD",
        timezone="UTC",
        user="user_1",
        shared=True,
    )
    return replace(made, **more)


def give(person: Person, nanos: int, *, livemode: bool = True) -> None:
    """Money in the person's wallet."""
    movements.credit_person(person.pk, nanos, WHY, kind="topup", livemode=livemode, currency="USD")


def allow(person: Person, payer: Payer, cap: int = 10**12, **terms: Any) -> Grant:
    """A grant for the payer's user, by the way people take."""
    user, _ = EndUser.objects.get_or_create(
        paywall_id=payer.paywall_id,
        livemode=payer.livemode,
        external_id=payer.user,
        defaults={"wallet_id": None},
    )
    request, _ = GrantRequest.objects.get_or_create(
        paywall_id=payer.paywall_id, end_user=user, state=GrantRequest.State.PENDING
    )
    wanted = GrantTerms(cap_nanos=cap, **{"cap_period": "month", **terms})
    with transaction.atomic():
        token = grants.mint(request, person)
        return grants.approve(token, person, wanted, consent={})
