"""A person's wallet at a glance: balance, what needs attention, apps, what happened last."""

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from billing import persons as books
from billing.persons import Purse
from dashboard.views.people import words
from dashboard.views.people.access import show, signed_in
from dashboard.views.people.activity import rows_of
from dashboard.views.people.topup import can_top_up
from paywalls import grants
from paywalls.grants import Granted
from paywalls.models import Grant, Person

NEWEST: Final = 5
STOPPED_SHOWN: Final = 20


@require_safe
@signed_in
def index(request: HttpRequest, person: Person) -> HttpResponse:
    """The live wallet; the test one with `?test=1`."""
    is_test = "test" in request.GET
    purse = purse_of(person, is_test=is_test)
    found = grants.grants_of(person, livemode=not is_test)
    stopped = Grant.objects.select_related("paywall__team", "end_user").filter(
        person=person, livemode=not is_test, revoked_at__isnull=False
    )
    facts = {
        "person": person,
        "is_test": is_test,
        "here": "home",
        "balance": words.money(purse.free_nanos, purse.currency),
        "held": words.money(purse.held_nanos, purse.currency) if purse.held_nanos else "",
        "owed": words.money(purse.owed_nanos, purse.currency) if purse.owed_nanos else "",
        "is_empty": purse.free_nanos <= 0,
        "can_top_up": can_top_up(is_test=is_test),
        "notices": _notices(found),
        "apps": [card(each) for each in found],
        "stopped": stopped.order_by("-revoked_at")[:STOPPED_SHOWN],
        "rows": rows_of(books.activity(purse, rows=NEWEST).items, purse.currency),
    }
    return show(request, "home", facts)


def purse_of(person: Person, *, is_test: bool) -> Purse:
    """The wallet that a page is about."""
    return books.purse(person.pk, livemode=not is_test, currency=settings.PLATFORM_CURRENCY)


def card(granted: Granted) -> dict[str, Any]:
    """An app as the pages show it."""
    grant = granted.grant
    currency = grant.paywall.currency
    state, state_name = words.state_of(grant, granted.spent_nanos)
    return {
        "name": grant.paywall.name,
        "about": grant.paywall.description,
        "team": grant.paywall.team.name,
        "user": grant.end_user.external_id,
        "url": reverse("dashboard:person-app", args=[grant.public_id]),
        "state": state,
        "state_name": state_name,
        "spent": words.money(granted.spent_nanos, currency),
        "cap": words.money(grant.cap, currency),
        "period": words.PERIODS[grant.cap_period],
        "this_period": words.THIS[grant.cap_period],
        "percent": min(100, granted.spent_nanos * 100 // grant.cap),
        "most": words.money(grant.request_most, currency) if grant.request_most else "",
        "last_day": words.last_day(grant.ends_at),
        "since": grant.created_at,
    }


def _notices(found: list[Granted]) -> list[dict[str, str]]:
    """What waits for the person."""
    cards = [card(each) for each in found]
    return [
        {
            "url": each["url"],
            "app": each["name"],
            "text": {
                "used": f"has used up its {each['cap']} {each['this_period']}.",
                "ended": "may not spend any more since its last day.",
            }[each["state"]],
        }
        for each in cards
        if each["state"] in {"used", "ended"}
    ]
