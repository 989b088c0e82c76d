"""May this app spend from my wallet? Only a fresh form, sent on purpose by who it was made for."""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core import mail
from django.db import transaction

from billing import fees
from config.kit import clock, ids
from config.kit.money import NANOS
from paywalls import grants, links
from paywalls.models import Approval, Change, EndUser, Grant, GrantRequest, Paywall
from tests.factories import PaywallFactory
from tests.support.people import Browser
from tests.support.shared import give


@dataclass
class Wish:
    """What an app asks for, and the link that its users get."""

    user: EndUser

    @property
    def path(self) -> str:
        return links.authorize_url(self.user.pk).removeprefix("http://localhost:8000")

    @property
    def grants(self):
        return Grant.objects.filter(end_user=self.user)

    @property
    def standing(self) -> Grant | None:
        return grants.standing(self.user)


def make_wish(paywall: Paywall | None = None, *, livemode: bool = True) -> Wish:
    paywall = paywall or PaywallFactory.create(mode="shared")
    user = EndUser.objects.create(
        paywall=paywall, livemode=livemode, external_id=f"user_{ids.uuid7().hex}"
    )
    GrantRequest.objects.create(paywall=paywall, end_user=user)
    return Wish(user)


@pytest.fixture
def wish() -> Wish:
    return make_wish()


@pytest.fixture
def set_fee() -> Iterator[Callable[[int], object]]:
    """Sets the platform's fee, and back to what it was: it is one for all tests."""

    def work(ppm: int) -> None:
        with transaction.atomic():
            fees.set_fee(ppm, actor="command:tests")

    before = fees.fee_in_force()
    yield work
    work(before.ppm if before else 0)


@pytest.fixture
def browser() -> Browser:
    return Browser().enter()


def text(answer) -> str:
    return str(answer.content.decode())


def fields(**changed: str) -> dict[str, str]:
    return {"do": "allow", "cap": "5.00", "period": "month", "most": "", "ends": "", **changed}


def approval(page) -> Any:
    return re.findall(r'name="approval" value="([^"]+)"', text(page))[0]


class TestThePage:
    def test_it_says_who_asks_for_what(self, browser, wish):
        paywall = wish.user.paywall
        Paywall.objects.filter(pk=paywall.pk).update(name="<b>Poems</b>", description="Rhymes.")
        give(browser.person, 3 * NANOS)
        page = text(browser.get(wish.path))
        for each in (
            "&lt;b&gt;Poems&lt;/b&gt;",
            "Rhymes.",
            paywall.team.name,
            wish.user.external_id,
            browser.email,
            "3.00 USD",
            'value="5.00"',
            '<option value="month" selected>',
            "% of each charge",
        ):
            assert each in page
        assert "autofocus" not in page
        assert "Test mode" not in page

    def test_it_asks_to_sign_in_and_leads_back(self, wish):
        stranger = Browser()
        asked = stranger.get(wish.path)
        assert asked.status_code == 303
        page = text(stranger.get(asked["Location"]))
        assert "nothing is allowed yet" in page
        assert wish.user.external_id not in page
        assert stranger.sign_in(wish.path)["Location"] == wish.path

    def test_test_mode_has_a_banner(self, browser):
        wish = make_wish(livemode=False)
        assert "Test mode: no real money" in text(browser.get(wish.path))
        browser.press(wish.path, **fields())
        assert wish.standing.livemode is False
        assert "(test mode)" in mail.outbox[-1].subject

    def test_another_account_of_the_same_app_stands_out_and_is_asked_for_anew(self, browser, wish):
        browser.press(wish.path, **fields())
        other = make_wish(wish.user.paywall)
        page = text(browser.get(other.path))
        assert wish.user.external_id in page
        assert "This is another account" in page
        assert other.standing is None

    def test_links_that_are_none(self, browser):
        for token in ("x", "a" * 42, "%00", links.checkout_token(ids.uuid7())):
            assert browser.get(f"/authorize/{token}").status_code == 404
            assert browser.get(f"/authorize/{token}/done").status_code == 404

    def test_the_fee_of_the_platform_is_shown_and_agreed_to(self, browser, wish, set_fee):
        page = browser.get(wish.path)
        shown = dict(re.findall(r'name="(fee|approval|csrf\w+)" value="([^"]*)"', text(page)))
        set_fee(25_000)
        stale = browser.client.post(wish.path, {**shown, **fields()})
        assert stale.status_code == 422
        assert "fee has changed" in text(stale)
        assert "2.5 % of each charge" in text(stale)
        assert browser.press(wish.path, **fields()).status_code == 303
        assert wish.standing.consent["fee_ppm"] == 25_000


