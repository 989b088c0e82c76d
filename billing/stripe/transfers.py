"""Withdrawals through Stripe Connect: a transfer to the team's account, then a payout to its bank.

Both carry the withdrawal's id, and are looked for by it before they are made: Stripe forgets
idempotency keys after a day. A key ends in a number that a definite refusal raises, because Stripe
repeats refusals as well.
"""

import datetime as dt
from typing import Any, Final

import stripe
from django.conf import settings

from billing.stripe.amounts import nanos_of_minor
from billing.stripe.errors import StripeRefusedError, translated
from billing.stripe.platform import WITHDRAWAL, client
from billing.withdrawals.adapters import Outcome
from billing.withdrawals.models import Destination, Withdrawal
from config.kit import clock, ids

SOON_S: Final = 60
LATER_S: Final = 3_600
DAY_S: Final = 86_400
WATCHED: Final = dt.timedelta(days=35)
"""Banks return payouts that they had accepted up to some weeks later."""

ATTEMPTS_MAX: Final = 12
"""With an hour between the later ones."""

PAYOUTS_SEEN: Final = 100
NO_MONEY: Final = "balance_insufficient"
TEAM: Final = "paywalls_team"


class StripeTransfers:
    """Destinations are accounts that are connected to the operator's own."""

    def check(self, destination: Destination) -> str:
        """Raises: PayoutsUnavailableError, StripeFailedError."""
        with translated():
            found = client(livemode=destination.livemode).v1.accounts.retrieve(
                destination.facts["account"]
            )
        account = found.to_dict()
        if account.get("capabilities", {}).get("transfers") != "active":
            return "Stripe has questions first: open the link."
        if not account.get("payouts_enabled"):
            return "Stripe does not pay out yet: its dashboard says why."
        return ""

    def pay(self, withdrawal: Withdrawal) -> Outcome:
        """Raises: PayoutsUnavailableError, StripeBusyError, StripeKeyError."""
        v1 = client(livemode=withdrawal.livemode).v1
        try:
            transfer = _transfer(v1, withdrawal)
        except StripeRefusedError as refused:
            return _refused(withdrawal, refused)
        withdrawal.facts = {**withdrawal.facts, "transfer": transfer["id"]}
        return self.follow(withdrawal)

    def follow(self, withdrawal: Withdrawal) -> Outcome:
        """Raises: PayoutsUnavailableError, StripeFailedError."""
        if "transfer" not in withdrawal.facts:
            return self.pay(withdrawal)
        v1 = client(livemode=withdrawal.livemode).v1
        with translated():
            transfer = v1.transfers.retrieve(withdrawal.facts["transfer"]).to_dict()
        if transfer["reversed"]:
            return _ended("The transfer was taken back.", withdrawal.facts)
        try:
            payout = _payout(v1, withdrawal)
        except StripeRefusedError as refused:
            return self._not_paid_out(withdrawal, refused)
        facts = {**withdrawal.facts, "payout": payout["id"]}
        if payout["status"] == "paid":
            part = "A part of the transfer was taken back." if transfer["amount_reversed"] else ""
            is_over = withdrawal.paid_at and withdrawal.paid_at + WATCHED < clock.now()
            return Outcome(
                state="paid", reason=part, facts=facts, next_s=None if is_over else DAY_S
            )
        if payout["status"] in ("failed", "canceled"):
            _take_back(v1, withdrawal)
            why = payout.get("failure_message") or f"The payout is {payout['status']}."
            return _ended(f"{why} ({payout.get('failure_code') or '-'})", facts)
        return Outcome(state="sent", facts=facts, next_s=LATER_S)

    def _not_paid_out(self, withdrawal: Withdrawal, refused: StripeRefusedError) -> Outcome:
        """The money is on the team's account and does not leave it: some tries, then it returns."""
        if withdrawal.facts.get("attempt", 0) < ATTEMPTS_MAX:
            return _retried(withdrawal, refused)
        _take_back(client(livemode=withdrawal.livemode).v1, withdrawal)
        return _ended(refused.message, withdrawal.facts)

    def cancel(self, withdrawal: Withdrawal) -> Outcome:
        """Before its payout has left, a transfer can be taken back.

        Raises: PayoutsUnavailableError, StripeFailedError.
        """
        known = self.follow(withdrawal)
        if known.state != "sent":
            return known
        withdrawal.facts = dict(known.facts)
        v1 = client(livemode=withdrawal.livemode).v1
        if payout := withdrawal.facts.get("payout"):
            try:
                with translated():
                    v1.payouts.cancel(payout, options=_there(withdrawal))
            except StripeRefusedError:
                return known
        _take_back(v1, withdrawal)
        return _ended("It was stopped.", withdrawal.facts)


