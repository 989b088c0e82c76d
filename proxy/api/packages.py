"""GET /v1/packages."""

from uuid import UUID

from billing.stripe import amounts, orders, products
from config.kit.money import format_nanos
from paywalls.models import Paywall
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def show(services: Services, call: Call) -> None:
    """What users of the paywall can buy: any amount between limits, packs, plans."""
    paywall_id = call.caller.paywall.id
    shown = await services.loader.once(("packages", paywall_id), lambda: _sold(paywall_id))
    await send_json(call, 200, shown)


def _sold(paywall_id: UUID) -> dict[str, object]:
    sold = orders.sold(Paywall.objects.get(pk=paywall_id))
    terms = sold.terms
    return {
        "currency": terms.currency,
        "credits": (
            {"name": sold.credit_name, "perUnit": sold.credits_per_unit}
            if sold.credit_name
            else None
        ),
        "topup": {
            "min": format_nanos(terms.least_nanos),
            "max": format_nanos(terms.most_nanos),
            "suggested": [text for _, text in sold.suggestions()],
        },
        "packages": [_common(row) | {"bonus": format_nanos(row.bonus_nanos)} for row in sold.packs],
        "plans": [
            _common(row)
            | {
                "interval": row.interval,
                "intervalCount": row.interval_count,
                "rollover": not row.resets,
                "drip": row.drips,
                "entitlements": row.entitlements,
            }
            for row in sold.plans
        ],
    }


def _common(row: products.Product) -> dict[str, object]:
    return {
        "id": products.public_id(row),
        "name": row.name,
        "price": format_nanos(amounts.to_nanos(row.price_minor, row.currency)),
        "credit": format_nanos(row.credit_nanos),
    }
