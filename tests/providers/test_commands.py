import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from paywalls.models import Change, Paywall
from providers.models import Connection
from tests.factories import PaywallFactory

KEY = "sk-canary-abcdefghij"


@pytest.fixture
def paywall() -> Paywall:
    return PaywallFactory.create()


def run(command: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(command, *arguments, stdout=out, stderr=out)
    return out.getvalue()


def connect(paywall: Paywall, *arguments: str) -> dict[str, Any]:
    text = run("connect_provider", "--paywall", paywall.public_id, "--json", *arguments)
    found: dict[str, Any] = json.loads(text[text.index("{") :])
    return found


class TestConnectProvider:
    def test_a_key_from_stdin(self, paywall: Paywall, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n"))
        said = run(
            "connect_provider",
            "--paywall",
            paywall.public_id,
            "--kind",
            "openai",
            "--key-stdin",
            "--actor",
            "ann",
        )
        assert said == f"Connected openai (openai, key …ghij) of {paywall.name}.\n"
        assert KEY not in said
        assert Change.objects.get(paywall=paywall).actor == "ann"

    def test_a_key_from_the_environment(self, paywall: Paywall, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("MY_KEY", KEY)
        facts = connect(paywall, "--kind", "openrouter", "--name", "main", "--key-env", "MY_KEY")
        assert (facts["name"], facts["has_key"]) == ("main", True)
        assert KEY not in str(facts)

    def test_a_key_on_the_command_line_is_warned_of(self, paywall: Paywall):
        said = run(
            "connect_provider", "--paywall", paywall.public_id, "--kind", "openai", "--key", KEY
        )
        assert said.startswith("Warning: --key is seen by everyone")

    def test_the_same_name_again_changes_it(self, paywall: Paywall):
        first = connect(paywall, "--kind", "openai", "--key", KEY)
        second = connect(paywall, "--name", "openai", "--key", "sk-other-9876543210")
        third = connect(paywall, "--name", "openai", "--position", "4")
        assert first["id"] == second["id"] == third["id"]
        assert (second["key_last_four"], third["position"]) == ("3210", 4)
        assert Connection.objects.filter(paywall=paywall).count() == 1

    def test_the_first_connected_is_asked_first(self, paywall: Paywall):
        assert connect(paywall, "--kind", "openai", "--key", KEY)["position"] == 0
        assert connect(paywall, "--kind", "together", "--key", KEY)["position"] == 1

    def test_another_address_removes_the_key_unless_it_is_given(self, paywall: Paywall):
        connect(paywall, "--kind", "openai", "--key", KEY)
        moved = ("--name", "openai", "--base-url", "https://eu.api.openai.com/v1")
        assert not connect(paywall, *moved)["has_key"]
        assert connect(paywall, *moved, "--key", KEY)["has_key"]

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ((), "--kind: The kind is one of: anthropic"),
            (("--kind", "openai"), "--key: This provider needs"),
            (("--kind", "openai", "--key-env", "NOT_SET"), "no key where you said"),
            (("--kind", "compatible"), "--base-url: Give the base URL"),
            (("--kind", "compatible", "--base-url", "http://10.0.0.1/v1"), "EGRESS_ALLOW"),
            (("--kind", "openai", "--key", KEY, "--position", "x"), "--position: "),
        ],
    )
    def test_what_is_wrong_is_one_line(
        self, paywall: Paywall, arguments: tuple[str, ...], sentence: str
    ):
        with pytest.raises(CommandError, match=sentence) as caught:
            connect(paywall, *arguments)
        assert "\n" not in str(caught.value)

    def test_another_kind_under_the_same_name(self, paywall: Paywall):
        connect(paywall, "--kind", "openai", "--name", "main", "--key", KEY)
        with pytest.raises(CommandError, match="of the kind openai"):
            connect(paywall, "--kind", "together", "--name", "main", "--key", KEY)


class TestSyncModels:
    def test_the_price_book(self):
        facts = json.loads(run("sync_models", "--json"))
        assert facts["models"] > 500
        assert facts["source"].startswith("genai-prices ")
        assert "models (" in run("sync_models")

    def test_a_connection_needs_its_paywall(self, paywall: Paywall):
        with pytest.raises(CommandError, match="together"):
            run("sync_models", "--connection", "main")
        with pytest.raises(CommandError, match=r"there are: none"):
            run("sync_models", "--connection", "main", "--paywall", paywall.public_id)
