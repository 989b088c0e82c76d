"""What a process remembers of keys, and how soon it forgets."""

import asyncio
import datetime as dt
import os
import threading

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, transaction

from billing.errors import GateUnavailableError
from config.kit import clock, limits
from paywalls import config, keys
from paywalls.models import ApiKey, PriceVersion
from providers.models import Model
from providers.types import CatalogModel
from proxy import listener
from proxy.errors import InvalidApiKeyError
from proxy.snapshot import Caller, Snapshots
from tests.factories import ConnectionFactory, make_key
from tests.proxy.tenant import Tenant, heard
from tests.support.patience import PATIENCE_S

FOREVER_S = 3600.0


@pytest.fixture
def snapshots(tenant: Tenant, settings) -> Snapshots:
    """With a memory so long that only what is heard makes it forget."""
    settings.SNAPSHOT_TTL_S = FOREVER_S
    assert tenant.app._services
    return tenant.app._services.snapshots


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """One entry for each time the database was asked for a key."""
    seen: list[str] = []
    load = config.load

    def counting(digests):
        seen.append("load")
        return load(digests)

    monkeypatch.setattr("proxy.snapshot.config.load", counting)
    return seen


class TestMemory:
    async def test_a_key_is_loaded_once(self, tenant, snapshots, loads):
        for _ in range(3):
            assert (await snapshots.caller(tenant.token)).key.id == tenant.key.pk
        assert loads == ["load"]

    async def test_equal_questions_at_one_time_are_asked_once(self, tenant, snapshots, loads):
        callers = await asyncio.gather(*(snapshots.caller(tenant.token) for _ in range(20)))
        assert {caller.key.id for caller in callers} == {tenant.key.pk}
        assert loads == ["load"]

    async def test_one_who_leaves_does_not_take_the_answer_along(self, tenant, snapshots):
        first = asyncio.create_task(snapshots.caller(tenant.token))
        second = asyncio.create_task(snapshots.caller(tenant.token))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).key.id == tenant.key.pk

    async def test_the_keys_of_a_paywall_share_its_snapshot(self, tenant, snapshots):
        _, text = await sync_to_async(make_key)(tenant.paywall)
        await heard(snapshots)
        one, two = await snapshots.caller(tenant.token), await snapshots.caller(text)
        assert one.snapshot is two.snapshot
        assert one.key.id != two.key.id

    async def test_refused_keys_are_remembered_too(self, snapshots, tenant, loads):
        _, text = await sync_to_async(make_key)(tenant.paywall)
        await sync_to_async(ApiKey.objects.filter(last_four=text[-4:]).delete)()
        await heard(snapshots)
        for _ in range(3):
            with pytest.raises(InvalidApiKeyError):
                await snapshots.caller(text)
        assert loads == ["load"]

    async def test_a_refused_key_that_comes_to_life_is_heard_of(self, tenant, snapshots):
        mine = ApiKey.objects.filter(pk=tenant.key.pk)
        await sync_to_async(mine.update)(revoked_at=clock.now())
        await heard(snapshots)
        with pytest.raises(InvalidApiKeyError):
            await snapshots.caller(tenant.token)
        await sync_to_async(mine.update)(revoked_at=None)
        await heard(snapshots)
        assert await snapshots.caller(tenant.token)

    async def test_garbage_never_reaches_the_database(self, snapshots, loads):
        with pytest.raises(InvalidApiKeyError):
            await snapshots.caller("sk-paywalls-v1-" + "0" * 46)
        assert loads == []

    async def test_it_is_bounded(self, tenant, snapshots, monkeypatch):
        texts = [(await sync_to_async(make_key)(tenant.paywall))[1] for _ in range(4)]
        await heard(snapshots)
        monkeypatch.setattr(limits, "SNAPSHOT_KEYS_MAX", 2)
        for text in texts:
            await snapshots.caller(text)
        assert len(snapshots._callers) == 2
        assert sum(map(len, snapshots._digests.values())) == 2

    async def test_without_an_ear_it_trusts_nothing_for_long(self, tenant, snapshots):
        snapshots._hear(is_heard=False)
        await snapshots.caller(tenant.token)
        ((_, until),) = snapshots._callers.values()
        assert until <= asyncio.get_running_loop().time() + 1

    async def test_a_database_that_is_away_is_a_503(self, tenant, snapshots, monkeypatch):
        def away(_digests):
            raise OperationalError

        monkeypatch.setattr("proxy.snapshot.config.load", away)
        with pytest.raises(GateUnavailableError) as refusal:
            await snapshots.caller(tenant.token)
        assert refusal.value.retry_after_s