@pytest.mark.proves("F73")
class TestYes:
    def test_only_the_form_allows(self, browser, wish):
        for _ in range(3):
            browser.get(wish.path)
            browser.client.head(wish.path)
        assert wish.standing is None
        answer = browser.press(wish.path, **fields(cap="7,50", period="week", most="0.5"))
        assert (answer.status_code, answer["Location"]) == (303, f"{wish.path}/done")
        grant = wish.standing
        assert (grant.person, grant.cap, grant.cap_period) == (
            browser.person,
            7 * NANOS + NANOS // 2,
            "week",
        )
        assert (grant.request_most, grant.ends_at) == (NANOS // 2, None)
        done = text(browser.get(answer["Location"]))
        assert "may spend at most 7.50 USD a week" in done
        assert "Your wallet is empty" in done

    def test_a_look_ahead_makes_no_approval(self, browser, wish):
        for name, value in (("Sec-Purpose", "prefetch;prerender"), ("Purpose", "prefetch")):
            answer = browser.get(wish.path, **{name: value})
            assert answer.status_code == 503
            assert not answer.content
        assert not Approval.objects.filter(request__end_user=wish.user).exists()

    def test_a_yes_counts_once(self, browser, wish):
        page = browser.get(wish.path)
        again = {"approval": approval(page), "fee": fee_of(page), **fields()}
        browser.press(wish.path, **fields())
        grant = wish.standing
        browser.send(f"/wallet/apps/{grant.public_id}", do="revoke")
        for used in (again, {**again, "approval": ""}, {**again, "approval": "x" * 9_000}):
            answer = browser.send(wish.path, **used)
            assert answer.status_code == 422
            assert "open the link again" in text(answer)
            assert approval(answer) != used["approval"]
        assert wish.standing is None

    def test_an_approval_that_was_used_is_refused(self, browser, wish):
        page = browser.get(wish.path)
        sent = {"approval": approval(page), "fee": fee_of(page), **fields()}
        assert browser.send(wish.path, **sent).status_code == 303
        browser.send(f"/wallet/apps/{wish.standing.public_id}", do="revoke")
        answer = browser.send(wish.path, **sent)
        assert answer.status_code == 422
        assert "used before" in text(answer)
        assert wish.standing is None

    def test_sending_twice_is_one_grant_and_no_error(self, browser, wish):
        page = browser.get(wish.path)
        sent = {"approval": approval(page), "fee": fee_of(page), **fields()}
        answers = [browser.send(wish.path, **sent) for _ in range(2)]
        assert [each["Location"] for each in answers] == [f"{wish.path}/done"] * 2
        assert wish.grants.count() == 1
        assert len([each for each in browser.mails() if "/stop/" in each]) == 1

    def test_one_that_is_too_old_is_offered_anew(self, browser, wish):
        page = browser.get(wish.path)
        Approval.objects.filter(request__end_user=wish.user).update(
            expires_at=clock.now() - dt.timedelta(seconds=1)
        )
        sent = {"approval": approval(page), "fee": fee_of(page), **fields(cap="6.00")}
        answer = browser.send(wish.path, **sent)
        assert answer.status_code == 422
        assert "too old" in text(answer)
        assert wish.standing is None
        sent = {**sent, "approval": approval(answer)}
        assert browser.send(wish.path, **sent).status_code == 303
        assert wish.standing.cap == 6 * NANOS

    def test_somebody_elses_approval_is_worth_nothing(self, browser, wish):
        thief = Browser().enter()
        page = thief.get(wish.path)
        answer = browser.send(wish.path, approval=approval(page), fee=fee_of(page), **fields())
        assert answer.status_code == 422
        assert "made for somebody else" in text(answer)
        assert wish.standing is None

    def test_a_form_from_another_site_is_refused(self, browser, wish):
        page = browser.get(wish.path)
        sent = {"approval": approval(page), "fee": fee_of(page), **fields()}
        assert browser.client.post(wish.path, sent).status_code == 403
        token = browser.client.cookies["csrftoken"].value
        evil = browser.client.post(
            wish.path,
            {**sent, "csrfmiddlewaretoken": token},
            headers={"Origin": "https://evil.example"},
        )
        assert evil.status_code == 403
        assert wish.standing is None

    def test_no_page_can_be_framed(self, browser, wish):
        for path in (wish.path, f"{wish.path}/done"):
            answer = browser.get(path)
            assert answer["X-Frame-Options"] == "DENY"
            assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]

    def test_who_signed_out_is_asked_to_sign_in(self, browser, wish):
        page = browser.get(wish.path)
        browser.send("/wallet/logout")
        answer = browser.send(wish.path, approval=approval(page), fee="0", **fields())
        assert answer["Location"].startswith("/wallet/login?next=%2Fauthorize%2F")
        assert wish.standing is None

    def test_another_wallet_pays_already(self, browser, wish):
        browser.press(wish.path, **fields())
        other = Browser().enter()
        answer = other.get(wish.path)
        assert answer.status_code == 409
        assert browser.email not in text(answer)
        assert other.send(wish.path, approval="x", **fields()).status_code == 409
        assert other.get(f"{wish.path}/done").status_code == 303
        assert wish.standing.person == browser.person

    def test_the_link_leads_to_the_app_once_it_is_allowed(self, browser, wish):
        browser.press(wish.path, **fields())
        again = browser.get(wish.path)
        assert again["Location"] == f"/wallet/apps/{wish.standing.public_id}"

    def test_what_was_agreed_to_is_on_record_without_personal_data(self, browser, wish):
        browser.press(wish.path, **fields())
        change = Change.objects.get(subject=wish.standing.public_id, action="grant.approved")
        assert change.actor == browser.person.public_id
        assert change.after["consent"]["app"] == wish.user.paywall.name
        assert browser.email not in repr(change.after)
        assert wish.user.external_id not in repr(change.after)


