"""Invented history keeps every promise of the real one, and is written nowhere near it."""

import pytest
from django.conf import settings as configured

from billing import fill
from billing.history import history
from billing.models import Charge, Daily, Request
from billing.verification import verify
from config.kit.errors import InvalidRequestError
from ledger.models import Account, Entry
from paywalls.models import EndUser
from tests.billing.conftest import deposit
from tests.factories import PaywallFactory
from tests.support.commands import refusal, run_json

ROWS = 2_000


@pytest.fixture
def filled():
    """A paywall whose history was written twice, in two commits each."""
    paywall = PaywallFactory.create()
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fill, "PIECE", 700)
        for _ in range(2):
            told = fill.fill(paywall, ROWS, days=20, progress=steps.append)
    assert told == fill.Filled(entries=ROWS, users=fill.USERS_LEAST)
    assert (len(steps), steps[-1]) == (4, ROWS)
    return paywall


def test_every_invariant_holds_and_every_row_is_there(filled):
    assert [r for r in verify() if r.broken and r.number != "I8"] == []
    wallets = EndUser.objects.filter(paywall=filled).values_list("wallet_id", flat=True)
    entries = Entry.objects.filter(account__in=list(wallets))
    charges = Charge.objects.filter(paywall_id=filled.id)
    assert entries.count() == ROWS
    assert entries.filter(amount__lt=0).count() == charges.count()
    requests = Request.objects.filter(paywall_id=filled.id)
    failed = requests.filter(status="failed")
    assert requests.count() == charges.count() + failed.count()
    assert failed.count() == 2 * ((ROWS // 2 - 1) // 49)
    counted = sum(Daily.objects.filter(paywall_id=filled.id).values_list("requests", flat=True))
    assert counted == requests.count()


def test_pages_have_something_to_show(filled):
    busiest = EndUser.objects.get(paywall=filled, external_id=f"{fill.PREFIX}000000")
    page = history(busiest.wallet_id)
    assert len(page.items) == 50
    posted = Account.objects.get(id=busiest.wallet_id).posted
    assert page.items[0].balance_after_nanos == posted
    assert {line.model for line in page.items if line.kind == "charge"} <= set(fill.MODELS)


def test_it_refuses_where_people_use_the_product(settings):
    settings.BASE_URL = "https://pay.example.com"
    with pytest.raises(InvalidRequestError, match=r"pay\.example\.com"):
        fill.check_place(among_real_users=True)


async def test_it_refuses_among_real_users_unless_told(gate, payer):
    await deposit(gate, payer, 1)
    with pytest.raises(InvalidRequestError, match="--among-real-users"):
        fill.check_place(among_real_users=False)
    fill.check_place(among_real_users=True)


def test_it_refuses_the_role_that_the_product_runs_as(settings):
    settings.DATABASE_OWNER_URL = configured.DATABASE_URL
    with pytest.raises(InvalidRequestError, match="owner"):
        fill.check_place(among_real_users=True)


def test_the_command_says_what_it_wrote():
    paywall = PaywallFactory.create()
    told = run_json(
        "fill_ledger", "--rows=3", f"--paywall={paywall.public_id}", "--days=20",
        "--among-real-users",
    )  # fmt: skip
    assert (told["entries"], told["users"]) == (4, fill.USERS_LEAST)


@pytest.mark.parametrize("wrong", [["--rows=0"], ["--rows=1", "--days=9999"], ["--rows=x"]])
def test_the_command_refuses_numbers_out_of_bounds(wrong):
    assert refusal("fill_ledger", *wrong)
