"""What every handler may use: opened once a process, closed after the last request."""

import asyncio
from dataclasses import dataclass
from typing import Final, Self

from django.conf import settings

from billing.database import Database
from billing.gate import Gate, GateSettings
from billing.reads import Reads
from providers import tokens
from providers.upstream import Upstream
from proxy.loader import Loader
from proxy.metrics import Metrics
from proxy.snapshot import Snapshots

SETTLE_GRACE_S: Final = 60
"""A hold outlives the longest request by this much, so that its settlement finds it."""


@dataclass(frozen=True, slots=True)
class Services:
    """The long-lived objects of one process. outside: for work that waits for others' servers."""

    gate: Gate
    reads: Reads
    upstream: Upstream
    snapshots: Snapshots
    metrics: Metrics
    loader: Loader
    outside: Loader

    @classmethod
    async def open(cls) -> Self:
        """All of them, as the settings say; the database need not answer yet."""
        database = Database(settings.DATABASE_URL, size=settings.DB_POOL_SIZE)
        times = GateSettings(
            lease_s=int(settings.HOLD_LEASE_S),
            heartbeat_s=settings.HOLD_HEARTBEAT_S,
            total_s=int(settings.UPSTREAM_TOTAL_S) + SETTLE_GRACE_S,
        )
        services = cls(
            gate=Gate(database, times),
            reads=Reads(database, encryption_keys=settings.ENCRYPTION_KEYS),
            upstream=Upstream(),
            snapshots=Snapshots(),
            metrics=Metrics(),
            loader=Loader(),
            outside=Loader(),
        )
        await services.gate.open()
        await services.snapshots.open()
        await asyncio.to_thread(tokens.warm)
        return services

    async def close(self) -> None:
        """Settlements first: everything else serves them."""
        await self.gate.close()
        await self.snapshots.close()
        await self.upstream.close()
        self.loader.close()
        self.outside.close()
        if self.metrics.log is not None:
            self.metrics.log.flush()