def fee_of(page) -> Any:
    return re.findall(r'name="fee" value="(\d+)"', text(page))[0]


class TestBadTerms:
    @pytest.mark.parametrize(
        ("changed", "field"),
        [
            ({"cap": ""}, "cap"),
            ({"cap": "0"}, "cap"),
            ({"cap": "-1"}, "cap"),
            ({"cap": "1e3"}, "cap"),
            ({"cap": "9" * 12}, "cap"),
            ({"cap": "NaN\x00"}, "cap"),
            ({"period": ""}, "period"),
            ({"period": "decade"}, "period"),
            ({"most": "x"}, "most"),
            ({"most": "0.00"}, "most"),
            ({"ends": "soon"}, "ends"),
            ({"ends": "2020-01-01"}, "ends"),
            ({"ends": "9999-12-31"}, "ends"),
        ],
    )
    def test_the_field_is_named_and_what_was_written_stays(self, browser, wish, changed, field):
        answer = browser.press(wish.path, **fields(**changed))
        assert answer.status_code == 422
        marked = re.findall(r'<(?:input|select) id="(\w+)"[^>]*aria-invalid="true"', text(answer))
        assert marked == [field]
        assert wish.standing is None
        assert browser.press(wish.path, **fields()).status_code == 303

    def test_a_last_day_is_included(self, browser, wish):
        day = clock.now().date() + dt.timedelta(days=3)
        browser.press(wish.path, **fields(ends=day.isoformat()))
        end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), dt.UTC)
        assert wish.standing.ends_at == end
        assert f'value="{day.isoformat()}"' in text(browser.get(browser_app(wish)))

    def test_a_form_of_nothing(self, browser, wish):
        assert browser.press(wish.path).status_code == 422


def browser_app(wish: Wish) -> str:
    return f"/wallet/apps/{wish.grants.get().public_id}"


class TestNo:
    def test_declining_allows_nothing_and_can_be_thought_over(self, browser, wish):
        answer = browser.press(wish.path, **fields(do="decline", cap="nonsense"))
        assert "may not spend" in text(answer)
        assert wish.standing is None
        assert GrantRequest.objects.get(end_user=wish.user).state == "declined"
        assert browser.press(wish.path, **fields()).status_code == 303
        assert wish.standing


@pytest.mark.proves("F73")
class TestTheMail:
    def test_it_stops_the_app_with_one_click_and_no_login(self, browser, wish):
        browser.press(wish.path, **fields())
        path, scanner = browser.link("/stop/"), Browser()
        for _ in range(2):
            page = scanner.get(path)
            assert page.status_code == 200
            assert scanner.client.head(path).status_code == 200
        assert browser.email not in text(page)
        assert wish.user.external_id not in text(page)
        assert wish.standing is not None
        assert scanner.client.post(path).status_code == 403
        assert "cannot spend" in text(scanner.press(path))
        assert wish.standing is None
        assert wish.grants.get().revoked_by == browser.person.public_id
        assert "cannot spend" in text(scanner.get(path))
        assert scanner.send(path).status_code == 200

    @pytest.mark.parametrize("token", ["x", "a" * 42, "%00"])
    def test_links_that_are_none(self, browser, token: str):
        assert browser.get(f"/stop/{token}").status_code == 404

    def test_the_link_of_one_grant_does_not_stop_the_next(self, browser, wish):
        browser.press(wish.path, **fields())
        first = browser.link("/stop/")
        browser.press(first)
        browser.press(wish.path, **fields())
        browser.send(first)
        assert wish.standing is not None

    def test_a_mail_that_fails_takes_nothing_back(self, browser, wish, settings):
        settings.MAILERS = {
            "default": {
                "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
                "OPTIONS": {"host": "127.0.0.1", "port": 9, "timeout": 1},
            }
        }
        assert browser.press(wish.path, **fields()).status_code == 303
        assert wish.standing


class TestAnArchivedApp:
    def test_it_gets_no_more_grants(self, browser, wish):
        page = browser.get(wish.path)
        with transaction.atomic():
            Paywall.objects.filter(pk=wish.user.paywall_id).update(archived_at=clock.now())
        answer = browser.send(wish.path, approval=approval(page), fee=fee_of(page), **fields())
        assert answer.status_code == 409
        assert browser.get(wish.path).status_code == 409
        assert wish.standing is None
