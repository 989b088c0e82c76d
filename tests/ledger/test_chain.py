"""The chain of checkpoints, and what people outside can tell by it."""

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from billing import movements
from billing.movements import Reason
from billing.verification import checks
from ledger import chain, outside_verify, tasks
from ledger.models import Checkpoint, Entry
from paywalls.models import EndUser, Paywall
from tests.factories import PaywallFactory
from tests.support.surgery import surgery

WHY = Reason(actor="dev_1", reason="because")
Outside = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def paywall() -> Paywall:
    made = PaywallFactory.create()
    movements.deposit(made, "u", 100, WHY)
    movements.charge(made, "u", 30, WHY)
    return made


@pytest.fixture
def outside(tmp_path) -> Outside:
    """The verifier as people have it: a copy, alone, without anything of ours around it."""
    script = shutil.copy(outside_verify.__file__, tmp_path / "verify.py")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", script, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )

    return run


@pytest.fixture
def checkpoint(paywall) -> Checkpoint:
    """The newest, which covers the paywall's transactions."""
    tasks.make_checkpoints()
    made = Checkpoint.objects.latest("number")
    assert made.upto == Entry.objects.latest("id").id
    return made


@pytest.fixture
def earlier(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """An export from before whatever the test does."""
    with connection.cursor() as cursor:
        chain.export(cursor, tmp_path / "earlier")
    return tmp_path / "earlier"


def take_away(surgeon: psycopg.Connection, paywall: Paywall) -> None:
    """The deposit, and the charge that it paid, with all that they left anywhere."""
    wallet = EndUser.objects.get(paywall=paywall).wallet_id
    of = "transaction_id IN (SELECT transaction_id FROM ledger_entry WHERE account_id = %s)"
    for table in ("billing_charge", "ledger_note", "ledger_hold"):
        surgeon.execute(f"DELETE FROM {table} WHERE {of}", [wallet])
    surgeon.execute("DELETE FROM billing_daily WHERE paywall_id = %s", [paywall.id])
    surgeon.execute(
        f"DELETE FROM ledger_transaction t USING ledger_entry WHERE t.id = transaction_id AND {of}",
        [wallet],
    )
    surgeon.execute(f"DELETE FROM ledger_entry WHERE {of}", [wallet])
    surgeon.execute("UPDATE ledger_account SET posted = 0, version = 0 WHERE id = %s", [wallet])


def broken(surgeon: psycopg.Connection) -> dict[str, tuple[str, ...]]:
    """Examples of what is broken."""
    return {
        result.number: result.examples for result in checks(surgeon.cursor(), None) if result.broken
    }


def body(made: Checkpoint) -> dict[str, object]:
    facts: dict[str, object] = json.loads(made.body)
    return facts


class TestChain:
    def test_a_checkpoint_counts_and_sums_what_is_new(self):
        tasks.make_checkpoints()
        paywall = PaywallFactory.create(currency="XTS")
        movements.deposit(paywall, "u", 100, WHY)
        movements.charge(paywall, "u", 30, WHY)
        made = chain.make_checkpoint()
        assert made is not None
        facts = body(made)
        assert (facts["transactions"], facts["entries"]) == (2, 4)
        assert facts["sums"] == [
            ["XTS", "live", "external", -100],
            ["XTS", "live", "revenue", 30],
            ["XTS", "live", "wallet", 70],
        ]

    def test_nothing_new_makes_none(self, checkpoint):
        assert tasks.make_checkpoints() == []

    def test_the_next_one_continues(self, checkpoint):
        movements.deposit(PaywallFactory.create(), "u", 1, WHY)
        made = chain.make_checkpoint()
        assert made is not None
        assert (made.number, body(made)["after"]) == (checkpoint.number + 1, checkpoint.upto)
        assert outside_verify.link(bytes(checkpoint.hash), made.body) == bytes(made.hash)

    def test_long_windows_are_several(self, paywall, monkeypatch):
        monkeypatch.setattr(chain, "ENTRIES_MAX", 1)
        monkeypatch.setattr(tasks, "CHECKPOINTS_MAX", 2)
        movements.deposit(paywall, "u", 5, WHY)
        assert len(tasks.make_checkpoints()) == 2

    def test_windows_may_cut_a_transaction_which_is_the_first_ones(self, paywall, monkeypatch):
        tasks.make_checkpoints()
        movements.deposit(paywall, "u", 5, WHY)
        monkeypatch.setattr(chain, "ENTRIES_MAX", 1)
        first, second = chain.make_checkpoint(), chain.make_checkpoint()
        assert (body(first)["entries"], body(second)["entries"]) == (2, 0)
        with connection.cursor() as cursor:
            assert list(chain.broken(cursor, deep=True)) == []

    def test_the_digest_does_not_depend_on_how_it_is_read(self, checkpoint, monkeypatch):
        monkeypatch.setattr(chain, "CHUNK", 3)
        with connection.cursor() as cursor:
            assert list(chain.broken(cursor, deep=True)) == []

    def test_what_is_still_being_written_is_for_the_next(self, paywall, monkeypatch):
        """Its ids are lower than those of what is committed before it."""
        tasks.make_checkpoints()
        monkeypatch.setattr("ledger.watermark.WAIT_S", 0.1)
        wallet = EndUser.objects.get(paywall=paywall)
        late = PaywallFactory.create()
        movements.deposit(late, "v", 1, WHY)
        with psycopg.connect(settings.DATABASE_URL) as writer:
            writer.execute(
                "SELECT billing_claw(jsonb_build_object('id', gen_random_uuid(), 'kind',"
                " 'adjustment', 'ref', 'late', 'paywall', %s::text, 'live', true, 'cur', 'USD',"
                " 'user', 'v', 'amount', 1, 'from', 'external', 'actor', 'a', 'reason', 'r'))",
                [str(late.id)],
            )
            movements.deposit(paywall, wallet.external_id, 5, WHY)
            assert chain.make_checkpoint() is None
            writer.commit()
        made = chain.make_checkpoint()
        assert made is not None
        assert body(made)["transactions"] == 3
        with connection.cursor() as cursor:
            assert list(chain.broken(cursor, deep=True)) == []

    @pytest.mark.parametrize("role", ["runtime", "owner"])
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE ledger_checkpoint SET upto = upto",
            "DELETE FROM ledger_checkpoint",
            "TRUNCATE ledger_checkpoint",
            'SELECT ledger_checkpoint_add(\'{"number": 1, "after": 0, "upto": 9}\')',
            "SELECT ledger_checkpoint_add('{}')",
        ],
    )
    def test_links_are_kept_and_only_appended(self, request, checkpoint, role, statement):
        refused = (psycopg.errors.InsufficientPrivilege, psycopg.errors.SerializationFailure)
        with pytest.raises(refused):
            request.getfixturevalue(role).execute(statement)


