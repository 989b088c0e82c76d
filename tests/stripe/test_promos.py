"""Codes that give credit: once a user, and never more often than they may."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test import Client

from billing.stripe import promo_tries, promos
from billing.stripe.catalog import Promo, PromoTries
from config.kit import clock
from config.kit.errors import InvalidRequestError
from config.kit.limits import PROMO_TRIES_PAYWALL_MAX, PROMO_TRIES_USER_MAX
from ledger.models import Account, Lot
from paywalls.models import Change, EndUser, Paywall
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
    return Account.objects.get(pk=str(user.wallet_id)).posted


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
    (lot,) = Lot.objects.filter(account_id=str(user.wallet_id))
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


@pytest.mark.parametrize("change", [{"is_active": False}, {"expires_at": "past"}, {"most_uses": 0}])
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


def wrong(user: EndUser, times: int) -> None:
    for _ in range(times):
        with pytest.raises(promos.PromoNotValidError):
            promos.redeem(user, "NO-SUCH")


def tried(subject: UUID, until: str) -> None:
    """As if all its tries but those since were spent."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_promo_tries VALUES (%s, clock_timestamp() + %s::interval)"
            " ON CONFLICT (subject) DO UPDATE SET spent_until = excluded.spent_until",
            [subject, until],
        )


class TestTries:
    def test_somebody_who_guesses_has_to_wait_and_good_codes_with_them(self, paywall: Paywall):
        coded(paywall)
        guesser, other = new_user(paywall), new_user(paywall)
        wrong(guesser, PROMO_TRIES_USER_MAX)
        for text in ("NO-SUCH", CODE):
            with pytest.raises(promo_tries.PromoTriesError) as refused:
                promos.redeem(guesser, text)
            assert refused.value.retry_after_s
            assert 300 < refused.value.retry_after_s <= 360
        assert promos.redeem(other, CODE) == 5 * UNIT
        tried(guesser.pk, "53 minutes 59 s")
        assert promos.redeem(guesser, CODE) == 5 * UNIT

    def test_all_users_of_a_paywall_together_have_their_bound(self, paywall: Paywall):
        coded(paywall)
        user = new_user(paywall)
        tried(paywall.pk, f"1 hour -{2 * 3_600 / PROMO_TRIES_PAYWALL_MAX} s")
        wrong(new_user(paywall), 2)
        for _ in range(PROMO_TRIES_USER_MAX + 1):
            with pytest.raises(promo_tries.PromoTriesError):
                promos.redeem(user, CODE)
        tried(paywall.pk, "1 s")
        assert promos.redeem(user, CODE) == 5 * UNIT, "what the paywall refused is no try"

    def test_good_codes_cost_no_try(self, paywall: Paywall):
        coded(paywall)
        user = new_user(paywall)
        for _ in range(3 * PROMO_TRIES_USER_MAX):
            assert promos.redeem(user, CODE) == 5 * UNIT

    def test_many_guesses_at_once_are_all_counted(self, paywall: Paywall):
        user, limited = new_user(paywall), []

        def guess() -> None:
            try:
                promos.redeem(user, "NO-SUCH")
            except promo_tries.PromoTriesError:
                limited.append(True)
                raise promos.PromoNotValidError from None

        assert not any(at_once([guess] * (PROMO_TRIES_USER_MAX + 5)))
        assert len(limited) == 5

    def test_what_counts_no_more_is_forgotten(self, paywall: Paywall):
        user, other = new_user(paywall), new_user(paywall)
        wrong(user, 1)
        tried(other.pk, "-1 s")
        promo_tries.forget_old()
        kept = PromoTries.objects.filter(subject__in=[user.pk, other.pk])
        assert [row.subject for row in kept] == [user.pk]

    def test_the_page_says_when(self, till: Till):
        coded(till.paywall)
        tried(till.user.pk, "1 hour")
        refused = Client().post(till.page, {"code": CODE})
        assert (refused.status_code, refused["Retry-After"]) == (429, "360")
        assert "Try again in 360 s" in refused.content.decode()
        assert till.posted == 0


def test_what_gives_nothing_says_the_same_whatever_it_is(paywall: Paywall):
    coded(paywall)
    said = set()
    for change in ({}, {"is_active": False}, {"most_uses": 0}, {"expires_at": clock.now()}):
        Promo.objects.filter(paywall=paywall).update(**change)
        with pytest.raises(promos.PromoNotValidError) as refused:
            promos.redeem(new_user(paywall), CODE if change else "NO-SUCH")
        said.add((refused.value.message, refused.value.code, refused.value.status))
    assert len(said) == 1


def test_a_code_is_ended(paywall: Paywall):
    coded(paywall)
    user = new_user(paywall)
    promos.redeem(user, CODE)
    for _ in range(2):
        assert "gives nothing more" in run("stop_promo", paywall.public_id, "welcome-5")
    with pytest.raises(promos.PromoNotValidError):
        promos.redeem(new_user(paywall), CODE)
    assert posted(user) == 5 * UNIT
    assert Change.objects.filter(paywall=paywall, action="promo.stopped").count() == 1
    with pytest.raises(InvalidRequestError), transaction.atomic():
        promos.stop(paywall, "NO-SUCH", actor=ACTOR)
