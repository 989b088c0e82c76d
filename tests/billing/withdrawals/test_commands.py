"""The commands about earnings and withdrawals, and the queue of the administration."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.withdrawals import requests
from billing.withdrawals.models import Destination, PayoutTerms, Withdrawal
from config.kit import ids
from paywalls.models import User
from tests.billing.withdrawals.conftest import IBAN, UNIT, Earner, set_terms
from tests.factories import ACTOR
from tests.support.commands import refusal, run, run_json


def test_from_terms_and_a_destination_to_a_confirmed_batch(
    earner: Earner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    team = ids.encode("team", earner.team.pk)
    terms = run_json("set_payout_terms", "--fee", "0.50", "--approval-above", "15")
    assert (terms["fee"], terms["approval_above"], terms["minimum"]) == ("0.5", "15", "1")
    monkeypatch.setenv("IBAN", IBAN)
    made = run_json("set_destination", team, "--holder", "Ada", "--schedule", "weekly")
    assert (made["label"], made["schedule"]) == ("DE89 … 3000", "weekly")
    assert IBAN not in run("set_destination", team)
    earner.cleared(40 * UNIT)
    earner.earn(5 * UNIT)
    shown = run_json("earnings", team)
    assert (shown["pending"], shown["cleared"], shown["available"]) == ("5", "40", "40")
    small = run_json("withdraw", team, "10", "--key", "k")
    assert run_json("withdraw", team, "10", "--key", "k") == small
    large = run_json("withdraw", team, "20", "--actor", "command:ann")
    assert (small["state"], large["state"], small["net"]) == ("approved", "requested", "9.5")
    refused = refusal("approve_withdrawal", large["withdrawal"], "--actor", "command:ann")
    assert "another person" in refused
    run("approve_withdrawal", large["withdrawal"], "--actor", "command:bob")
    batch = run_json("export_bank_batch")
    assert run_json("export_bank_batch", "--again", batch["batch"]) == batch
    file = tmp_path / "bank.csv"
    file.write_text(
        f"id,state,reason\n{small['withdrawal']},paid,\n{large['withdrawal']},failed,closed\n"
    )
    confirmed = run_json("confirm_bank_batch", batch["batch"], "--file", str(file))
    assert (confirmed["paid"], confirmed["failed"]) == (1, 1)
    assert run_json("earnings", team)["available"] == "30"
    taken = run_json("take_back_earnings", team, "40", "--reason", "a dispute", "--ref", "du_1")
    assert taken == {"available": "0", "owed": "5"}


def test_what_is_wrong_is_named(earner: Earner, monkeypatch: pytest.MonkeyPatch):
    team = ids.encode("team", earner.team.pk)
    assert refusal("set_payout_terms", "--fee-bps", "10000").startswith("--fee-bps: At least 0")
    assert "smallest step" in refusal("withdraw", team, "1.001")
    assert "0 can be withdrawn" in refusal("withdraw", team, "5")
    assert "wd_…" in refusal("cancel_withdrawal", "x")
    assert "no withdrawal" in refusal("cancel_withdrawal", f"wd_{'0' * 26}")
    assert "no batch" in refusal("confirm_bank_batch", "x", "--all-paid")
    monkeypatch.delenv("IBAN", raising=False)
    assert "no IBAN" in refusal("set_destination", team, "--holder", "Ada")
    assert "has none yet" in refusal("set_destination", team, "--test")
    assert "no Stripe key" in refusal("set_destination", team, "--stripe", "US", "--test")


def test_cancelled_money_is_back(earner: Earner):
    made = earner.cleared(20 * UNIT).withdraw(None)
    assert "cancelled" in run("cancel_withdrawal", made.public_id, "--reason", "a mistake")
    assert earner.now.available_nanos == 20 * UNIT


def test_unchanged_terms_are_no_new_version(earner: Earner):
    before = PayoutTerms.objects.count()
    run("set_payout_terms")
    run("set_payout_terms", "--clearing-days", "0")
    assert PayoutTerms.objects.count() == before


class TestQueue:
    @pytest.fixture
    def staff(self) -> Client:
        client = Client()
        user = User(email=f"{ids.uuid7().hex}@example.test", is_staff=True, is_superuser=True)
        user.save(force_insert=True)
        client.force_login(user)
        return client

    def act(self, staff: Client, row: Withdrawal, action: str) -> Any:
        url = reverse("admin:billing_withdrawal_act", args=[row.pk])
        return staff.post(url, {"action": action, "reason": "as asked"})

    def test_approves_and_ends(self, earner: Earner, staff: Client):
        set_terms(approval_above_nanos=0)
        made = earner.cleared(20 * UNIT).withdraw(5 * UNIT)
        assert self.act(staff, made, "paid").status_code == 422
        assert self.act(staff, made, "approve").status_code == 302
        assert self.act(staff, made, "failed").status_code == 302
        ended = requests.find(made.pk)
        assert (ended.state, ended.reason) == ("failed", "as asked")
        assert self.act(staff, made, "cancel").status_code == 422
        assert earner.now.available_nanos == 20 * UNIT

    def test_nobody_declares_what_stripe_pays_as_paid(self, earner: Earner, staff: Client):
        made = earner.cleared(20 * UNIT).withdraw(5 * UNIT)
        earner.owner.execute(
            "UPDATE billing_withdrawal SET state = 'sent', sent_at = now() WHERE id = %s", [made.pk]
        )
        Destination.objects.filter(pk=made.destination_id).update(
            kind="stripe", facts={"account": "acct_1"}, is_active=False
        )
        for action in ("paid", "failed"):
            assert self.act(staff, made, action).status_code == 422
        assert requests.find(made.pk).state == "sent"

    def test_pages_show_no_secret(self, earner: Earner, staff: Client):
        made = earner.cleared(20 * UNIT).withdraw(5 * UNIT)
        for name in ("withdrawal", "destination", "payoutterms", "bankbatch", "platformstripe"):
            page = staff.get(reverse(f"admin:billing_{name}_changelist"))
            assert (page.status_code, IBAN in page.content.decode()) == (200, False)
        for name, row in (("withdrawal", made), ("destination", made.destination)):
            page = staff.get(reverse(f"admin:billing_{name}_change", args=[row.pk]))
            assert (page.status_code, IBAN in page.content.decode()) == (200, False)

    def test_the_same_person_does_not_approve(self, earner: Earner, staff: Client):
        set_terms(approval_above_nanos=0)
        user = User.objects.get(pk=staff.session["_auth_user_id"])
        made = earner.cleared(20 * UNIT).withdraw(5 * UNIT, actor=ids.encode("dev", user.pk))
        page = self.act(staff, made, "approve")
        assert (page.status_code, "another person" in page.content.decode()) == (422, True)
        assert made.requested_by != ACTOR
