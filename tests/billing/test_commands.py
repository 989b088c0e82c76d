"""The commands that move money by hand, and the one that makes keys."""

import datetime as dt

import pytest

from config.kit import ids
from ledger import balances
from paywalls import config, keys
from paywalls.models import EndUser, Paywall
from tests.factories import PaywallFactory, PriceVersionFactory
from tests.support.commands import refusal, run, run_json

WHY = ("--reason", "a test")


@pytest.fixture
def paywall():
    return PaywallFactory()


def user_of(paywall, external_id, *, livemode=True):
    return EndUser.objects.get(paywall=paywall, external_id=external_id, livemode=livemode)


class TestCreateKey:
    def test_shows_the_key_once(self, paywall):
        facts = run_json("create_key", paywall.public_id, "--name", "web")
        found, mine = config.load(keys.digest(facts["key"]))
        assert (found.id, mine.livemode, mine.scopes) == (paywall.pk, True, frozenset())

    def test_takes_every_option(self, paywall):
        facts = run_json(
            "create_key",
            paywall.public_id,
            "--test",
            "--scopes",
            "chat, balance",
            "--allowed-models",
            "openai/*",
            "--user",
            "ann",
            "--expires",
            "90d",
            "--error-mode",
            "--require-idempotency",
        )
        assert facts["key"].startswith("sk-paywalls-test-")
        _, mine = config.load(keys.digest(facts["key"]))
        assert mine.scopes == {"chat", "balance"}
        assert (mine.allowed_models, mine.external_user) == (("openai/*",), "ann")
        assert mine.error_mode
        assert mine.idempotency_required
        assert mine.left > dt.timedelta(0)
        assert not mine.livemode

    def test_a_new_bound_user_gets_wallet_and_trial_once(self, paywall):
        PriceVersionFactory(paywall=paywall, trial_nanos=7)
        for _ in range(2):
            run("create_key", paywall.public_id, "--user", "ann")
        assert balances.balance(user_of(paywall, "ann").wallet_id) == 7

    @pytest.mark.parametrize(
        ("arguments", "start"),
        [
            (["--scopes", "everything"], "--scopes: "),
            (["--user", "ann", "--scopes", "deposit"], "--scopes: "),
            (["--user", "a b"], "--user: "),
            (["--user", "x" * 129], "--user: "),
            (["--expires", "soon"], "--expires: "),
            (["--expires", "2020-01-01T00:00:00Z"], "--expires: "),
            (["--expires", "2099-01-01T00:00:00"], "--expires: "),
            (["--allowed-models", "*a"], "--allowed-models: "),
            (["--name", ""], "--name: "),
            (["--actor", "x" * 65], "--actor: "),
        ],
    )
    def test_refuses_and_names_the_flag(self, paywall, arguments, start):
        assert refusal("create_key", paywall.public_id, *arguments).startswith(start)
        assert not EndUser.objects.filter(paywall=paywall).exists()


class TestDeposit:
    def test_credits_and_makes_the_user(self, paywall):
        facts = run_json("deposit", paywall.public_id, "ann", "12.50", *WHY)
        assert (facts["amount"], facts["balance"], facts["currency"]) == ("12.5", "12.5", "USD")
        assert balances.balance(user_of(paywall, "ann").wallet_id) == 12_500_000_000

    def test_the_same_reference_books_once(self, paywall):
        args = ("deposit", paywall.public_id, "ann", "5", *WHY, "--ref", "invoice 7")
        first, second = run_json(*args), run_json(*args)
        assert first["transaction"] == second["transaction"]
        assert (first["replayed"], second["replayed"], second["balance"]) == (False, True, "5")
        other = ("deposit", paywall.public_id, "ann", "6", *WHY, "--ref", "invoice 7")
        assert "another movement" in refusal(*other)

    def test_a_test_wallet_is_another_one(self, paywall):
        run("deposit", paywall.public_id, "ann", "5", *WHY)
        assert run_json("deposit", paywall.public_id, "ann", "2", *WHY, "--test")["balance"] == "2"
        assert balances.balance(user_of(paywall, "ann").wallet_id) == 5_000_000_000

    def test_a_paywall_in_test_moves_test_wallets(self):
        paywall = PaywallFactory(livemode=False)
        run("deposit", paywall.public_id, "ann", "5", *WHY)
        assert user_of(paywall, "ann", livemode=False)

    def test_shared_mode_is_refused(self):
        paywall = PaywallFactory(mode=Paywall.Mode.SHARED)
        assert refusal("deposit", paywall.public_id, "ann", "5", *WHY).startswith("paywall: ")

    @pytest.mark.parametrize("amount", ["0", "1e3", "0.0000000001", "ten", "1,5", "9" * 12])
    def test_bad_amounts_are_refused(self, paywall, amount):
        assert refusal("deposit", paywall.public_id, "ann", amount, *WHY).startswith("amount: ")
        assert not EndUser.objects.filter(paywall=paywall).exists()

    def test_a_reason_is_required(self, paywall):
        assert "--reason" in refusal("deposit", paywall.public_id, "ann", "5")
        assert refusal("deposit", paywall.public_id, "ann", "5", "--reason", " ").startswith(
            "--reason: "
        )


class TestAdjust:
    def test_corrects_up_and_down_but_not_below_the_floor(self, paywall):
        args = ("adjust", paywall.public_id, "ann")
        assert run_json(*args, "3", *WHY)["balance"] == "3"
        assert run_json(*args, "-1.25", *WHY)["balance"] == "1.75"
        assert run_json(*args, "-5", *WHY)["balance"] == "0"

    @pytest.mark.parametrize("amount", ["0", "-0", "--5", "+5", "five"])
    def test_bad_amounts_are_refused(self, paywall, amount):
        assert refusal("adjust", paywall.public_id, "ann", *WHY, "--", amount).startswith(
            "amount: "
        )


class TestStatement:
    def test_shows_the_newest_first(self, paywall):
        for amount in ("1", "2", "4"):
            run("deposit", paywall.public_id, "ann", amount, *WHY)
        facts = run_json("statement", paywall.public_id, "ann", "--rows", "2")
        assert (facts["balance"], facts["currency"]) == ("7", "USD")
        assert [entry["amount"] for entry in facts["entries"]] == ["4", "2"]
        assert [entry["balance_after"] for entry in facts["entries"]] == ["7", "3"]
        assert facts["entries"][0]["type"] == "deposit"
        before = str(facts["entries"][-1]["entry"])
        rest = run_json("statement", paywall.public_id, facts["user"], "--before", before)
        assert [entry["amount"] for entry in rest["entries"]] == ["1"]
        assert "deposit" in run("statement", paywall.public_id, "ann")

    def test_unknown_users_and_bad_pages_are_refused(self, paywall):
        assert refusal("statement", paywall.public_id, "ghost").startswith("user: ")
        run("deposit", paywall.public_id, "ann", "1", *WHY)
        for rows in ("0", "201", "x"):
            said = refusal("statement", paywall.public_id, "ann", "--rows", rows)
            assert said.startswith("--rows: ")

    def test_another_paywalls_user_is_unknown(self, paywall):
        run("deposit", paywall.public_id, "ann", "1", *WHY)
        other = PaywallFactory()
        assert "no user" in refusal("statement", other.public_id, "ann")
        mine = ids.encode("usr", user_of(paywall, "ann").pk)
        assert "no user" in refusal("statement", other.public_id, mine)
