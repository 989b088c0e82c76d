"""Commands of this app: what they change, what they answer, how they refuse."""

import io
import re
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class

from config.kit import ids
from paywalls import config, keys, messages, rules
from paywalls.models import ApiKey, Change, EndUser, Limit, Paywall
from tests.factories import (
    EndUserFactory,
    PaywallFactory,
    TeamFactory,
    make_key,
)
from tests.support.commands import refusal, run, run_json

OURS = sorted(
    name
    for name, app in get_commands().items()
    if app in {"paywalls", "billing", "providers", "dashboard"}
)


@pytest.fixture
def paywall():
    return PaywallFactory()


@pytest.mark.parametrize("name", OURS)
def test_every_command_explains_itself(name):
    command = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    assert len(command.help) > 40
    own = [each for each in parser._actions if "-h" not in each.option_strings]
    assert all(each.help for each in own)
    assert parser.format_help()


class TestCreatePaywall:
    def test_makes_it_with_an_audit_row(self):
        team = TeamFactory()
        facts = run_json(
            "create_paywall",
            "Shop",
            "--team",
            ids.encode("team", team.pk),
            "--currency",
            "EUR",
            "--timezone",
            "Europe/Berlin",
            "--test",
            "--actor",
            "dev_x",
        )
        paywall = Paywall.objects.get(pk=ids.decode("pw", facts["id"]))
        assert (paywall.name, paywall.currency, paywall.livemode) == ("Shop", "EUR", False)
        assert (paywall.mode, paywall.timezone, paywall.version) == ("default", "Europe/Berlin", 1)
        change = Change.objects.get(paywall=paywall)
        assert (change.action, change.actor, change.version) == ("paywall.created", "dev_x", 1)

    @pytest.mark.parametrize(
        ("arguments", "start"),
        [
            (["Shop", "--mode", "both"], "--mode: "),
            (["Shop", "--currency", "usd"], "--currency: "),
            (["Shop", "--currency", "JPYX"], "--currency: "),
            (["Shop", "--timezone", "Mars/Base"], "--timezone: "),
            ([" "], "name: "),
            (["x" * 101], "name: "),
            (["Sh\nop"], "name: "),
        ],
    )
    def test_refuses_and_names_the_flag(self, arguments, start):
        team = ids.encode("team", TeamFactory().pk)
        assert refusal("create_paywall", *arguments, "--team", team).startswith(start)

    def test_an_unknown_team_is_refused(self):
        assert refusal("create_paywall", "Shop", "--team", "nobody").startswith("--team: ")


class TestSetPaywall:
    def test_changes_only_what_is_said(self, paywall):
        facts = run_json(
            "set_paywall",
            paywall.public_id,
            "--allowed-models",
            "openai/*, gpt",
            "--graceful",
            "yes",
            "--money",
            "test",
        )
        paywall.refresh_from_db()
        assert paywall.allowed_models == ["openai/*", "gpt"]
        assert (paywall.graceful, paywall.livemode, paywall.store_answers) == (True, False, False)
        assert (paywall.version, facts["state"]) == (2, "active")
        run("set_paywall", paywall.public_id, "--allowed-models", "")
        paywall.refresh_from_db()
        assert paywall.allowed_models == []

    def test_the_same_again_is_no_version(self, paywall):
        run("set_paywall", paywall.public_id, "--graceful", "yes")
        assert run("set_paywall", paywall.public_id, "--graceful", "yes").startswith("Nothing")
        paywall.refresh_from_db()
        assert paywall.version == 2

    def test_pauses_resumes_and_archives_for_good(self, paywall):
        assert run_json("set_paywall", paywall.public_id, "--pause")["state"] == "paused"
        assert run_json("set_paywall", paywall.public_id, "--resume")["state"] == "active"
        assert run_json("set_paywall", paywall.public_id, "--archive")["state"] == "archived"
        assert "archived" in refusal("set_paywall", paywall.public_id, "--resume")

    @pytest.mark.parametrize(
        ("arguments", "start"),
        [
            (["--graceful", "maybe"], "--graceful: "),
            (["--money", "yes"], "--money: "),
            (["--allowed-models", "a*b"], "--allowed-models: "),
            (["--name", ""], "--name: "),
            (["--description", "x" * 501], "--description: "),
            (["--pause", "--resume"], "Error: "),
        ],
    )
    def test_refuses_and_names_the_flag(self, paywall, arguments, start):
        assert refusal("set_paywall", paywall.public_id, *arguments).startswith(start)


class TestFinding:
    def test_a_name_is_enough_when_only_one_has_it(self, paywall):
        assert run_json("set_paywall", paywall.name)["id"] == paywall.public_id

    def test_a_name_of_two_is_refused_with_their_ids(self, paywall):
        other = PaywallFactory(name=paywall.name)
        said = refusal("set_paywall", paywall.name)
        assert paywall.public_id in said
        assert other.public_id in said

    @pytest.mark.parametrize("text", ["", "nobody", "pw_01h455vb4pex5vsknk084sn02q", "key_x"])
    def test_an_unknown_one_is_refused(self, text):
        assert refusal("set_paywall", text).startswith("paywall: ")


