"""Forms with which staff moves money. Each books through `billing.movements`."""

from typing import Any, Final

from django import forms

from billing import movements
from billing.models import Charge, Wallet
from billing.movements import Reason
from billing.types import Movement
from config.kit import ids
from config.kit.money import format_nanos, parse_nanos

KINDS: Final = (
    ("deposit", "Deposit: money that was paid outside"),
    ("bonus", "Bonus: given away, spent first"),
    ("up", "Adjustment up"),
    ("down", "Adjustment down: what is not there is owed"),
    ("charge", "Manual charge: all or nothing"),
)


class AmountField(forms.CharField):
    """A decimal amount; cleans to nanos."""

    def clean(self, value: Any) -> int:
        nanos = parse_nanos(super().clean(value))
        if not nanos:
            raise forms.ValidationError("An amount above 0 such as 12.50, at most nine decimals.")
        return nanos


class MoneyForm(forms.Form):
    """What every movement asks."""

    amount = AmountField(
        help_text="such as 12.50", widget=forms.TextInput(attrs={"inputmode": "decimal"})
    )
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), max_length=500)
    ref = forms.CharField(
        required=False,
        max_length=100,
        label="Reference",
        help_text="optional: the same reference books once, however often it is sent",
    )
    once = forms.CharField(
        required=False, max_length=100, widget=forms.HiddenInput, initial=lambda: ids.uuid7().hex
    )

    def why(self, actor: str) -> Reason:
        """Who, why, under which reference. Without one, the form's own: a second click is no
        second movement.
        """
        ref = self.cleaned_data["ref"] or self.cleaned_data["once"] or None
        return Reason(actor=actor, reason=self.cleaned_data["reason"], ref=ref)


class MoveForm(MoneyForm):
    """A movement in one wallet."""

    kind = forms.ChoiceField(choices=KINDS)
    field_order = ("kind", "amount", "reason", "ref")

    def __init__(self, *args: Any, wallet: Wallet, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wallet = wallet

    def book(self, *, actor: str) -> Movement:
        """Books it.

        Raises: PaywallsError, as the movement does.
        """
        amount, why, live = self.cleaned_data["amount"], self.why(actor), self.wallet.livemode
        paywall, user = self.wallet.paywall, self.wallet.external_id
        match self.cleaned_data["kind"]:
            case "deposit":
                return movements.deposit(paywall, user, amount, why, livemode=live)
            case "bonus":
                return movements.bonus(paywall, user, amount, why, livemode=live)
            case "up":
                return movements.adjust(paywall, user, amount, why, livemode=live)
            case "down":
                return movements.adjust(paywall, user, -amount, why, livemode=live)
            case _:
                return movements.charge(paywall, user, amount, why, livemode=live)


class RefundForm(MoneyForm):
    """Gives back (part of) one charge."""

    def __init__(self, *args: Any, charge: Charge, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.charge = charge
        self.fields["amount"].initial = format_nanos(charge.charged)

    def book(self, *, actor: str) -> Movement:
        """Books it.

        Raises: PaywallsError, as the refund does.
        """
        return movements.refund(
            self.charge.transaction_id, self.cleaned_data["amount"], self.why(actor)
        )
