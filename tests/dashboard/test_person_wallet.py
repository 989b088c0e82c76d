"""A person's own pages: balance, apps, what happened, sessions, and being forgotten."""

import csv
import datetime as dt
import io
import re

import pytest
from django.urls import reverse

from billing import movements
from billing.stripe.person_models import PersonOrder
from config.kit import clock, ids
from config.kit.limits import PAGE_ROWS
from config.kit.money import NANOS
from ledger.models import Account, Entry
from paywalls.models import Grant, Paywall, Person
from tests.factories import DeveloperFactory
from tests.support.people import Browser
from tests.support.shared import WHY, allow, give, shared_payer


@pytest.fixture
def browser() -> Browser:
    return Browser().enter()


def text(answer) -> str:
    return str(answer.content.decode())


def stand(browser: Browser, cap: int = 5 * NANOS, **more) -> tuple[Grant, str]:
    """A grant, and the path of its page."""
    terms = {key: more.pop(key) for key in ("cap_period", "ends_at") if key in more}
    grant = allow(browser.person, shared_payer(**more), cap, **terms)
    return grant, f"/wallet/apps/{grant.public_id}"


def spend(grant: Grant, nanos: int) -> None:
    """A charge of the app, as its developer makes one."""
    user = grant.end_user.external_id
    movements.charge(grant.paywall, user, nanos, WHY, livemode=grant.livemode)


def wallet(browser: Browser, *, livemode: bool = True) -> Account:
    return Account.objects.get(kind="wallet", owner=browser.person.pk, livemode=livemode)