@pytest.mark.proves("I18")
class TestTamperedBooks:
    def test_nothing_is_wrong_before(self, earlier, outside):
        done = outside(earlier)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("Nothing is wrong.\n")

    def test_a_balanced_transaction_that_is_gone_is_noticed(
        self, paywall, earlier, outside, tmp_path
    ):
        """By no other invariant: everything else was made to fit."""
        with surgery() as surgeon:
            before = broken(surgeon)
            take_away(surgeon, paywall)
            found = broken(surgeon)
            chain.export(surgeon.cursor(), tmp_path / "now")
        assert {number for number in found if found[number] != before.get(number)} == {"I18"}
        assert "were changed, added or taken away" in found["I18"][0]
        done = outside(tmp_path / "now")
        assert done.returncode == 1
        assert "digest is" in done.stdout

    def test_a_chain_that_was_made_to_fit_is_noticed_outside(
        self, paywall, checkpoint, earlier, outside, tmp_path
    ):
        with surgery() as surgeon:
            before = broken(surgeon)
            take_away(surgeon, paywall)
            surgeon.execute("DELETE FROM ledger_checkpoint WHERE number = %s", [checkpoint.number])
            chain.append(
                surgeon.cursor(), checkpoint.number, body(checkpoint)["after"], checkpoint.upto
            )
            found = broken(surgeon)
            chain.export(surgeon.cursor(), tmp_path / "now")
        assert found == before
        assert outside(tmp_path / "now").returncode == 0
        sentence = f"checkpoint {checkpoint.number} is not the one of the earlier export"
        for known in (earlier, earlier / "chain.jsonl", checkpoint):
            done = outside(known, tmp_path / "now")
            assert done.returncode == 1
            assert sentence in done.stdout

    def test_a_chain_that_was_cut_is_noticed_outside(self, checkpoint, earlier, outside, tmp_path):
        with surgery() as surgeon:
            surgeon.execute("DELETE FROM ledger_checkpoint WHERE number = %s", [checkpoint.number])
            chain.export(surgeon.cursor(), tmp_path / "now")
        done = outside(earlier, tmp_path / "now")
        assert done.returncode == 1
        assert f"checkpoint {checkpoint.number} is gone" in done.stdout

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE ledger_entry SET amount = amount * 2",
            "UPDATE ledger_transaction SET kind = 'bonus'",
            "UPDATE ledger_transaction SET created_at = created_at + interval '1 us'",
            "UPDATE ledger_account SET kind = left('x' || kind, 16)",
            "UPDATE ledger_account SET currency = 'XXX'",
            "INSERT INTO ledger_entry (transaction_id, account_id, amount, created_at)"
            " SELECT transaction_id, account_id, 1, now() FROM ledger_entry",
        ],
    )
    def test_every_change_is_noticed(self, checkpoint, change):
        with surgery() as surgeon:
            surgeon.execute(change)
            found = list(chain.broken(surgeon.cursor(), deep=True))
        assert any("were changed, added or taken away" in each for each in found)

    def test_a_changed_link_is_noticed_within_a_minute(self, checkpoint):
        with surgery() as surgeon:
            surgeon.execute("UPDATE ledger_checkpoint SET body = body || ' '")
            found = list(chain.broken(surgeon.cursor(), deep=False))
        assert f"checkpoint {checkpoint.number}: its hash is not that of its content" in found[-1]