class TestKeys:
    def test_is_revoked_by_id_name_or_last_four(self, paywall):
        for find in (lambda key: key.public_id, lambda key: key.name):
            key, text = make_key(paywall, name=f"key {ids.uuid7().hex}")
            run("revoke_key", find(key))
            assert config.load(keys.digest(text)) is None

    def test_an_unknown_key_is_refused(self):
        assert refusal("revoke_key", "nobody").startswith("key: ")

    def test_is_rotated_with_an_overlap(self, paywall):
        key, text = make_key(paywall)
        facts = run_json("rotate_key", key.public_id, "--overlap", "2h")
        assert keys.parse(facts["key"])
        assert facts["replaces"]["id"] == key.public_id
        assert config.load(keys.digest(text)) is not None
        assert ApiKey.objects.filter(paywall=paywall).count() == 2

    @pytest.mark.parametrize("overlap", ["", "2", "2w", "-2h", "99999d", "31d"])
    def test_a_bad_overlap_is_refused(self, paywall, overlap):
        key, _ = make_key(paywall)
        assert refusal("rotate_key", key.public_id, f"--overlap={overlap}").startswith(
            "--overlap: "
        )


class TestSetLimit:
    def caps(self, text):
        found, mine = config.load(keys.digest(text))
        return found.user_caps, mine.caps, found.paywall_caps

    def test_for_each_user_a_key_and_the_paywall(self, paywall):
        key, text = make_key(paywall)
        pw = paywall.public_id
        run("set_limit", pw, "concurrency", "3")
        run("set_limit", pw, "requests_day", "100", "--key", key.public_id)
        facts = run_json("set_limit", pw, "spend_month", "12.50", "--whole-paywall")
        assert facts["value"] == "12.5"
        assert self.caps(text) == (
            {"concurrency": 3},
            {"requests_day": 100},
            {"spend_month": 12_500_000_000},
        )
        run("set_limit", pw, "concurrency", "none")
        assert self.caps(text)[0] == {}

    def test_for_one_user_in_place_of_the_common(self, paywall):
        user = EndUserFactory(paywall=paywall, livemode=False)
        args = (paywall.public_id, "requests_day")
        assert "live mode" in refusal("set_limit", *args, "5", "--user", user.external_id)
        run("set_limit", *args, "5", "--user", user.external_id, "--test")
        assert EndUser.objects.get(pk=user.pk).limits == {"requests_day": 5}
        run("set_limit", *args, "none", "--user", user.external_id, "--test")
        assert EndUser.objects.get(pk=user.pk).limits is None

    def test_nothing_different_is_no_version(self, paywall):
        for _ in range(2):
            run("set_limit", paywall.public_id, "concurrency", "3")
        paywall.refresh_from_db()
        assert paywall.version == 2

    @pytest.mark.parametrize(
        ("arguments", "start"),
        [
            (["speed", "3"], "kind: "),
            (["concurrency", "1.5"], "value: "),
            (["concurrency", "-1"], "value: "),
            (["concurrency", "9999999999"], "value: "),
            (["spend_day", "1e3"], "value: "),
            (["spend_day", "2000000000"], "value: "),
            (["concurrency", "1", "--user", "ghost"], "--user: "),
            (["concurrency", "1", "--key", "ghost"], "--key: "),
            (["concurrency", "1", "--user", "x", "--each-user"], "Error: "),
        ],
    )
    def test_refuses_and_names_the_argument(self, paywall, arguments, start):
        assert refusal("set_limit", paywall.public_id, *arguments).startswith(start)
        assert not Limit.objects.filter(paywall=paywall).exists()

    def test_another_paywalls_key_is_refused(self, paywall):
        key, _ = make_key(PaywallFactory())
        said = refusal("set_limit", paywall.public_id, "concurrency", "1", "--key", key.public_id)
        assert "another paywall" in said


class TestSetMessage:
    def test_sets_and_resets(self, paywall, monkeypatch):
        event = "insufficient_funds"
        facts = run_json("set_message", paywall.public_id, event, "Pay {{ url }}, {{7*7}}")
        assert facts["text"] == "Pay {{ url }}, {{7*7}}"
        monkeypatch.setattr(sys, "stdin", io.StringIO("From a file: {{url}}\n"))
        assert run_json("set_message", paywall.public_id, event, "-")["text"].startswith("From")
        reset = run_json("set_message", paywall.public_id, event, "--reset")
        assert reset["text"] == messages.DEFAULTS[event]

    @pytest.mark.parametrize(
        ("arguments", "start"),
        [
            (["payday", "x"], "event: "),
            (["insufficient_funds", "x" * 4001], "text: "),
            (["insufficient_funds", " "], "text: "),
            (["insufficient_funds"], "text: "),
            (["insufficient_funds", "x", "--reset"], "text: "),
        ],
    )
    def test_refuses_and_names_the_argument(self, paywall, arguments, start):
        assert refusal("set_message", paywall.public_id, *arguments).startswith(start)

    def test_warns_when_the_link_is_missing(self, paywall, capsys):
        run("set_message", paywall.public_id, "insufficient_funds", "Pay {{name}}")
        assert "no {{url}}" in capsys.readouterr().err
        run("set_message", paywall.public_id, "model_unavailable", "Later")
        assert not capsys.readouterr().err