class TestHome:
    def test_an_empty_one_says_what_to_do_next(self, browser, settings):
        settings.CONTACT_EMAIL = "help@example.com"
        page = text(browser.get("/wallet"))
        assert "0.00 USD" in page
        assert "help@example.com" in page
        assert browser.person.public_id in page
        assert "No app may spend" in page

    def test_balance_apps_and_what_happened(self, browser):
        grant, path = stand(browser)
        Paywall.objects.filter(pk=grant.paywall_id).update(name="<i>Poems</i>")
        give(browser.person, 3 * NANOS)
        spend(grant, NANOS // 4)
        page = text(browser.get("/wallet"))
        assert "2.75 USD" in page
        assert "&lt;i&gt;Poems&lt;/i&gt;" in page
        assert "0.25 USD this month, of at most 5.00 USD a month" in page
        assert '<progress max="100" value="5"' in page
        assert path in page
        assert "\N{MINUS SIGN}0.25" in page
        receipt = re.findall(r'href="http://localhost:8000(/receipt/\w+)"', page)
        assert len(receipt) == 1
        assert browser.get(receipt[0]).status_code == 200

    def test_test_money_stands_apart_behind_a_banner(self, browser):
        grant, _ = stand(browser, livemode=False)
        give(browser.person, 7 * NANOS, livemode=False)
        give(browser.person, 1 * NANOS)
        live, test = (text(browser.get(path)) for path in ("/wallet", "/wallet?test=1"))
        assert "1.00 USD" in live
        assert "7.00 USD" not in live
        assert grant.public_id not in live
        assert "Test mode" not in live
        assert "7.00 USD" in test
        assert "Test mode: no real money" in test
        assert grant.public_id in test

    def test_what_needs_the_person_comes_first(self, browser):
        used, _ = stand(browser, cap=NANOS)
        over, _ = stand(browser, ends_at=clock.now() + dt.timedelta(days=1))
        Grant.objects.filter(pk=over.pk).update(ends_at=clock.now() - dt.timedelta(days=1))
        give(browser.person, 2 * NANOS)
        spend(used, NANOS)
        page = text(browser.get("/wallet"))
        assert "For you to decide" in page
        assert "has used up its 1.00 USD this month." in page
        assert "since its last day" in page

    def test_nobody_sees_anothers(self, browser):
        other = Browser().enter()
        grant, path = stand(other)
        give(other.person, 3 * NANOS)
        assert "0.00 USD" in text(browser.get("/wallet"))
        assert browser.get(path).status_code == 404
        for wish in ("revoke", "pause", "change"):
            assert browser.send(path, do=wish, cap="1", period="day").status_code == 404
        grant.refresh_from_db()
        assert (grant.revoked_at, grant.paused_at, grant.cap) == (None, None, 5 * NANOS)


class TestApp:
    def test_pause_and_resume(self, browser):
        grant, path = stand(browser)
        assert browser.press(path, do="pause")["Location"] == f"{path}?said=pause"
        page = text(browser.get(f"{path}?said=pause"))
        assert "Nothing is spent until you resume it" in page
        assert "Paused" in text(browser.get("/wallet"))
        grant.refresh_from_db()
        assert grant.paused_at
        browser.press(path, do="resume")
        grant.refresh_from_db()
        assert grant.paused_at is None

    def test_other_terms(self, browser):
        grant, path = stand(browser)
        answer = browser.press(path, do="change", cap="9.5", period="total", most="2", ends="")
        assert answer.status_code == 303
        grant.refresh_from_db()
        assert (grant.cap, grant.cap_period, grant.request_most) == (
            NANOS * 19 // 2,
            "total",
            2 * NANOS,
        )
        page = text(browser.get(path))
        assert 'value="9.50"' in page
        assert '<option value="total" selected>' in page

    def test_bad_terms_name_the_field_and_change_nothing(self, browser):
        grant, path = stand(browser)
        answer = browser.press(path, do="change", cap="x", period="day")
        assert answer.status_code == 422
        assert re.findall(r'<input id="(\w+)"[^>]*aria-invalid', text(answer)) == ["cap"]
        assert 'value="x"' in text(answer)
        grant.refresh_from_db()
        assert grant.cap_period == "month"

    def test_stopping_is_for_good(self, browser):
        grant, path = stand(browser)
        browser.press(path, do="revoke")
        page = text(browser.get(path))
        assert "Allow it again" in page
        assert "Stopped apps" in text(browser.get("/wallet"))
        assert browser.send(path, do="resume").status_code == 422
        assert browser.send(path, do="revoke").status_code == 303
        grant.refresh_from_db()
        assert grant.revoked_by == browser.person.public_id

    @pytest.mark.parametrize("wish", ["", "delete", "\x00"])
    def test_a_wish_that_is_none(self, browser, wish: str):
        _, path = stand(browser)
        assert browser.send(path, do=wish).status_code == 422

    def test_looking_changes_nothing_and_forms_need_their_token(self, browser):
        grant, path = stand(browser)
        browser.get(f"{path}?do=revoke")
        assert browser.client.post(path, {"do": "revoke"}).status_code == 403
        grant.refresh_from_db()
        assert grant.revoked_at is None

    @pytest.mark.parametrize("text", ["x", "grt_x", f"grt_{'0' * 26}", "%00"])
    def test_what_is_no_app(self, browser, text: str):
        assert browser.get(f"/wallet/apps/{text}").status_code == 404


class TestActivity:
    def test_every_movement_once_over_the_pages(self, browser):
        for _ in range(PAGE_ROWS + 3):
            give(browser.person, NANOS)
        page, seen = text(browser.get("/wallet/activity")), 0
        for _ in range(2):
            seen += page.count("Top-up")
            older = re.findall(r'href="([^"]+)">Older', page)
            page = text(browser.get(older[0].replace("&amp;", "&"))) if older else ""
        assert seen == PAGE_ROWS + 3

    def test_the_file_adds_up_to_the_balance(self, browser):
        grant, _ = stand(browser)
        Paywall.objects.filter(pk=grant.paywall_id).update(name='=HYPERLINK("x")')
        give(browser.person, 3 * NANOS)
        spend(grant, NANOS // 8)
        answer = browser.get("/wallet/activity.csv")
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        assert re.fullmatch(
            r'attachment; filename="wallet-[\d-]+\.csv"', answer["Content-Disposition"]
        )
        rows = list(csv.DictReader(io.StringIO(text(answer))))
        assert [row["what"] for row in rows] == ["Charge", "Top-up"]
        assert [row["amount"] for row in rows] == ["-0.125", "3"]
        assert rows[0]["balance_after"] == "2.875"
        assert rows[0]["app"] == '\'=HYPERLINK("x")'
        found = Entry.objects.filter(account=wallet(browser)).latest("id")
        assert rows[0]["transaction"] == ids.encode("txn", found.transaction_id)

    def test_a_long_one_is_continued_in_another_file(self, browser, monkeypatch):
        monkeypatch.setattr("dashboard.views.people.activity.EXPORT_ROWS_MAX", 2)
        monkeypatch.setattr("dashboard.views.people.activity.PAGE_ROWS_MAX", 2)
        for _ in range(3):
            give(browser.person, NANOS)
        first = browser.get("/wallet/activity.csv")
        rest = re.findall(r"<http://[^/]+([^>]+)>", first["Link"])[0]
        second = browser.get(rest)
        lengths = [len(text(each).splitlines()) - 1 for each in (first, second)]
        assert lengths == [2, 1]
        assert not second.headers.get("Link")

    def test_a_refund_names_its_app(self, browser):
        grant, _ = stand(browser)
        Paywall.objects.filter(pk=grant.paywall_id).update(name="Poems")
        give(browser.person, NANOS)
        user = grant.end_user.external_id
        made = movements.charge(grant.paywall, user, NANOS // 2, WHY)
        movements.refund(made.transaction_id, NANOS // 4, WHY)
        rows = list(csv.DictReader(io.StringIO(text(browser.get("/wallet/activity.csv")))))
        assert [(row["what"], row["app"]) for row in rows[:2]] == [
            ("Refund", "Poems"),
            ("Charge", "Poems"),
        ]

    @pytest.mark.parametrize("before", ["x", "-1", "\x00", "٣", "9" * 30])
    def test_a_cursor_that_is_none(self, browser, before: str):
        for path in ("/wallet/activity", "/wallet/activity.csv"):
            assert browser.client.get(path, {"before": before}).status_code == 404

    def test_nothing_yet(self, browser):
        assert "Nothing has happened yet" in text(browser.get("/wallet/activity"))
        assert len(text(browser.get("/wallet/activity.csv")).splitlines()) == 1


class TestClose:
    def test_money_comes_first(self, browser, settings):
        settings.CONTACT_EMAIL = "help@example.com"
        grant, _ = stand(browser)
        give(browser.person, NANOS)
        page = text(browser.get("/wallet/account/close"))
        assert "1.00 USD are left" in page
        assert "help@example.com" in page
        answer = browser.send("/wallet/account/close", email=browser.email)
        assert answer.status_code == 409
        assert browser.person.closed_at is None
        grant.refresh_from_db()
        assert grant.revoked_at is None

    @pytest.mark.parametrize(
        ("status", "hours", "is_closed"),
        [("open", 1, False), ("open", 25, True), ("pending", 25, False), ("expired", 1, True)],
    )
    def test_so_does_a_payment_that_may_still_arrive(self, browser, status, hours, is_closed):
        PersonOrder.objects.create(
            person=browser.person,
            livemode=True,
            price_minor=500,
            currency="USD",
            credit_nanos=5 * NANOS,
            status=status,
            session_id=f"cs_{ids.uuid7().hex}",
            created_at=clock.now() - dt.timedelta(hours=hours),
        )
        page = text(browser.get("/wallet/account/close"))
        assert ("can still arrive" in page) is not is_closed
        answer = browser.send("/wallet/account/close", email=browser.email)
        assert answer.status_code == (200 if is_closed else 409)

    def test_the_person_goes_and_the_sums_stay(self, browser):
        grant, _ = stand(browser)
        give(browser.person, NANOS)
        spend(grant, NANOS)
        give(browser.person, NANOS, livemode=False)
        phone, person = Browser(email=browser.email).enter(), browser.person
        assert browser.press("/wallet/account/close", email="other@x.test").status_code == 422
        answer = browser.press("/wallet/account/close", email=browser.email.upper())
        assert "address is forgotten" in text(answer)
        kept = Person.objects.get(pk=person.pk)
        assert (kept.email, kept.name, kept.closed_at is None) == (None, "", False)
        assert [each.get("/wallet").status_code for each in (browser, phone)] == [303, 303]
        grant.refresh_from_db()
        assert grant.revoked_at
        entries = Entry.objects.filter(account__owner=person.pk, account__livemode=True)
        assert sum(entries.values_list("amount", flat=True)) == 0
        assert entries.count() == 2
        browser.sign_in()
        assert browser.person.pk != person.pk

    def test_it_takes_the_form(self, browser):
        browser.get("/wallet/account/close")
        sent = browser.client.post("/wallet/account/close", {"email": browser.email})
        assert sent.status_code == 403
        assert browser.person.closed_at is None


class TestStaff:
    def test_they_see_people_and_no_secrets(self, client, browser):
        client.force_login(DeveloperFactory(is_staff=True, is_superuser=True))
        for address in (
            reverse("admin:paywalls_person_changelist"),
            reverse("admin:paywalls_person_change", args=[browser.person.pk]),
        ):
            answer = client.get(address)
            assert answer.status_code == 200
            assert browser.email in text(answer)
        sent = client.post(
            reverse("admin:paywalls_person_change", args=[browser.person.pk]), {"email": "x@y.zz"}
        )
        assert sent.status_code == 403
        for model in ("logincode", "personsession", "approval"):
            assert client.get(f"/admin/paywalls/{model}/").status_code == 404
