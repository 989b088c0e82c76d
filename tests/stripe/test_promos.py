"""Codes that give credit: once a user, and never more often than they may."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import connection, transaction
from django.test import Client

from billing.stripe import promos
from billing.stripe.catalog import Promo
from config.kit import clock
from config.kit.errors import InvalidRequestError
from ledger.models import Account, Lot
from paywalls.models import EndUser, Paywall
from tests.factories import ACTOR, PaywallFactory
from tests.stripe.till import UNIT, Till, new_user
from tests.support.commands import run

CODE = "WELCOME-5"


@pytest.fixture
def paywall() -> Paywall:
    return PaywallFactory.create()


def coded(paywall: Paywall, *, uses: int = 10, days: int | None = None) -> Promo:
    terms = promos.Terms(credit_nanos=5 * UNIT, most_uses=uses, days=days)
    with transaction.atomic():
        return promos.add(paywall, CODE, terms, actor=ACTOR)


def posted(user: EndUser) -> int:
    return Account.objects.get(pk=user.wallet_id).posted


def uses_of(promo: Promo) -> int:
    return Promo.objects.get(pk=promo.pk).uses


def at_once(work: list[Callable[[], object]]) -> list[bool]:
    """Whether each of them was given something."""

    def apart(each: Callable[[], object]) -> bool:
        try:
            each()
        except promos.PromoNotValidError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(apart, work))


def test_it_gives_once(paywall: Paywall):
    user, promo = new_user(paywall), coded(paywall)
    for text in (CODE, " welcome-5 ", CODE):
        assert promos.redeem(user, text) == 5 * UNIT
    assert (posted(user), uses_of(promo)) == (5 * UNIT, 1)


def test_its_credit_may_end(paywall: Paywall):
    user = new_user(paywall)
    coded(paywall, days=7)
    promos.redeem(user, CODE)
    (lot,) = Lot.objects.filter(account_id=user.wallet_id)
    assert lot.expires_at is not None
    assert dt.timedelta(days=6) < lot.expires_at - clock.now() < dt.timedelta(days=8)


def test_the_cap_holds_when_many_come_at_once(paywall: Paywall):
    promo = coded(paywall, uses=3)
    users = [new_user(paywall) for _ in range(8)]
    given = at_once([partial(promos.redeem, user, CODE) for user in users])
    assert sum(given) == 3
    assert sum(posted(user) for user in users) == 15 * UNIT
    assert uses_of(promo) == 3


def test_one_user_in_many_windows_gets_it_once(paywall: Paywall):
    user, promo = new_user(paywall), coded(paywall)
    assert all(at_once([lambda: promos.redeem(user, CODE)] * 6))
    assert (posted(user), uses_of(promo)) == (5 * UNIT, 1)


@pytest.mark.parametrize("change", [{"is_active": False}, {"expires_at": "past"}, {"uses": 10}])
def test_what_is_over_gives_nothing(paywall: Paywall, change):
    user, promo = new_user(paywall), coded(paywall)
    if "expires_at" in change:
        change = {"expires_at": clock.now() - dt.timedelta(seconds=1)}
    Promo.objects.filter(pk=promo.pk).update(**change)
    with pytest.raises(promos.PromoNotValidError):
        promos.redeem(user, CODE)
    assert posted(user) == 0


def test_codes_of_other_paywalls_are_unknown(paywall: Paywall):
    coded(PaywallFactory.create())
    for text in (CODE, "", "x" * 1000, f"{CODE}\0"):
        with pytest.raises(promos.PromoNotValidError):
            promos.redeem(new_user(paywall), text)


def test_the_command_makes_one(paywall: Paywall):
    text = run("add_promo", paywall.public_id, "spring-26", "2.50", "100", "--until", "90d")
    assert "SPRING-26 gives 2.50 USD" in text
    made = Promo.objects.get(paywall=paywall)
    assert made.expires_at is not None
    assert made.most_uses == 100


@pytest.mark.parametrize(
    ("code", "given"),
    [
        ("short", {}),
        ("with blank", {}),
        (CODE, {"credit_nanos": 0}),
        (CODE, {"most_uses": 0}),
        (CODE, {"days": 0}),
    ],
)
def test_codes_that_cannot_be(paywall: Paywall, code, given):
    terms = promos.Terms(**({"credit_nanos": UNIT, "most_uses": 1} | given))
    with pytest.raises(InvalidRequestError), transaction.atomic():
        promos.add(paywall, code, terms, actor=ACTOR)


def test_people_type_it_on_the_page(till: Till):
    client = Client()
    path = f"{till.page}?choose=1"
    assert 'name="code"' not in client.get(path).content.decode()
    coded(till.paywall)
    assert 'name="code"' in client.get(path).content.decode()
    refused = client.post(till.page, {"code": "NO-SUCH"})
    assert refused.status_code == 422
    assert "gives nothing" in refused.content.decode()
    given = client.post(till.page, {"code": "welcome-5"})
    assert given.status_code == 200
    assert "5.00 USD were added" in given.content.decode()
    assert till.posted == 5 * UNIT