class TestSetAlias:
    def test_sets_and_removes(self, paywall):
        run("set_alias", paywall.public_id, "fast", "openai/gpt")
        _, text = make_key(paywall)
        assert config.load(keys.digest(text))[0].aliases == {"fast": "openai/gpt"}
        assert "another alias" in refusal("set_alias", paywall.public_id, "faster", "fast")
        assert "stands for this name" in refusal("set_alias", paywall.public_id, "openai/gpt", "x")
        run("set_alias", paywall.public_id, "a" * 200, "b" * 200)
        run("set_alias", paywall.public_id, "a" * 200, "--remove")
        run("set_alias", paywall.public_id, "fast", "--remove")
        assert config.load(keys.digest(text))[0].aliases == {}

    @pytest.mark.parametrize("arguments", [["a b", "c"], ["a", "c d"], ["a"], ["", "c"]])
    def test_refuses_bad_names(self, paywall, arguments):
        assert refusal("set_alias", paywall.public_id, *arguments)


class TestSetUser:
    def test_blocks_pools_and_erases(self, paywall):
        user, other = EndUserFactory(paywall=paywall), EndUserFactory(paywall=paywall)
        args = (paywall.public_id, user.external_id)
        assert run_json("set_user", *args, "--block")["blocked_at"]
        assert run_json("set_user", *args, "--unblock")["blocked_at"] is None
        pooled = run_json("set_user", *args, "--share-wallet", other.external_id)
        assert pooled["wallet"] == ids.encode("wal", other.wallet_id)
        key, text = make_key(paywall, end_user=user)
        erased = run_json("set_user", *args, "--erase")
        assert user.external_id not in repr(erased)
        assert config.load(keys.digest(text)) is None
        trail = repr(list(Change.objects.filter(paywall=paywall).values()))
        assert user.external_id not in trail
        assert key.public_id in trail

    def test_another_paywalls_wallet_is_refused(self, paywall):
        user, stranger = EndUserFactory(paywall=paywall), EndUserFactory()
        args = (paywall.public_id, user.external_id, "--share-wallet", stranger.external_id)
        assert "no user" in refusal("set_user", *args)

    def test_something_must_be_asked_for(self, paywall):
        user = EndUserFactory(paywall=paywall)
        assert "required" in refusal("set_user", paywall.public_id, user.external_id)


class TestSetTrialAndCredits:
    def test_trial(self, paywall):
        run("set_trial", paywall.public_id, "--amount", "0.50", "--days", "7")
        prices = rules.price_list(paywall.pk)
        assert (prices.trial_nanos, prices.trial_days) == (500_000_000, 7)
        assert run_json("set_trial", paywall.public_id, "--requests", "3")["amount"] == "0"
        run("set_trial", paywall.public_id, "--end")
        prices = rules.price_list(paywall.pk)
        assert (prices.trial_nanos, prices.trial_requests, prices.number) == (0, 0, 3)

    @pytest.mark.parametrize(
        ("arguments", "start"),
        [
            ([], "--amount: "),
            (["--amount", "-1"], "--amount: "),
            (["--amount", "abc"], "--amount: "),
            (["--amount", "1", "--requests", "2"], "--amount: "),
            (["--amount", "1", "--end"], "--amount: "),
            (["--requests", "1.5"], "--requests: "),
            (["--requests", "1", "--days", "99999"], "--days: "),
        ],
    )
    def test_refuses_and_names_the_flag(self, paywall, arguments, start):
        assert refusal("set_trial", paywall.public_id, *arguments).startswith(start)

    def test_credits(self, paywall):
        run("set_credits", paywall.public_id, "100", "--name", "stars")
        prices = rules.price_list(paywall.pk)
        assert (prices.credits_name, prices.credits_per_unit) == ("stars", 100)
        run("set_credits", paywall.public_id, "0")
        assert rules.price_list(paywall.pk).credits_per_unit == 0
        assert refusal("set_credits", paywall.public_id, "many").startswith("rate: ")
        assert refusal("set_credits", paywall.public_id, "5", "--name", "x" * 33).startswith(
            "--name"
        )


@pytest.mark.slow
def test_a_mistake_is_one_line_and_exit_1():
    for arguments in (["set_paywall", "nobody"], ["set_paywall", "nobody", "--nope"]):
        done = subprocess.run(
            [sys.executable, settings.BASE_DIR / "manage.py", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert re.search(r"paywall|--nope", lines[0])
