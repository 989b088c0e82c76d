"""What a request must know of its key and paywall, in memory.

Loaded once from the database and dropped when PostgreSQL says that the configuration changed.
While nobody is listening nothing is trusted for longer than a second.
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.conf import settings

from billing.errors import GateUnavailableError
from billing.stripe import stops
from billing.types import Payer
from billing.webhooks import listening
from billing.webhooks.listening import NOBODY, Listening
from billing.webhooks.words import Words
from config.kit import ids, limits
from paywalls import config, keys, rules
from paywalls.pricing import Rates
from paywalls.types import OPERATOR, KeyConfig, PaywallConfig
from providers import catalog, connections
from providers.types import CatalogModel, Catalogue
from proxy.errors import InvalidApiKeyError
from proxy.listener import listen
from proxy.loader import Loader

UNHEARD_TTL_S: Final = 1.0
REFUSED_TTL_S: Final = 5.0
TOUCH_S: Final = 30.0
NEVER: Final = float("inf")


class Snapshot:
    """A paywall's catalogue and prices at one time, shared by its keys.

    models_json: answers of `/v1/models` by what a key may see, filled by that route.
    stopped_modes: the modes (`livemode`) in which nobody can pay just now.
    """

    __slots__ = (
        "_features", "_loader", "_rates", "_words", "catalogue", "listening", "loaded",
        "models_json", "paywall", "stopped_modes",
    )  # fmt: skip

    def __init__(
        self,
        paywall: PaywallConfig,
        catalogue: Catalogue,
        loader: Loader,
        listening: Listening = NOBODY,
        words: Words | None = None,
        stopped_modes: frozenset[bool] = frozenset(),
    ) -> None:
        self.paywall = paywall
        self.catalogue = catalogue
        self.listening = listening
        self.stopped_modes = stopped_modes
        self._words = words
        self.loaded = time.monotonic()
        self.models_json: dict[object, bytes] = {}
        self._loader = loader
        price_rules = paywall.prices.rules if paywall.prices else ()
        self._features = frozenset(rule.value for rule in price_rules if rule.match == "feature")
        self._rates: dict[tuple[str, str], tuple[Rates, UUID] | None] = {}

    def selling(self, model: CatalogModel, feature: str = "") -> Rates | None:
        """The selling price of a model; None when it has none."""
        prices = self.paywall.prices
        if prices is None:
            return None
        is_built_in = model.endpoint.connection_id == OPERATOR
        resolve = rules.resolve_covering if is_built_in else rules.resolve
        return resolve(
            prices,
            models=(model.id, model.upstream, f"{model.endpoint.kind}/{model.upstream}"),
            feature=feature,
            cost=model.cost,
            currency=self.paywall.currency,
        )

    async def ask(self, question: Mapping[str, object]) -> str | None:
        """What the developer's message endpoint says; None: what the template says."""
        if self.listening.message is None or self._words is None:
            return None
        return await self._words.ask(self.listening.message, question)

    async def rate_for(self, model: CatalogModel, feature: str) -> tuple[Rates, UUID] | None:
        """The selling price of a model, and the id under which receipts find it again.

        Raises: GateUnavailableError when the database does not answer.
        """
        name = (model.id, feature if feature in self._features else "")
        if name in self._rates:
            return self._rates[name]
        found = await self._loader.once((self, name), lambda: self._resolve(model, name[1]))
        if len(self._rates) < limits.SNAPSHOT_RATES_MAX:
            self._rates[name] = found
        return found

    def _resolve(self, model: CatalogModel, feature: str) -> tuple[Rates, UUID] | None:
        selling, prices = self.selling(model, feature), self.paywall.prices
        if selling is None or prices is None:
            return None
        return selling, rules.rate_id(prices.version_id, model.id, feature, selling, model.cost)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and under which terms.

    deadline: monotonic seconds at which the key expires. names: what logs call paywall and key.
    """

    paywall: PaywallConfig
    key: KeyConfig
    catalogue: Catalogue
    snapshot: Snapshot
    deadline: float
    names: Mapping[str, str]

    def payer(self, user: str) -> Payer:
        """Whose wallet pays, with the caps and the trial of this paywall and key."""
        paywall, key, prices = self.paywall, self.key, self.paywall.prices
        return Payer(
            paywall_id=paywall.id,
            key_id=key.id,
            livemode=key.livemode,
            currency=paywall.currency,
            timezone=paywall.timezone,
            user=user,
            trial_nanos=prices.trial_nanos if prices else 0,
            trial_requests=prices.trial_requests if prices else 0,
            trial_days=prices.trial_days if prices else 0,
            tell=bool(self.snapshot.listening.types),
            shared=paywall.mode == "shared",
            user_caps=paywall.user_caps,
            key_caps=key.caps,
            paywall_caps=paywall.paywall_caps,
        )


class Snapshots:
    """All callers that this process knows, by the digest of their key."""

    def __init__(self) -> None:
        self._loader = Loader()
        self._words = Words()
        self._callers: dict[bytes, tuple[Caller, float]] = {}  # With their end of trust.
        self._refused: dict[bytes, float] = {}
        self._digests: dict[UUID, set[bytes]] = {}
        self._snapshots: dict[UUID, Snapshot] = {}
        self._generation = 0
        self._dropped: dict[UUID | None, int] = {}  # None: all of them.
        self.heard = asyncio.Event()  # Set while PostgreSQL tells of changes.
        self._used: set[UUID] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Start to listen for changes and to note the keys that are used."""
        dsn = settings.DATABASE_DIRECT_URL
        self._tasks = [
            asyncio.create_task(listen(dsn, drop=self.drop, heard=self._hear)),
            asyncio.create_task(self._keep_touching()),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._touch()
        self._loader.close()
        await self._words.close()

    async def caller(self, token: str) -> Caller:
        """The caller behind a key, from memory or from the database.

        Raises: InvalidApiKeyError; GateUnavailableError when the database does not answer.
        """
        digest = hashlib.sha256(token.encode()).digest()
        now = time.monotonic()
        caller, trusted_until = self._callers.get(digest, (None, 0.0))
        if caller is None or trusted_until < now:
            caller = await self._load(digest, token)
        if caller is None or caller.deadline < now:
            raise InvalidApiKeyError
        self._used.add(caller.key.id)
        return caller

    def drop(self, paywall_id: UUID | None) -> None:
        """Forget a paywall, or all of them. Refused keys too: one may just have been made."""
        self._generation += 1
        self._refused.clear()
        if paywall_id is None or len(self._dropped) >= limits.SNAPSHOT_KEYS_MAX:
            self._dropped = {None: self._generation}
            self._callers.clear()
            self._digests.clear()
            self._snapshots.clear()
            return
        self._dropped[paywall_id] = self._generation
        self._snapshots.pop(paywall_id, None)
        for digest in self._digests.pop(paywall_id, ()):
            del self._callers[digest]

    def _hear(self, *, is_heard: bool) -> None:
        if is_heard:
            self.heard.set()
        else:
            self.heard.clear()
        self.drop(None)

    async def _load(self, digest: bytes, token: str) -> Caller | None:
        """Ask the database. What a change overtook on the way is used once and not kept."""
        now = time.monotonic()
        if keys.parse(token) is None or self._refused.get(digest, 0.0) > now:
            return None
        generation, ttl_s = self._generation, self._ttl_s()
        caller = await self._loader.once(
            digest,
            lambda: _load(token, self._snapshots, self._loader, self._words, ttl_s=ttl_s),
        )
        if caller is None:
            if self._generation == generation:
                self._refuse(digest, until=now + min(ttl_s, REFUSED_TTL_S))
        elif generation >= max(self._dropped_at(caller.paywall.id), self._dropped_at(None)):
            self._keep(digest, caller, until=now + ttl_s)
        return caller

    def _ttl_s(self) -> float:
        ttl_s: float = settings.SNAPSHOT_TTL_S
        return ttl_s if self.heard.is_set() else min(ttl_s, UNHEARD_TTL_S)

    def _dropped_at(self, paywall_id: UUID | None) -> int:
        return self._dropped.get(paywall_id, 0)

    def _refuse(self, digest: bytes, *, until: float) -> None:
        if len(self._refused) >= limits.SNAPSHOT_KEYS_MAX:
            self._refused.clear()
        self._refused[digest] = until

    def _keep(self, digest: bytes, caller: Caller, *, until: float) -> None:
        self._forget(digest)
        if len(self._callers) >= limits.SNAPSHOT_KEYS_MAX:
            self._forget(next(iter(self._callers)))
        self._callers[digest] = (caller, until)
        self._digests.setdefault(caller.paywall.id, set()).add(digest)
        self._snapshots[caller.paywall.id] = caller.snapshot

    def _forget(self, digest: bytes) -> None:
        caller, _ = self._callers.pop(digest, (None, 0.0))
        if caller is None:
            return
        siblings = self._digests[caller.paywall.id]
        siblings.discard(digest)
        if not siblings:
            del self._digests[caller.paywall.id]
            self._snapshots.pop(caller.paywall.id, None)

    async def note_trouble(self, connection_id: UUID, trouble: str) -> None:
        """Tell the developer, on the connection, what its provider refuses with."""
        with suppress(GateUnavailableError):
            await self._loader.once(
                connection_id, lambda: connections.note_trouble(connection_id, trouble)
            )

    async def _keep_touching(self) -> None:
        while True:
            await asyncio.sleep(TOUCH_S)
            await self._touch()

    async def _touch(self) -> None:
        """Note when keys were last used: a courtesy that may wait for the database."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            await self._loader.once("touch", lambda: keys.touch(used))
        except GateUnavailableError:
            self._used |= used


def _load(
    token: str, known: Mapping[UUID, Snapshot], loader: Loader, words: Words, *, ttl_s: float
) -> Caller | None:
    """The database's answer; runs in a thread. The paywall's other keys share their snapshot."""
    found = config.load(keys.digest(token))
    if found is None:
        return None
    paywall, key = found
    snapshot = known.get(paywall.id)
    if snapshot is None or snapshot.loaded + ttl_s < time.monotonic():
        hearing, stopped = listening.load(paywall.id), stops.stopped_modes(paywall.id)
        snapshot = Snapshot(paywall, catalog.load(paywall.id), loader, hearing, words, stopped)
    deadline = NEVER if key.left is None else time.monotonic() + key.left.total_seconds()
    names = {"paywall": ids.encode("pw", paywall.id), "key": ids.encode("key", key.id)}
    return Caller(paywall, key, snapshot.catalogue, snapshot, deadline, names)
