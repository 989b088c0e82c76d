"""A paywall's list of requests: newest first, filtered, and never more work than one page."""

from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async

from billing import request_log
from billing.request_log import Filter, requests
from paywalls.models import EndUser
from tests.billing.conftest import ask, bill, deposit


@pytest.fixture
async def log(gate, payer):
    """Ids of five requests, the oldest first: the second failed, the fourth had another model."""
    await deposit(gate, payer, 1_000)
    made = []
    for number in range(1, 6):
        asked = ask(payer, 100)
        await gate.reserve(asked)
        failed = {"status": "failed", "error_code": "provider_error", "http_status": 502}
        other = {"model": "demo/other"}
        await gate.settle(
            bill(
                asked,
                0 if number == 2 else number,
                **(failed if number == 2 else other if number == 4 else {}),
            )
        )
        made.append(asked.request_id)
    return made


@sync_to_async
def listed(payer, only=request_log.EVERYTHING, **more):
    return requests(payer.paywall_id, livemode=payer.livemode, only=only, **more)


async def all_pages(payer, rows, only=request_log.EVERYTHING):
    """Every request of the list, page by page, and how many pages there were."""
    seen, before, pages = [], None, 0
    while True:
        page = await listed(payer, only, before=before, rows=rows)
        seen += [line.request_id for line in page.items]
        before, pages = page.next, pages + 1
        if before is None:
            return seen, pages


async def test_it_is_newest_first_and_pages_meet_without_a_gap(log, payer):
    assert await all_pages(payer, rows=2) == (log[::-1], 3)


async def test_a_line_says_who_what_and_how_much(log, payer):
    page = await listed(payer)
    line = page.items[-1]
    assert (line.user, line.model, line.status) == (payer.user, "demo/echo-1", "completed")
    assert (line.charged_nanos, line.usage) == (1, {"prompt": 10, "completion": 5})


async def test_each_filter_finds_its_requests(log, payer, gate):
    user = await EndUser.objects.aget(paywall_id=payer.paywall_id)
    other = replace(payer, user="user_2")
    await deposit(gate, other, 100)
    asked = ask(other, 10)
    await gate.reserve(asked)
    await gate.settle(bill(asked, 1))
    found = {
        name: [line.request_id for line in (await listed(payer, only)).items]
        for name, only in {
            "failed": Filter(status="failed"),
            "completed": Filter(status="completed"),
            "model": Filter(model="demo/other"),
            "user": Filter(user_id=user.id),
            "both": Filter(user_id=user.id, status="failed"),
            "none": Filter(model="demo/none"),
        }.items()
    }
    assert found == {
        "failed": [log[1]],
        "completed": [asked.request_id, log[4], log[3], log[2], log[0]],
        "model": [log[3]],
        "user": log[::-1],
        "both": [log[1]],
        "none": [],
    }


async def test_test_requests_and_other_paywalls_requests_are_apart(log, payer):
    assert (await listed(replace(payer, livemode=False))).items == ()
    user = await EndUser.objects.aget(paywall_id=payer.paywall_id)
    nobody = replace(payer, paywall_id=user.id)
    assert (await listed(nobody, Filter(user_id=user.id))).items == ()


async def test_a_filter_looks_at_a_bounded_number_and_goes_on_from_there(log, payer, monkeypatch):
    monkeypatch.setattr(request_log, "LOOKED_AT_MAX", 2)
    first = await listed(payer, Filter(model="demo/other"), rows=2)
    assert [line.request_id for line in first.items] == [log[3]]
    assert first.next == log[3]
    assert (await listed(payer, Filter(model="demo/other"), before=first.next)).items == ()
    assert await all_pages(payer, 2, Filter(model="demo/other")) == ([log[3]], 3)


async def test_requests_of_long_ago_are_found_too(log, payer, owner):
    """The first look is at a month; an id of a year ago is beyond it."""
    old = request_log._least_id((log[0].int >> 80) - 365 * request_log.DAY_MS)
    owner.execute(
        "INSERT INTO billing_request SELECT (jsonb_populate_record(r,"
        " jsonb_build_object('id', %s::text))).* FROM billing_request r WHERE id = %s",
        [str(old), log[0]],
    )
    try:
        assert (await all_pages(payer, rows=2))[0] == [*log[::-1], old]
    finally:
        owner.execute("DELETE FROM billing_request WHERE id = %s", [old])