def open_account(destination: Destination, *, country: str) -> str:
    """A new connected account for a team: acct_….

    Raises: PayoutsUnavailableError, StripeFailedError.
    """
    given: Any = {
        "type": "express",
        "country": country.upper(),
        "capabilities": {"transfers": {"requested": True}},
        "settings": {"payouts": {"schedule": {"interval": "manual"}}},
        "metadata": {TEAM: ids.encode("team", destination.team_id)},
    }
    options: stripe.RequestOptions = {"idempotency_key": f"destination:{destination.pk}"}
    with translated():
        return client(livemode=destination.livemode).v1.accounts.create(given, options).id


def onboarding_link(destination: Destination) -> str:
    """Stripe's page with its questions. Raises: PayoutsUnavailableError, StripeFailedError."""
    with translated():
        link = client(livemode=destination.livemode).v1.account_links.create(
            {
                "account": destination.facts["account"],
                "type": "account_onboarding",
                "return_url": settings.BASE_URL,
                "refresh_url": settings.BASE_URL,
            }
        )
    return link.url


def _transfer(v1: Any, withdrawal: Withdrawal) -> dict[str, Any]:
    """The one there is, or a new one."""
    with translated():
        found = v1.transfers.list({"transfer_group": withdrawal.public_id, "limit": 1}).data
        if found:
            first: dict[str, Any] = found[0].to_dict()
            return first
        given = {
            "amount": withdrawal.net // nanos_of_minor(withdrawal.currency),
            "currency": withdrawal.currency.lower(),
            "destination": withdrawal.destination.facts["account"],
            "transfer_group": withdrawal.public_id,
            "metadata": {WITHDRAWAL: withdrawal.public_id},
        }
        made: dict[str, Any] = v1.transfers.create(given, _key(withdrawal, "transfer")).to_dict()
        return made


def _payout(v1: Any, withdrawal: Withdrawal) -> dict[str, Any]:
    """The one there is, or a new one."""
    options = _there(withdrawal)
    with translated():
        if known := withdrawal.facts.get("payout"):
            kept: dict[str, Any] = v1.payouts.retrieve(known, options=options).to_dict()
            return kept
        for each in v1.payouts.list({"limit": PAYOUTS_SEEN}, options).data:
            found: dict[str, Any] = each.to_dict()
            if (found.get("metadata") or {}).get(WITHDRAWAL) == withdrawal.public_id:
                return found
        given = {
            "amount": withdrawal.net // nanos_of_minor(withdrawal.currency),
            "currency": withdrawal.currency.lower(),
            "metadata": {WITHDRAWAL: withdrawal.public_id},
        }
        made: dict[str, Any] = v1.payouts.create(
            given, {**options, **_key(withdrawal, "payout")}
        ).to_dict()
        return made


def _take_back(v1: Any, withdrawal: Withdrawal) -> None:
    """All of the transfer comes back to the operator. Raises: StripeFailedError."""
    name = withdrawal.facts["transfer"]
    with translated():
        if not v1.transfers.retrieve(name).reversed:
            v1.transfers.reversals.create(name, None, _key(withdrawal, "reversal"))


def _refused(withdrawal: Withdrawal, refused: StripeRefusedError) -> Outcome:
    """No transfer was made. Without money on the operator's account it is tried again."""
    if refused.details.get("stripe_code") == NO_MONEY:
        return _retried(withdrawal, refused)
    return Outcome(state="failed", reason=refused.message)


def _retried(withdrawal: Withdrawal, refused: StripeRefusedError) -> Outcome:
    attempt = int(withdrawal.facts.get("attempt", 0)) + 1
    facts = {**withdrawal.facts, "attempt": attempt}
    wait = min(SOON_S * 2 ** min(attempt, 6), LATER_S)
    return Outcome(state="sent", reason=refused.message, facts=facts, next_s=wait)


def _ended(reason: str, facts: dict[str, Any]) -> Outcome:
    return Outcome(state="failed", reason=reason, facts=facts)


def _there(withdrawal: Withdrawal) -> stripe.RequestOptions:
    return {"stripe_account": withdrawal.destination.facts["account"]}


def _key(withdrawal: Withdrawal, what: str) -> stripe.RequestOptions:
    attempt = withdrawal.facts.get("attempt", 0)
    return {"idempotency_key": f"withdrawal:{withdrawal.pk}:{what}:{attempt}"}
