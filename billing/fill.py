"""Invented history, in bulk: for measurements, and for pages that need something to show.

Written set-based as the tables' owner, past the functions that are else the only writers, with
every trigger and constraint on. Each piece is one commit, after which every invariant holds.
"""

import asyncio
import datetime as dt
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import transaction
from psycopg import sql

from billing import fill_sql
from config.kit import clock
from config.kit.errors import InvalidRequestError
from ledger.tasks import LAG_S
from paywalls import paywalls, rules
from paywalls.models import Paywall, Team
from paywalls.pricing import TOKENS_PER_RATE, Rates
from paywalls.types import PriceRule

ACTOR: Final = "command:fill_ledger"
NAME: Final = "Filled"
PREFIX: Final = "filled-"
"""How the ids of invented users begin."""

ROWS_MAX: Final = 50_000_000
DAYS_MAX: Final = 3_650
PIECE: Final = 50_000
"""Movements of one commit."""

LANES: Final = 2
"""Connections that write at once."""

USERS_LEAST: Final = 64
USERS_MAX: Final = 20_000
ROWS_OF_A_USER: Final = 250
DEPOSIT_NANOS: Final = 2_000_000_000
HOLD_NANOS: Final = 10_000_000
"""Above the dearest request that is drawn, 8,000,000."""

MODELS: Final = {
    "demo/echo-1": Rates(prompt=500_000_000, completion=1_500_000_000),
    "demo/echo-1-cached": Rates(prompt=250_000_000, completion=1_000_000_000),
    "demo/echo-1-reasoning": Rates(prompt=1_000_000_000, completion=4_000_000_000),
    "demo/echo-1-slow": Rates(prompt=2_000_000_000, completion=8_000_000_000),
}
"""Prices of whole nanos a token, so that a product of whole numbers is the exact charge."""

type Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What was written: ledger entries, and the users they are spread over."""

    entries: int
    users: int


def check_place(*, among_real_users: bool) -> None:
    """Refuses where people reach the product, and where users are not invented.

    Raises: InvalidRequestError.
    """
    host = urlsplit(settings.BASE_URL).hostname or ""
    if not _is_loopback(host):
        raise InvalidRequestError(
            f"BASE_URL names {host}, so this is an installation that people use: invented money"
            " would stay in its books for ever. Use a database of your own machine."
        )
    with psycopg.connect(settings.DATABASE_OWNER_URL) as owner:
        _check_owner(owner)
        real = owner.execute(
            "SELECT count(*) FROM (SELECT FROM paywalls_enduser"
            " WHERE external_id NOT LIKE %s LIMIT 1) AS one",
            [f"{PREFIX}%"],
        ).fetchone()
    if real and real[0] and not among_real_users:
        raise InvalidRequestError(
            "This database has users who were not invented. The books are append-only: what is"
            " written now can never be taken out. --among-real-users does it all the same."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_owner(owner: psycopg.Connection) -> None:
    row = owner.execute(
        "SELECT has_table_privilege('ledger_entry', 'INSERT'), current_user"
    ).fetchone()
    if row and not row[0]:
        raise InvalidRequestError(
            f"DATABASE_OWNER_URL connects as {row[1]}, who may not write the ledger: it must name"
            " the owner of the tables."
        )


def invented_paywall() -> Paywall:
    """The paywall of invented history, made when it is missing."""
    known = Paywall.objects.filter(name=NAME, archived_at=None).first()
    if known is not None:
        return known
    with transaction.atomic():
        return paywalls.create(
            Team.objects.create(name=NAME),
            name=NAME,
            mode="default",
            settings=paywalls.Settings(),
            actor=ACTOR,
        )


def fill(paywall: Paywall, rows: int, *, days: int, progress: Progress) -> Filled:
    """Adds `rows` ledger entries (made even) to a paywall, evenly over the last `days`.

    progress: called with the entries written so far, after each commit.
    """
    transactions = -(-rows // 2)
    moves = transactions + (transactions - 1) // 49  # Every fiftieth is a request that failed.
    users = min(max(rows // ROWS_OF_A_USER, USERS_LEAST), USERS_MAX)
    facts = _facts(paywall, users=users, moves=moves, days=days)
    with psycopg.connect(settings.DATABASE_OWNER_URL, autocommit=True) as owner:
        for kind in ("external", "revenue"):
            facts[kind] = _account(owner, kind, facts)
        _make_months(owner, facts["start"])
        owner.execute(fill_sql.USERS, facts)
        asyncio.run(_write_all(facts, moves, progress))
        for statement in fill_sql.TIDY:
            owner.execute(statement)
    return Filled(entries=2 * transactions, users=users)


async def _write_all(facts: dict[str, Any], moves: int, progress: Progress) -> None:
    """The pieces, by LANES connections at once; each lane has users of its own."""
    size = min(PIECE, -(-moves // LANES))
    pieces = [(first, min(first + size, moves)) for first in range(0, moves, size)]
    written = 0

    async def write(lane: int) -> None:
        nonlocal written
        url = settings.DATABASE_OWNER_URL
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as owner:
            for statement in fill_sql.TABLES:
                await owner.execute(statement, facts if "%(" in statement else None)
            for number, (first, ends) in enumerate(pieces[lane::LANES]):
                place = {"lane": lane, "first": first, "last": ends - 1, "opens": number == 0}
                async with owner.transaction():
                    for statement in (fill_sql.LOCK, fill_sql.DRAW, *fill_sql.BOOK):
                        await owner.execute(statement, facts | place)
                written += 2 * (ends - ends // 50 - first + first // 50)
                progress(written)

    await asyncio.gather(*(write(lane) for lane in range(LANES)))


def _facts(paywall: Paywall, *, users: int, moves: int, days: int) -> dict[str, Any]:
    """What the statements ask for. The newest movement is old enough to be rolled up at once."""
    ends = clock.now() - dt.timedelta(seconds=LAG_S + 60)
    start = ends - dt.timedelta(days=days)
    version = _price_version(paywall)
    live = paywall.livemode
    return {
        "paywall": paywall.pk,
        "live": live,
        "currency": paywall.currency,
        "zone": paywall.timezone,
        "scope": f"deposit:{paywall.pk}{'' if live else ':test'}",
        "actor": ACTOR,
        "prefix": PREFIX,
        "users": users,
        "lanes": LANES,
        "start": start,
        "step": (ends - start) / moves,
        "models": len(MODELS),
        "names": list(MODELS),
        "prompts": [rates.prompt // TOKENS_PER_RATE for rates in MODELS.values()],
        "completions": [rates.completion // TOKENS_PER_RATE for rates in MODELS.values()],
        "rates": [
            rules.rate_id(version, model, "", rates, None) for model, rates in MODELS.items()
        ],
        "deposit": DEPOSIT_NANOS,
        "hold": HOLD_NANOS,
    }


def _price_version(paywall: Paywall) -> UUID:
    """The price list in force; one of the invented models' prices where there is none."""
    known = rules.price_list(paywall.pk)
    if known is not None:
        return known.version_id
    with transaction.atomic():
        for model, rates in MODELS.items():
            rule = PriceRule(match="model", value=model, basis="own", rates=rates)
            rules.set_price(paywall, rule, costs={}, actor=ACTOR)
    return _price_version(paywall)


def _account(owner: psycopg.Connection, kind: str, facts: dict[str, Any]) -> UUID:
    row = owner.execute(
        "SELECT ledger_account_open(%(kind)s, %(paywall)s, %(currency)s, %(live)s, NULL)",
        facts | {"kind": kind},
    ).fetchone()
    assert row is not None
    account: UUID = row[0]
    return account


def _make_months(owner: psycopg.Connection, start: dt.datetime) -> None:
    """The request log's partitions from the first month on."""
    month = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month <= clock.now():
        following = (month + dt.timedelta(days=32)).replace(day=1)
        name = f"billing_request_{month:%Y_%m}"
        if owner.execute("SELECT to_regclass(%s)", [name]).fetchone() == (None,):
            statement = sql.SQL(fill_sql.MONTH).format(
                name=sql.Identifier(name),
                lower=sql.Literal(_least_id(month)),
                upper=sql.Literal(_least_id(following)),
            )
            owner.execute(statement)
        month = following


def _least_id(moment: dt.datetime) -> UUID:
    """As `billing_uuid_floor` has it."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
