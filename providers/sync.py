"""Filling the catalogue: kinds from the price book, a connection from what it lists itself."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from config.kit import clock, limits
from config.kit.db import require_transaction
from config.kit.errors import InvalidRequestError
from paywalls import audit
from paywalls.models import Paywall
from providers import pricebook, probe
from providers.models import Connection, Model

ROWS_AT_ONCE: Final = 500
LISTED_MODELS_MAX: Final = 5_000
LISTED_SOURCE: Final = "GET /models"
CONTEXT_FIELDS: Final = ("context_length", "max_model_len", "context_window")
BOOK_FIELDS: Final = (
    "display_name",
    "description",
    "context_tokens",
    "output_tokens_max",
    "cost",
    "source",
    "as_of",
)
TOKENS_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BookResult:
    """What a run over the price book did. tiered: models priced by their dearest tier."""

    models: int
    new: int
    unpriced: int
    tiered: int


def sync_price_book() -> BookResult:
    """Write the price book's models, in the caller's transaction.

    A model that was switched off stays off; one that the book no longer has stays as it is.
    """
    require_transaction()
    now = clock.now()
    book = pricebook.models(now)
    rows = [_row(model, now.date()) for model in book.values()]
    before = Model.objects.filter(connection=None).count()
    Model.objects.bulk_create(
        rows,
        batch_size=ROWS_AT_ONCE,
        update_conflicts=True,
        unique_fields=["kind", "connection", "name"],
        update_fields=BOOK_FIELDS,
    )
    _refresh_listed(book, now.date())
    return BookResult(
        models=len(rows),
        new=Model.objects.filter(connection=None).count() - before,
        unpriced=sum(model.cost is None for model in book.values()),
        tiered=sum(model.is_tiered for model in book.values()),
    )


def find_connection(paywall: Paywall, name: str) -> Connection:
    """The paywall's connection of this name.

    Raises: InvalidRequestError, which names those there are.
    """
    found = Connection.objects.filter(paywall=paywall)
    connection = found.filter(name=name).select_related("paywall").first()
    if connection is None:
        names = ", ".join(found.values_list("name", flat=True)) or "none"
        raise InvalidRequestError(
            f"{paywall.name} has no connection {name!r} (there are: {names}).", param="connection"
        )
    return connection


def fetch_listed(connection: Connection) -> list[dict[str, Any]]:
    """What the provider lists at /models, outside any transaction: objects with an `id`.

    Raises: ProviderError, DestinationRefusedError, InvalidRequestError.
    """
    answer = probe.get(connection, "/models")
    listed = answer.get("data") if isinstance(answer, dict) else answer
    if not isinstance(listed, list) or len(listed) > LISTED_MODELS_MAX:
        raise InvalidRequestError("The provider does not list its models at /models.")
    return [
        model
        for model in listed
        if isinstance(model, dict)
        and isinstance(name := model.get("id"), str)
        and 0 < len(name) <= limits.MODEL_CHARS_MAX
        and name.isprintable()
    ]


def add_listed(
    connection: Connection, listed: Sequence[dict[str, Any]], *, actor: str
) -> list[str]:
    """Add models to a connection, in the caller's transaction; the names that are new.

    They have a cost only where the price book knows the name, but for its date. Names that the
    connection or its kind already has stay as they are.
    """
    audit.lock(connection.paywall)
    known = set(Model.objects.filter(connection=connection).values_list("name", flat=True)) | set(
        Model.objects.filter(kind=connection.kind, connection=None).values_list("name", flat=True)
    )
    new = {model["id"]: model for model in listed if model["id"] not in known}
    now = clock.now()
    book = pricebook.models(now)
    rows = []
    for name, model in new.items():
        priced = pricebook.dated(book, connection.kind, name) or pricebook.Priced(
            kind=connection.kind, name=name, cost=None, source=LISTED_SOURCE
        )
        row = _row(priced, now.date(), connection=connection)
        row.name = name
        row.context_tokens = _context_tokens(model) or priced.context_tokens
        rows.append(row)
    Model.objects.bulk_create(rows, batch_size=ROWS_AT_ONCE)
    if new:
        audit.record(
            paywall=connection.paywall,
            actor=actor,
            action="connection.models_added",
            subject=connection.public_id,
            after={"models": sorted(new)},
        )
    return sorted(new)


def _row(model: pricebook.Priced, as_of: dt.date, *, connection: Connection | None = None) -> Model:
    return Model(
        kind=model.kind,
        connection=connection,
        name=model.name,
        display_name=model.display_name,
        description=model.description,
        context_tokens=model.context_tokens,
        output_tokens_max=model.output_tokens_max,
        cost=model.cost.as_dict() if model.cost is not None else None,
        source=model.source,
        as_of=as_of,
    )


def _refresh_listed(book: Mapping[tuple[str, str], pricebook.Priced], as_of: dt.date) -> None:
    """Renew costs of connections' own models that came from the book; entered ones stay."""
    priced = Model.objects.filter(
        connection__isnull=False, source__startswith=pricebook.SOURCE_NAME
    )
    for row in priced.iterator():
        known = pricebook.dated(book, row.kind, row.name)
        if known is not None and known.cost is not None:
            row.cost, row.source, row.as_of = known.cost.as_dict(), known.source, as_of
            row.save(update_fields=["cost", "source", "as_of"])


def _context_tokens(model: dict[str, Any]) -> int | None:
    for name in CONTEXT_FIELDS:
        value = model.get(name)
        if type(value) is int and 0 < value <= TOKENS_MAX:
            return value
    return None
