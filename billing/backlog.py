"""What waits between us and others: events on their way out and in, orders, keys that stopped.

For `/metrics`: each number comes from an index of what waits, and none counts further than MOST.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from billing.database import Database

MOST: Final = 10_000
SQL: Final = f"""
    WITH pending AS MATERIALIZED (
        SELECT created_at, due_at FROM billing_delivery WHERE status = 'pending' LIMIT {MOST}
    ), received AS MATERIALIZED (
        SELECT received_at FROM billing_stripe_event WHERE state = 'received' LIMIT {MOST}
    ), quarantined AS MATERIALIZED (
        SELECT 1 FROM billing_stripe_event WHERE state = 'quarantined' LIMIT {MOST}
    ), unfinished AS MATERIALIZED (
        SELECT status FROM billing_order WHERE status IN ('open', 'pending') LIMIT {MOST}
    )
    SELECT
        (SELECT count(*) FROM pending),
        (SELECT extract(epoch FROM clock_timestamp() - min(created_at)) FROM pending)::float8,
        (SELECT extract(epoch FROM clock_timestamp() - min(due_at)) FROM pending)::float8,
        (SELECT coalesce(jsonb_object_agg(outcome, total), '{{}}') FROM billing_delivery_total),
        (SELECT jsonb_build_object(
            'active', count(*) FILTER (WHERE is_active AND consecutive_failures = 0),
            'failing', count(*) FILTER (WHERE is_active AND consecutive_failures > 0),
            'disabled', count(*) FILTER (WHERE NOT is_active)) FROM billing_subscription),
        (SELECT count(*) FROM received),
        (SELECT extract(epoch FROM clock_timestamp() - min(received_at)) FROM received)::float8,
        (SELECT count(*) FROM quarantined),
        (SELECT jsonb_build_object(
            'open', count(*) FILTER (WHERE status = 'open'),
            'pending', count(*) FILTER (WHERE status = 'pending')) FROM unfinished),
        (SELECT count(*) FROM billing_stripe_account WHERE is_active AND stopped_at IS NOT NULL)
"""  # noqa: S608 - a number of ours.


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Ages in seconds: of the oldest delivery that waits, and of the oldest event of Stripe's.

    overdue_s: how long the next delivery should have been sent. deliveries: attempts by outcome,
    for ever. subscriptions, orders: by state. read_at: monotonic seconds.
    """

    read_at: float
    pending: int = 0
    pending_age_s: float = 0.0
    overdue_s: float = 0.0
    deliveries: Mapping[str, int] = field(default_factory=dict)
    subscriptions: Mapping[str, int] = field(default_factory=dict)
    stripe_waiting: int = 0
    stripe_age_s: float = 0.0
    stripe_quarantined: int = 0
    orders: Mapping[str, int] = field(default_factory=dict)
    stopped: int = 0


async def read(database: Database) -> Backlog:
    """As it is now.

    Raises: GateUnavailableError.
    """
    ((pending, age, overdue, deliveries, subscriptions, *stripe),) = await database.rows(SQL, [])
    waiting, stripe_age, quarantined, orders, stopped = stripe
    return Backlog(
        read_at=time.monotonic(),
        pending=pending,
        pending_age_s=age or 0.0,
        overdue_s=max(overdue or 0.0, 0.0),
        deliveries=deliveries,
        subscriptions=subscriptions,
        stripe_waiting=waiting,
        stripe_age_s=stripe_age or 0.0,
        stripe_quarantined=quarantined,
        orders=orders,
        stopped=stopped,
    )