class TestTamperedExports:
    def test_later_exports_continue_earlier_ones(self, paywall, earlier, outside, tmp_path):
        movements.deposit(paywall, "u", 1, WHY)
        tasks.make_checkpoints()
        with connection.cursor() as cursor:
            heads = chain.export(cursor, tmp_path / "now", since=len(list(earlier.glob("rows-*"))))
        done = outside(earlier, tmp_path / "now")
        assert done.returncode == 0, done.stdout
        assert f"{len(heads)} checkpoints, the rows of 1," in done.stdout

    def test_changed_rows(self, checkpoint, earlier, outside):
        file = earlier / f"rows-{checkpoint.number:06}.txt.gz"
        rows = gzip.decompress(file.read_bytes()).replace(b":live:", b":test:", 1)
        file.write_bytes(gzip.compress(rows))
        done = outside(earlier)
        assert done.returncode == 1
        assert "does not balance" in done.stdout
        assert "digest is" in done.stdout

    def test_files_that_cannot_be_read(self, checkpoint, earlier, outside):
        file = earlier / f"rows-{checkpoint.number:06}.txt.gz"
        file.write_bytes(file.read_bytes()[:40])
        done = outside(earlier)
        assert (done.returncode, done.stderr) == (1, "")
        assert "its rows cannot be read" in done.stdout

    def test_it_says_how_it_is_used(self, outside):
        done = outside()
        assert done.returncode == 2
        assert "EARLIER EXPORT" in done.stderr
