import asyncio
from collections.abc import Callable

import pytest
from django.db import connections as databases
from django.db import transaction

from config.kit.egress import DestinationRefusedError
from config.kit.errors import InvalidRequestError
from providers import connections, probe, sync
from providers.connections import Draft, Outcome
from providers.errors import ProviderError
from providers.models import Connection, Model
from tests.factories import ACTOR, PaywallFactory
from tests.fakes.upstream import FakeUpstream

KEY = "sk-canary-abcdefghij"


async def in_thread[T](work: Callable[[], T]) -> T:
    def apart() -> T:
        try:
            return work()
        finally:
            databases.close_all()

    return await asyncio.to_thread(apart)


@pytest.fixture
async def saved(fake: FakeUpstream, settings) -> Connection:
    settings.EGRESS_ALLOW = ("127.0.0.1",)

    def save() -> Connection:
        draft = Draft(kind="compatible", name="local", base_url=fake.url, key=KEY)
        with transaction.atomic():
            return connections.create(PaywallFactory.create(), draft, actor=ACTOR)

    return await in_thread(save)


async def outcome_of(connection: Connection) -> tuple[Outcome, str]:
    def run() -> tuple[Outcome, str]:
        outcome = connections.test(connection)
        return outcome, Connection.objects.get(pk=connection.pk).trouble

    return await in_thread(run)


class TestTest:
    async def test_a_good_key(self, fake: FakeUpstream, saved: Connection):
        fake.behaviour = "models"
        outcome, trouble = await outcome_of(saved)
        assert outcome == Outcome(
            ok=True, message="The provider answers and offers 2 models.", models=2
        )
        assert trouble == ""
        (seen,) = fake.requests
        assert seen.path == "/v1/models"
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.headers["host"] == f"127.0.0.1:{fake.port}"

    async def test_a_bad_key_is_noted_without_itself(self, fake: FakeUpstream, saved: Connection):
        fake.behaviour = "401"
        outcome, trouble = await outcome_of(saved)
        assert not outcome.ok
        assert trouble.startswith("401: Incorrect API key provided")
        assert "sk-secret" not in trouble + outcome.message

    @pytest.mark.parametrize(
        "behaviour", ["redirect", "500", "garbage", "not-http", "cut", "huge-body", "huge-headers"]
    )
    async def test_trouble_is_readable(self, fake: FakeUpstream, saved: Connection, behaviour: str):
        fake.behaviour = behaviour
        outcome, _ = await outcome_of(saved)
        assert not outcome.ok
        assert outcome.message.endswith((".", "?"))
        assert "127.0.0.1" not in outcome.message
        assert len(fake.requests) == 1

    async def test_a_trickle_ends(
        self, fake: FakeUpstream, saved: Connection, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(probe, "TOTAL_S", 0)
        fake.behaviour = "bytewise"
        outcome, _ = await outcome_of(saved)
        assert outcome.message == "The provider's answer takes too long."

    async def test_nobody_there(self, saved: Connection):
        saved.base_url = "http://127.0.0.1:1/v1"
        saved.sealed_key = None
        outcome, _ = await outcome_of(saved)
        assert "cannot be reached" in outcome.message

    async def test_an_address_that_is_no_longer_allowed(
        self, fake: FakeUpstream, saved: Connection, settings
    ):
        settings.EGRESS_ALLOW = ()
        outcome, _ = await outcome_of(saved)
        assert not outcome.ok
        assert fake.connections == 0

    async def test_the_environment_decides_nothing(
        self, fake: FakeUpstream, saved: Connection, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        fake.behaviour = "models"
        outcome, _ = await outcome_of(saved)
        assert outcome.ok


async def test_no_network_inside_a_transaction(saved: Connection):
    def run() -> None:
        with transaction.atomic():
            probe.get(saved, "/models")

    with pytest.raises(AssertionError):
        await in_thread(run)


class TestListed:
    async def test_names_are_added_once_and_without_a_cost(
        self, fake: FakeUpstream, saved: Connection
    ):
        fake.behaviour = "models"

        def run() -> tuple[list[str], list[str], set[tuple[str, object]]]:
            listed = sync.fetch_listed(saved)
            added = []
            for _ in range(2):
                with transaction.atomic():
                    added.append(sync.add_listed(saved, listed, actor=ACTOR))
            rows = Model.objects.filter(connection=saved).values_list("name", "cost")
            return added[0], added[1], set(rows)

        first, second, rows = await in_thread(run)
        assert (first, second) == (["alpha", "beta"], [])
        assert rows == {("alpha", None), ("beta", None)}

    @pytest.mark.parametrize("behaviour", ["500", "normal", "garbage"])
    async def test_no_list(self, fake: FakeUpstream, saved: Connection, behaviour: str):
        fake.behaviour = behaviour
        with pytest.raises((ProviderError, InvalidRequestError, DestinationRefusedError)):
            await in_thread(lambda: sync.fetch_listed(saved))