class TestChanges:
    async def test_t22_a_revoked_key_is_dead_within_a_second(self, tenant, snapshots):
        await snapshots.caller(tenant.token)

        def revoke():
            with transaction.atomic():
                keys.revoke(tenant.key, actor="command:tests")

        await sync_to_async(revoke)()
        await heard(snapshots)
        with pytest.raises(InvalidApiKeyError):
            await snapshots.caller(tenant.token)

    async def test_new_prices_count_at_once(self, tenant, snapshots):
        old = await snapshots.caller(tenant.token)
        await sync_to_async(PriceVersion.objects.create)(
            paywall=tenant.paywall, number=2, rules=[], actor="command:tests"
        )
        await heard(snapshots)
        new = await snapshots.caller(tenant.token)
        assert (old.paywall.prices.number, new.paywall.prices.number) == (1, 2)
        assert new.snapshot is not old.snapshot

    async def test_a_new_connection_counts_at_once(self, tenant, snapshots):
        await snapshots.caller(tenant.token)
        await sync_to_async(ConnectionFactory.create)(paywall=tenant.paywall)
        await heard(snapshots)
        assert not snapshots._callers

    async def test_other_paywalls_stay(self, tenant, snapshots):
        await snapshots.caller(tenant.token)
        await sync_to_async(ConnectionFactory.create)()
        await heard(snapshots)
        assert len(snapshots._callers) == 1

    async def test_what_a_change_overtakes_is_not_kept(self, tenant, snapshots, monkeypatch):
        loaded, go = threading.Event(), threading.Event()
        load = config.load

        def slow(digests):
            found = load(digests)
            loaded.set()
            assert go.wait(PATIENCE_S)
            return found

        monkeypatch.setattr("proxy.snapshot.config.load", slow)
        asking = asyncio.create_task(snapshots.caller(tenant.token))
        await asyncio.to_thread(loaded.wait, PATIENCE_S)
        snapshots.drop(tenant.paywall.pk)
        go.set()
        await asking
        assert not snapshots._callers

    async def test_when_the_ear_is_cut_everything_is_forgotten(self, tenant, snapshots, owner):
        await snapshots.caller(tenant.token)
        before = snapshots._generation
        await asyncio.to_thread(cut_ears, owner)
        async with asyncio.timeout(PATIENCE_S):
            while snapshots._generation < before + 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert not snapshots._callers
        await asyncio.wait_for(snapshots.heard.wait(), PATIENCE_S)


def cut_ears(owner: psycopg.Connection) -> None:
    with psycopg.connect(os.environ["TEST_ADMIN_URL"], autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query IN ('LISTEN paywalls_config', 'SELECT 1') AND datname = %s",
            [owner.info.dbname],
        )


class TestUse:
    async def test_keys_note_when_they_were_used(self, tenant, snapshots):
        began = clock.now() - dt.timedelta(seconds=1)
        await snapshots.caller(tenant.token)
        await snapshots._touch()
        key = await sync_to_async(ApiKey.objects.get)(pk=tenant.key.pk)
        assert key.last_used_at > began


class TestRates:
    @pytest.fixture
    async def caller(self, tenant, snapshots) -> Caller:
        def connect():
            made = ConnectionFactory.create(paywall=tenant.paywall)
            cost = {"prompt": 1_000, "completion": 2_000}
            Model.objects.create(
                kind=made.kind, connection=made, name="m", cost=cost, source="tests"
            )

        await sync_to_async(connect)()
        await heard(snapshots)
        found: Caller = await snapshots.caller(tenant.token)
        return found

    def model(self, caller: Caller) -> CatalogModel:
        return next(model for model in caller.catalogue.models.values() if model.upstream == "m")

    async def test_a_price_is_resolved_once(self, caller, monkeypatch):
        model = self.model(caller)
        one = await caller.snapshot.rate_for(model, "")
        monkeypatch.setattr("proxy.snapshot.rules.resolve", None)
        assert await caller.snapshot.rate_for(model, "") == one
        assert one[0].markup_bps == 2_000

    async def test_features_without_a_rule_are_one_price(self, caller):
        model = self.model(caller)
        for feature in ("a", "b", "c"):
            await caller.snapshot.rate_for(model, feature)
        assert len(caller.snapshot._rates) == 1


@pytest.mark.parametrize("payload", ["", "not an id"])
def test_a_notice_without_a_paywall_means_all(payload: str):
    assert listener._paywall_id(payload) is None
