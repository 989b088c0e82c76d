"""GET /v1/user/history."""

from collections.abc import Iterable
from typing import Final

from billing.history import HistoryLine, Total, Totals
from config.kit import clock, ids
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls import links
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services

CURSOR_MAX: Final = 2**63 - 1


async def show(services: Services, call: Call) -> None:
    """The movements on a user's wallet, the newest first; with the first page, sums.

    Raises: InvalidRequestError for a cursor that is none.
    """
    before = _before(call.query.get("cursor"))
    page = await services.reads.history(call.payer, before=before)
    sums = {} if before else {"totals": _totals(await services.reads.totals(call.payer))}
    answer: dict[str, object] = {
        "data": [_line(line, shared=call.payer.shared) for line in page.items],
        "next": str(page.next) if page.next else None,
    }
    await send_json(call, 200, answer | sums)


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    known = len(cursor) <= len(str(CURSOR_MAX)) and cursor.isascii() and cursor.isdigit()
    if not known or not 0 < int(cursor) <= CURSOR_MAX:
        raise InvalidRequestError("`cursor` is `next` of the page before.", param="cursor")
    return int(cursor)


def _line(line: HistoryLine, *, shared: bool) -> dict[str, object]:
    """A movement; what is in a person's wallet is not told to an app."""
    request = line.request_id if line.kind == "charge" and line.model != "manual" else None
    return {
        "id": ids.encode("txn", line.transaction_id),
        "type": line.kind,
        "amount": format_nanos(line.amount_nanos),
        "balanceAfter": None if shared else format_nanos(line.balance_after_nanos),
        "model": line.model or None,
        "run": line.run or None,
        "feature": line.feature or None,
        "requestId": ids.encode("req", request) if request else None,
        "createdAt": clock.wire(line.created_at),
        "receiptUrl": links.receipt_url(line.transaction_id),
    }


def _totals(totals: Totals) -> dict[str, object]:
    return {
        "since": clock.wire(totals.since) if totals.since else None,
        "byRun": _by("run", totals.runs),
        "byFeature": _by("feature", totals.features),
    }


def _by(name: str, totals: Iterable[Total]) -> list[dict[str, object]]:
    return [
        {name: each.name, "spent": format_nanos(each.charged_nanos), "requests": each.requests}
        for each in totals
    ]
