"""A team that earned, and a bank account to which it may withdraw at once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from django.db import transaction

from billing import earnings
from billing.earnings import Earnings
from billing.withdrawals import bank, destinations, requests, terms
from billing.withdrawals.models import PayoutTerms, Withdrawal
from config.kit import ids
from ledger.models import Account
from paywalls.models import Paywall, Team
from tests.factories import ACTOR, PaywallFactory, TeamFactory

UNIT = 10**9
IBAN = "DE89370400440532013000"
AT_ONCE = {
    "clearing_days": 0,
    "reserve_bps": 0,
    "reserve_days": 0,
    "minimum_nanos": UNIT,
    "fee_nanos": 0,
    "fee_bps": 0,
    "approval_above_nanos": 1_000 * UNIT,
    "destination_delay_hours": 0,
}

EARN = """
    SELECT ledger_post(%(id)s, 'adjustment', 'test:earn', %(id)s::text, NULL, NULL, 'tests', NULL,
        NULL, ARRAY[
            ledger_account_open('earnings_pending', %(team)s, 'USD', %(live)s, NULL),
            ledger_account_open('external', %(team)s, 'USD', %(live)s, NULL)],
        ARRAY[%(nanos)s, -%(nanos)s]::bigint[], NULL, NULL)
"""


@dataclass(frozen=True)
class Earner:
    """A team with what can happen to its earnings."""

    team: Team
    paywall: Paywall
    owner: psycopg.Connection
    livemode: bool = True

    def earn(self, nanos: int) -> None:
        """A charge's share, or with a negative amount a refund's."""
        facts = {"id": ids.uuid7(), "team": self.team.pk, "live": self.livemode, "nanos": nanos}
        self.owner.execute(EARN, facts)

    def cleared(self, nanos: int) -> "Earner":
        """With that much cleared."""
        self.earn(nanos)
        self.clear()
        return self

    @property
    def pending(self) -> Account:
        return Account.objects.get(
            kind="earnings_pending", owner=self.team.pk, livemode=self.livemode
        )

    def clear(self) -> int:
        return earnings.clear(self.pending.pk)

    @property
    def now(self) -> Earnings:
        return earnings.read(self.team, livemode=self.livemode)

    @property
    def figures(self) -> tuple[int, int, int]:
        """Pending, cleared, available."""
        now = self.now
        return now.pending_nanos, now.cleared_nanos, now.available_nanos

    def withdraw(self, nanos: int | None, *, actor: str = ACTOR, **more: Any) -> Withdrawal:
        with transaction.atomic():
            return requests.request(self.team, nanos, livemode=self.livemode, actor=actor, **more)

    def bank(self, iban: str = IBAN, **more: Any) -> Any:
        with transaction.atomic():
            account = bank.read_account("Ada Lovelace", iban)
            return destinations.set_bank(
                self.team, account, livemode=self.livemode, actor=ACTOR, **more
            )


def set_terms(**changes: int) -> PayoutTerms:
    with transaction.atomic():
        return terms.change(actor=ACTOR, **{**AT_ONCE, **changes})


@pytest.fixture
def at_once(owner: psycopg.Connection) -> Iterator[None]:
    """Nothing waits, as long as the test runs, and nothing that other tests left is due."""
    owner.execute("UPDATE billing_withdrawal SET next_at = NULL")
    set_terms()
    yield
    set_terms(
        clearing_days=7,
        minimum_nanos=10 * UNIT,
        destination_delay_hours=72,
    )


@pytest.fixture
def earner(at_once: None, owner: psycopg.Connection) -> Earner:
    team = TeamFactory.create()
    paywall = PaywallFactory.create(team=team, mode=Paywall.Mode.SHARED)
    made = Earner(team, paywall, owner)
    made.bank()
    return made


@pytest.fixture
def tester(earner: Earner) -> Earner:
    """The same team with test money."""
    made = replace(earner, livemode=False)
    made.bank()
    return made
