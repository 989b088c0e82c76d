"""Credit lines."""

import pytest
from django.db import transaction

from billing import credit, movements
from billing.errors import CreditLineInUseError, InsufficientFundsError
from billing.movements import Reason
from ledger.invariants import LEDGER
from ledger.models import Account
from paywalls.models import Change, EndUser, Paywall

WHY = Reason(actor="dev_1", reason="because")


@pytest.fixture
def paywall(payer) -> Paywall:
    made = Paywall.objects.get(id=payer.paywall_id)
    movements.deposit(made, "u", 100, WHY)
    return made


def line(paywall: Paywall, nanos: int) -> int:
    with transaction.atomic():
        return credit.set_line(paywall, "u", nanos, livemode=True, actor="dev_1")


def test_a_user_with_a_line_spends_below_zero_and_no_further(paywall):
    assert line(paywall, 50) == 150
    movements.charge(paywall, "u", 140, WHY)
    with pytest.raises(InsufficientFundsError):
        movements.charge(paywall, "u", 11, WHY)
    wallet = EndUser.objects.get(paywall=paywall).wallet_id
    assert Account.objects.get(id=wallet).posted == -40


def test_a_line_in_use_cannot_be_withdrawn(paywall):
    line(paywall, 50)
    movements.charge(paywall, "u", 140, WHY)
    with pytest.raises(CreditLineInUseError):
        line(paywall, 39)
    assert line(paywall, 40) == 0


def test_the_change_is_audited(paywall):
    line(paywall, 50)
    change = Change.objects.filter(paywall=paywall).latest("id")
    assert (change.action, change.before, change.after) == (
        "user.credit_line",
        {"line": "0"},
        {"line": "0.00000005"},
    )


def test_credits_that_may_expire_do_not_cover_what_is_used(paywall):
    """Else they could not expire, and nobody could use the wallet any more."""
    line(paywall, 50)
    movements.charge(paywall, "u", 140, WHY)
    movements.bonus(paywall, "u", 20, WHY)
    with pytest.raises(CreditLineInUseError):
        line(paywall, 39)
    assert line(paywall, 40) == 20


def test_a_bonus_on_a_line_in_use_breaks_no_invariant(paywall, owner):
    line(paywall, 50)
    movements.charge(paywall, "u", 140, WHY)
    movements.bonus(paywall, "u", 20, WHY)
    wallet = EndUser.objects.get(paywall=paywall).wallet_id
    for invariant in LEDGER:
        broken = {row[0] for row in owner.execute(invariant.query).fetchall()}
        assert wallet not in broken, invariant.number
