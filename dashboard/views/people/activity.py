"""What happened on a person's wallet: a page at a time, or as a file."""

import csv
import io
from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from billing import persons as books
from billing.persons import Line, Purse
from config.kit import clock, ids
from config.kit.limits import EXPORT_ROWS_MAX, PAGE_ROWS_MAX
from config.kit.money import format_nanos
from dashboard.views.people import words
from dashboard.views.people.access import show, signed_in
from dashboard.views.wallet import CURSOR_MAX, NAMES
from paywalls import links
from paywalls.models import Person

COLUMNS: Final = (
    "time",
    "what",
    "app",
    "model",
    "amount",
    "currency",
    "balance_after",
    "transaction",
)
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet runs if a cell begins with it."""


@require_safe
@signed_in
def index(request: HttpRequest, person: Person) -> HttpResponse:
    """The newest movements, or those before a cursor.

    Raises: Http404 for a cursor that is none.
    """
    purse, is_test = _purse(request, person)
    page = books.activity(purse, before=_before(request))
    facts = {
        "person": person,
        "is_test": is_test,
        "here": "activity",
        "rows": rows_of(page.items, purse.currency),
        "older_url": _url("person-activity", is_test=is_test, before=page.next),
        "file_url": _url("person-activity-csv", is_test=is_test) if page.items else "",
    }
    return show(request, "activity", facts)


@require_safe
@signed_in
def export(request: HttpRequest, person: Person) -> HttpResponse:
    """The same as CSV, EXPORT_ROWS_MAX rows at most.

    Raises: Http404 for a cursor that is none.
    """
    purse, is_test = _purse(request, person)
    lines, rest = _gathered(purse, _before(request))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(_cells(line, purse.currency) for line in lines)
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    day = clock.now().date().isoformat()
    name = f"wallet-{'test-' if is_test else ''}{day}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    if rest:
        url = settings.BASE_URL + _url("person-activity-csv", is_test=is_test, before=rest)
        response["Link"] = f'<{url}>; rel="next"'
    return response


def rows_of(lines: Iterable[Line], currency: str) -> list[dict[str, Any]]:
    """Movements as the tables show them. Those for no app have no receipt of their own."""
    return [
        {
            "when": line.movement.created_at,
            "name": name_of(line),
            "app": line.app,
            "model": "" if line.movement.model == "manual" else line.movement.model,
            "amount": words.signed(line.movement.amount_nanos, currency),
            "receipt_url": links.receipt_url(line.movement.transaction_id) if line.app else "",
        }
        for line in lines
    ]


def name_of(line: Line) -> str:
    """What people read for a movement."""
    kind = line.movement.kind
    return NAMES.get(kind, kind.capitalize())


def _purse(request: HttpRequest, person: Person) -> tuple[Purse, bool]:
    is_test = "test" in request.GET
    currency = settings.PLATFORM_CURRENCY
    return books.purse(person.pk, livemode=not is_test, currency=currency), is_test


def _gathered(purse: Purse, before: int | None) -> tuple[list[Line], int | None]:
    """Up to EXPORT_ROWS_MAX lines, and where the rest begins."""
    lines: list[Line] = []
    while len(lines) < EXPORT_ROWS_MAX:
        page = books.activity(purse, before=before, rows=PAGE_ROWS_MAX)
        lines.extend(page.items)
        before = page.next
        if before is None:
            break
    return lines, before


def _cells(line: Line, currency: str) -> list[str]:
    movement = line.movement
    return [
        clock.wire(movement.created_at),
        name_of(line),
        _inert(line.app),
        _inert(movement.model),
        format_nanos(movement.amount_nanos),
        currency,
        format_nanos(movement.balance_after_nanos),
        ids.encode("txn", movement.transaction_id),
    ]


def _inert(text: str) -> str:
    """The text as a cell that no spreadsheet runs.

    >>> _inert("=HYPERLINK(1)"), _inert("Poems")
    ("'=HYPERLINK(1)", 'Poems')
    """
    return f"'{text}" if text.startswith(FORMULA) else text


def _before(request: HttpRequest) -> int | None:
    text = request.GET.get("before")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(CURSOR_MAX))):
        raise Http404
    return min(int(text), CURSOR_MAX)


def _url(name: str, *, is_test: bool, before: int | None = 0) -> str:
    """The address of a list, empty where there is nothing more (`before` is None)."""
    if before is None:
        return ""
    query = [("test", "1")] * is_test + [("before", str(before))] * bool(before)
    return reverse(f"dashboard:{name}") + (f"?{urlencode(query)}" if query else "")
