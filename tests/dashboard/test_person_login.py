"""Signing in to a wallet: by code, by link, out again; and what must not work."""

import re

import pytest
from django.test import Client

from config.kit import ids, limits
from paywalls.models import Person, PersonSession
from tests.factories import DeveloperFactory
from tests.support.people import Browser

PAGES = ("/wallet", "/wallet/account", "/wallet/account/close", "/wallet/activity")


@pytest.fixture
def browser() -> Browser:
    return Browser()


def text(answer) -> str:
    return str(answer.content.decode())


class TestByCode:
    def test_a_new_address_becomes_a_person_with_an_empty_wallet(self, browser):
        asked = browser.ask()
        assert (asked.status_code, asked["Location"]) == (303, "/wallet/login/code")
        assert browser.email in text(browser.get("/wallet/login/code"))
        assert not Person.objects.filter(email=browser.email).exists()
        entered = browser.send("/wallet/login/code", code=browser.code())
        assert (entered.status_code, entered["Location"]) == (303, "/wallet")
        assert "Nothing to spend yet" in text(browser.get("/wallet"))
        assert browser.get("/wallet/login").status_code == 303

    def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(self, browser):
        cookie = browser.sign_in().cookies["person"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
        assert int(cookie["max-age"]) == limits.PERSON_SESSION_DAYS * 86_400
        assert not cookie["domain"]

    def test_it_leads_on_to_where_the_person_was_going(self, browser):
        asked = browser.get("/wallet/activity?test=1")
        assert asked.status_code == 303
        assert asked["Location"] == "/wallet/login?next=%2Fwallet%2Factivity%3Ftest%3D1"
        assert browser.sign_in("/wallet/activity?test=1")["Location"] == "/wallet/activity?test=1"

    @pytest.mark.parametrize(
        "path",
        ["//evil.example", "https://evil.example", "/\\evil.example", "/wallet//evil", "/admin/",
         "/authorize/a\nb", "/wallet/logout?x=1", "/authorize/../admin/"],
    )  # fmt: skip
    def test_it_leads_nowhere_else(self, browser, path: str):
        browser.client.get("/wallet/login")
        token = browser.client.cookies["csrftoken"].value
        fields = {"csrfmiddlewaretoken": token, "email": browser.email, "next": path}
        browser.client.post("/wallet/login", fields)
        assert browser.send("/wallet/login/code", code=browser.code())["Location"] == "/wallet"

    def test_a_wrong_code_says_how_many_tries_are_left(self, browser):
        browser.ask()
        wrong = f"{(int(browser.code()) + 1) % 10**6:06d}"
        answers = [browser.send("/wallet/login/code", code=wrong) for _ in range(5)]
        assert [each.status_code for each in answers] == [422] * 4 + [410]
        assert "4 tries are left" in text(answers[0])
        assert 'aria-invalid="true" aria-describedby="problem"' in text(answers[0])
        assert browser.send("/wallet/login/code", code=browser.code()).status_code == 410
        assert not Person.objects.filter(email=browser.email).exists()

    def test_another_browser_cannot_use_it(self, browser):
        browser.ask()
        other = Browser()
        assert other.send("/wallet/login/code", code=browser.code()).status_code == 410


class TestByLink:
    def test_only_its_button_signs_in(self, browser):
        browser.ask()
        path, scanner = browser.link("/wallet/login/link/"), Client()
        for _ in range(3):
            assert browser.email in text(scanner.get(path))
            assert scanner.head(path).status_code == 200
        assert not PersonSession.objects.filter(person__email=browser.email).exists()
        phone = Browser(email=browser.email)
        assert phone.press(path)["Location"] == "/wallet"
        assert phone.get("/wallet").status_code == 200
        assert phone.get(path).status_code == 410

    def test_a_mail_that_another_browser_asked_for_leads_to_no_app(self, browser):
        browser.ask("/authorize/abc")
        victim = Browser(email=browser.email)
        assert victim.press(browser.link("/wallet/login/link/"))["Location"] == "/wallet"

    def test_in_the_same_browser_it_leads_on(self, browser):
        browser.ask("/authorize/abc")
        assert browser.press(browser.link("/wallet/login/link/"))["Location"] == "/authorize/abc"

    @pytest.mark.parametrize("token", ["x", "a" * 43, "%00", "ü"])
    def test_other_links(self, browser, token: str):
        assert browser.get(f"/wallet/login/link/{token}").status_code == 410


class TestAlike:
    """What the site answers does not tell whether somebody has a wallet."""

    def test_known_and_unknown_addresses(self):
        known, unknown = Browser(), Browser()
        known.sign_in()
        asked = Browser(email=known.email)
        answers = [asked.ask(), unknown.ask()]
        assert len({(each.status_code, each["Location"]) for each in answers}) == 1
        pages = [
            re.sub(r'value="[\w-]+"', "", text(each.get("/wallet/login/code"))).replace(
                each.email, "…"
            )
            for each in (asked, unknown)
        ]
        assert pages[0] == pages[1]
        mails = [re.sub(r"\d{6}|link/\S+", "…", each.mails()[-1]) for each in (asked, unknown)]
        assert mails[0] == mails[1]

    def test_developers_are_other_people(self):
        developer = DeveloperFactory(is_staff=True, is_superuser=True)
        browser = Browser(email=developer.email)
        browser.sign_in()
        assert browser.get("/wallet").status_code == 200
        assert browser.get("/admin/").status_code == 302
        staff = Client(raise_request_exception=False)
        staff.force_login(developer)
        assert staff.get("/wallet").status_code == 303


class TestPace:
    def test_an_address_is_not_flooded(self):
        email = Browser().email
        answers = [Browser(email=email).ask() for _ in range(limits.LOGIN_MAILS_PER_HOUR + 1)]
        assert [each.status_code for each in answers][-2:] == [303, 429]
        assert "Wait an hour" in text(answers[-1])
        assert len(Browser(email=email).mails()) == limits.LOGIN_MAILS_PER_HOUR

    def test_one_internet_address_cannot_ask_for_ever(self, browser):
        for _ in range(limits.LOGIN_ASKS_PER_HOUR):
            browser.send("/wallet/login/code", code="1")
        assert browser.ask().status_code == 429
        assert browser.send("/wallet/login/code", code="1").status_code == 429
        assert Browser().ask().status_code == 303


class TestOut:
    def test_signing_out_ends_the_session_itself(self, browser):
        browser.sign_in()
        stolen = browser.client.cookies["person"].value
        assert browser.send("/wallet/logout").status_code == 303
        assert browser.get("/wallet").status_code == 303
        thief = Client()
        thief.cookies["person"] = stolen
        assert thief.get("/wallet").status_code == 303

    def test_everywhere(self, browser):
        browser.sign_in()
        phone = Browser(email=browser.email)
        phone.sign_in()
        assert text(browser.get("/wallet/account")).count("Firefox on Linux") >= 2
        browser.send("/wallet/account", do="everywhere")
        assert [each.get("/wallet").status_code for each in (browser, phone)] == [303, 303]

    def test_one_of_mine_and_none_of_others(self, browser):
        browser.sign_in()
        phone, other = Browser(email=browser.email), Browser()
        phone.sign_in()
        other.sign_in()
        for each in (phone, other):
            row = PersonSession.objects.filter(person=each.person).latest("created_at")
            browser.send("/wallet/account", do="one", session=str(row.pk))
        assert browser.get("/wallet").status_code == 200
        assert phone.get("/wallet").status_code == 303
        assert other.get("/wallet").status_code == 200

    def test_a_get_signs_nobody_out(self, browser):
        browser.sign_in()
        assert browser.get("/wallet/logout").status_code == 405
        assert browser.get("/wallet").status_code == 200


class TestTerms:
    @pytest.fixture(autouse=True)
    def _terms(self, settings):
        settings.TERMS_URL, settings.TERMS_VERSION = "https://example.com/terms", "7"

    def test_they_come_first_and_are_on_record(self, browser):
        browser.sign_in()
        first = browser.get("/wallet/activity")
        assert first["Location"] == "/wallet/terms?next=%2Fwallet%2Factivity"
        page = text(browser.get(first["Location"]))
        assert 'href="https://example.com/terms"' in page
        assert "checked" not in page
        assert browser.press(first["Location"]).status_code == 422
        assert browser.get("/wallet").status_code == 303
        yes = browser.press("/wallet/terms?next=/wallet/activity", accept="yes")
        assert yes["Location"] == "/wallet/activity"
        assert (browser.person.terms_version, browser.get("/wallet").status_code) == ("7", 200)
        assert browser.person.terms_accepted_at

    def test_a_new_version_is_asked_for_again(self, browser, settings):
        browser.sign_in()
        browser.press("/wallet/terms", accept="yes")
        settings.TERMS_VERSION = "8"
        assert browser.get("/wallet").status_code == 303
        assert browser.send("/wallet/terms", accept="yes", version="7").status_code == 422
        assert browser.press("/wallet/terms", accept="yes").status_code == 303
        assert browser.person.terms_version == "8"

    def test_who_does_not_agree_can_leave(self, browser):
        browser.sign_in()
        assert browser.get("/wallet/account/close").status_code == 200


class TestBadInput:
    @pytest.mark.parametrize("email", ["", "ann", "a@b\nc", "\x00@example.com", "a" * 300, "<b>@x"])
    def test_an_address_that_is_none_is_named(self, email: str):
        browser = Browser(email=email)
        answer = browser.ask()
        assert answer.status_code == 422
        assert 'aria-invalid="true" aria-describedby="problem"' in text(answer)

    @pytest.mark.parametrize("path", ["/wallet/login", "/wallet/login/code", "/wallet/logout"])
    def test_a_form_from_elsewhere_is_refused(self, browser, path: str):
        browser.sign_in()
        assert browser.client.post(path, {"email": browser.email}).status_code == 403
        assert browser.get("/wallet").status_code == 200

    @pytest.mark.parametrize("cookie", ["", "x" * 9_000, "\x00", "é"])
    def test_cookies_that_are_none(self, cookie: str):
        client = Client(raise_request_exception=False)
        client.cookies["person"] = client.cookies["person-login"] = cookie
        assert [client.get(path).status_code for path in PAGES] == [303] * 4
        assert client.get("/wallet/login/code").status_code == 410

    def test_nobody_without_mail_is_told_to_look_into_it(self, browser, settings):
        settings.MAILERS = {
            "default": {
                "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
                "OPTIONS": {"host": "127.0.0.1", "port": 9, "timeout": 1},
            }
        }
        assert browser.ask().status_code == 503

    def test_a_site_that_cannot_send_says_so(self, browser, settings):
        settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.dummy.EmailBackend"}}
        page = text(browser.get("/wallet/login"))
        assert "cannot send mail" in page
        assert 'name="email"' not in page


class TestHeaders:
    def test_pages_are_kept_by_nobody_and_framed_by_nobody(self, browser):
        browser.sign_in()
        for path in ("/wallet/login", *PAGES):
            answer = browser.get(path)
            assert answer["Cache-Control"] == "no-store"
            assert answer["X-Frame-Options"] == "DENY"
            assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
            assert answer["Referrer-Policy"] == "same-origin"
            assert "<script" not in text(answer)
            assert "style=" not in text(answer)

    def test_a_developers_user_still_has_a_page(self, browser):
        assert browser.get(f"/wallet/{ids.uuid7().hex}").status_code == 404
