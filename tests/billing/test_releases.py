"""Processes of a release that is out run beside new ones: each settles the other's holds.

`released/` has, for each release, the calls that its gate makes, as it makes them. A file is made
when the call changes, and is never edited afterwards.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from billing.gate import Gate
from billing.types import Payer
from config.kit import ids
from paywalls.decisions import Allowed
from tests.billing.conftest import ask, bill, deposit
from tests.billing.test_reaper import lapse_and_reap

RELEASES = sorted((Path(__file__).parent / "released").glob("*.json"))


@dataclass
class Release:
    """A gate of that release. names: what stands in its calls as {name}."""

    calls: dict[str, Any]
    runtime: psycopg.Connection
    names: dict[str, str]

    def call(self, kind: str) -> Any:
        """What the functions of today answer."""
        call = self.calls[kind]
        arguments = [*([call["object"]] if "object" in call else []), *call["terms"]]
        query, count = call["query"], len(arguments)
        for number in range(count, 0, -1):
            query = query.replace(f"${number}", "%s")
        row = self.runtime.execute(query, list(map(self._filled, arguments))).fetchone()
        assert row is not None
        return json.loads(row[0])

    def _filled(self, argument: object) -> str:
        text = argument if isinstance(argument, str) else json.dumps(argument)
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text


@pytest.fixture(params=RELEASES, ids=lambda path: path.stem)
async def release(request, gate: Gate, payer: Payer, runtime: psycopg.Connection) -> Release:
    await deposit(gate, payer, 1_000)
    (earns,) = await gate._know_earning(payer)
    names = {"paywall": payer.paywall_id, "key": payer.key_id, "earns": earns}
    names |= {name: ids.uuid7() for name in ("hold", "txn", "process")}
    texts = {name: str(value) for name, value in names.items()}
    return Release(json.loads(request.param.read_text()), runtime, texts)


@pytest.mark.proves("F48")
class TestOldAndNew:
    async def test_the_old_ones_holds_are_settled_by_it(self, release, payer, reads):
        placed = release.call("reserve")
        assert (placed["outcome"], placed["granted"]) == ("allowed", 300)
        release.names["user"] = placed["user"]
        assert release.call("renew") == 1
        settled = release.call("settle")
        assert (settled["state"], settled["charged"]) == ("settled", 250)
        assert await reads.balance(payer) == 750

    async def test_the_old_ones_holds_are_reaped_by_the_new_reaper(
        self, release, payer, reads, owner
    ):
        release.call("reserve")
        release.call("renew")
        lapse_and_reap(owner, release.names["hold"])
        assert await reads.balance(payer) == 880

    async def test_the_new_ones_holds_are_settled_by_the_old_one(self, release, gate, payer, reads):
        asked = ask(payer, 300)
        allowed = await gate.reserve(asked)
        assert isinstance(allowed, Allowed)
        release.names |= {"hold": str(asked.request_id), "user": str(allowed.user_id)}
        assert release.call("settle")["charged"] == 250
        assert await reads.balance(payer) == 750
        late = await gate.settle(bill(asked, 250))
        assert late.late
        assert await reads.balance(payer) == 750

    async def test_and_the_other_way_round(self, release, gate, payer, reads):
        """The old process is gone, but a new one knows the request: as after a hand-over."""
        release.call("reserve")
        asked = ask(payer, 300, request_id=release.names["hold"])
        assert isinstance(await gate.reserve(asked), Allowed)
        settled = await gate.settle(bill(asked, 200))
        assert settled.charged_nanos == 200
        assert await reads.balance(payer) == 800
