import datetime as dt

import pytest
import time_machine
from django.core import mail
from django.db import transaction

from config.kit import clock, ids, limits
from config.kit.errors import InvalidRequestError
from paywalls import logins, notices, pace, persons
from paywalls.logins import SignedIn, Stale, Wrong
from paywalls.models import Change, LoginCode, Person, PersonSession


def address() -> str:
    return f"{ids.uuid7().hex}@example.com"


def ask(email: str = "", **options) -> logins.Asked:
    with transaction.atomic():
        return logins.ask(email or address(), **options)


def enter(asked: logins.Asked, code: str) -> logins.Entry:
    with transaction.atomic():
        return logins.enter_code(asked.browser, code)


def follow(asked: logins.Asked, browser: str = "") -> logins.Entry:
    with transaction.atomic():
        return logins.enter_link(asked.link, browser)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


def person() -> Person:
    with transaction.atomic():
        return persons.of_email(address())


def session(of: Person, browser: str = "Firefox on Linux") -> str:
    with transaction.atomic():
        return logins.start_session(of, browser)


class TestCode:
    def test_the_right_code_proves_the_address_once(self):
        asked = ask(next_path="/wallet")
        entry = enter(asked, f" {asked.code[:3]} {asked.code[3:]} ")
        assert isinstance(entry, SignedIn)
        assert (entry.person.email, entry.next_path) == (asked.email, "/wallet")
        assert enter(asked, asked.code) == Stale()
        assert follow(asked) == Stale()

    def test_the_same_address_is_the_same_person(self):
        email = address()
        found = [ask(email), ask(email)]
        people = {enter(each, each.code).person.pk for each in found}
        assert len(people) == 1

    def test_after_five_wrong_codes_the_right_one_is_too_late(self):
        asked = ask()
        left = [enter(asked, wrong(asked.code)) for _ in range(limits.LOGIN_TRIES_MAX)]
        assert left == [Wrong(4), Wrong(3), Wrong(2), Wrong(1), Stale()]
        assert enter(asked, asked.code) == Stale()
        assert follow(asked) == Stale()
        assert logins.waiting(asked.browser) is None

    @pytest.mark.parametrize(
        "code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "\x00", "9" * 9_000]
    )
    def test_what_is_no_code_is_wrong(self, code: str):
        assert enter(ask(), code) == Wrong(4)

    def test_it_counts_only_in_the_browser_that_asked(self):
        mine, other = ask(), ask()
        with transaction.atomic():
            assert logins.enter_code(other.browser, mine.code) == Wrong(4)

    def test_it_is_over_after_ten_minutes(self):
        asked = ask()
        with time_machine.travel(clock.now() + dt.timedelta(seconds=limits.LOGIN_CODE_S + 1)):
            assert enter(asked, asked.code) == Stale()
            assert logins.linked(asked.link) is None
            assert follow(asked) == Stale()

    def test_what_is_kept_tells_no_secret(self):
        asked = ask()
        row = LoginCode.objects.values().get(email=asked.email)
        kept = repr(row) + "".join(bytes(v).hex() for v in row.values() if isinstance(v, bytes))
        assert not any(each in kept for each in (asked.code, asked.link, asked.browser))

    def test_old_ones_are_forgotten(self):
        asked = ask()
        with time_machine.travel(clock.now() + dt.timedelta(days=2)):
            ask()
        assert not LoginCode.objects.filter(email=asked.email).exists()


class TestLink:
    def test_only_the_browser_that_asked_is_led_on(self):
        mine, other = (ask(next_path="/authorize/abc") for _ in range(2))
        assert follow(mine, mine.browser).next_path == "/authorize/abc"
        assert follow(other, mine.browser).next_path == ""

    def test_looking_at_it_changes_nothing(self):
        asked = ask()
        assert logins.linked(asked.link).email == asked.email
        assert isinstance(follow(asked), SignedIn)

    @pytest.mark.parametrize("link", ["", "x", "\x00", "ü" * 200])
    def test_other_links_are_none(self, link: str):
        assert logins.linked(link) is None


class TestSession:
    def test_a_token_finds_its_person_until_it_is_ended(self):
        token = session(someone := person())
        found = logins.find_session(token)
        assert (found.person, found.browser) == (someone, "Firefox on Linux")
        assert not PersonSession.objects.filter(token_hash=token.encode()).exists()
        logins.end_session(found)
        assert logins.find_session(token) is None

    @pytest.mark.parametrize("token", ["", "x", "x" * 5_000, "\x00"])
    def test_other_tokens_find_nobody(self, token: str):
        assert logins.find_session(token) is None

    def test_one_that_nobody_uses_ends(self):
        token = session(person())
        start = clock.now()
        for days in (6, 12, 18):
            with time_machine.travel(start + dt.timedelta(days=days)):
                assert logins.find_session(token)
        with time_machine.travel(start + dt.timedelta(days=18 + limits.PERSON_IDLE_DAYS, hours=1)):
            assert logins.find_session(token) is None

    def test_one_that_is_busy_ends_too(self):
        token = session(person())
        start = clock.now()
        for days in range(0, limits.PERSON_SESSION_DAYS, 5):
            with time_machine.travel(start + dt.timedelta(days=days)):
                assert logins.find_session(token)
        with time_machine.travel(start + dt.timedelta(days=limits.PERSON_SESSION_DAYS, hours=1)):
            assert logins.find_session(token) is None

    def test_signing_out_everywhere_leaves_others_signed_in(self):
        mine, other = person(), person()
        tokens, others = [session(mine), session(mine)], session(other)
        logins.end_all(mine)
        assert [logins.find_session(each) for each in tokens] == [None, None]
        assert logins.find_session(others)

    def test_the_oldest_makes_room(self):
        someone = person()
        tokens = [session(someone) for _ in range(limits.PERSON_SESSIONS_MAX + 1)]
        assert logins.find_session(tokens[0]) is None
        assert all(logins.find_session(each) for each in tokens[1:])


class TestPerson:
    def test_it_is_on_record_without_the_address(self):
        someone = person()
        with transaction.atomic():
            persons.accept_terms(someone, "7")
            persons.close(someone)
        changes = Change.objects.filter(subject=someone.public_id).order_by("pk")
        assert [each.action for each in changes] == [
            "person.created",
            "person.terms_accepted",
            "person.closed",
        ]
        assert "@" not in repr([(each.before, each.after, each.actor) for each in changes])

    def test_a_closed_one_is_forgotten_and_the_address_begins_anew(self):
        asked = ask()
        someone = enter(asked, asked.code).person
        token = session(someone)
        email = someone.email
        waiting = ask(email)
        with transaction.atomic():
            persons.close(someone)
        kept = Person.objects.get(pk=someone.pk)
        assert (kept.email, kept.name, bool(kept.closed_at)) == (None, "", True)
        assert logins.find_session(token) is None
        assert not LoginCode.objects.filter(email=email).exists()
        assert enter(waiting, waiting.code) == Stale()
        asked = ask(email)
        assert enter(asked, asked.code).person.pk != someone.pk


class TestEmail:
    def test_it_is_kept_in_lower_case(self):
        assert logins.read_email("  Ann@Example.COM ") == "ann@example.com"

    @pytest.mark.parametrize(
        "text", ["", "ann", "a@b", "a@b.c\nBcc: x@y.z", "a" * 250 + "@b.test", "a@b.test,c@d.test"]
    )
    def test_what_is_none_is_refused_by_name(self, text: str):
        with pytest.raises(InvalidRequestError) as caught:
            logins.read_email(text)
        assert caught.value.param == "email"


class TestPace:
    def test_an_address_gets_five_mails_an_hour(self):
        email = address()
        asked = [logins.may_ask(email, f"2001:db8:{n}::1") for n in range(6)]
        assert asked == [True] * limits.LOGIN_MAILS_PER_HOUR + [False]
        assert logins.may_ask(address(), "2001:db8:9::1")

    def test_a_household_of_ipv6_addresses_counts_as_one(self):
        network = f"2001:db8:{ids.uuid7().hex[-4:]}:{ids.uuid7().hex[-4:]}"
        tries = [logins.may_enter(f"{network}::{n:x}") for n in range(1, 62)]
        assert tries == [True] * limits.LOGIN_ASKS_PER_HOUR + [False]

    def test_nobody_may_while_nobody_can_count(self, settings):
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": "redis://127.0.0.1:9/0",
            }
        }
        assert not pace.try_take("test", "me", most=5, seconds=60)


class TestMail:
    def test_a_subject_cannot_become_headers(self):
        facts = {"app": "Poems\nBcc: all@example.com", "team": "t", "user": "u", "cap": "1"}
        with transaction.atomic():
            notices.tell_person(someone := person(), "allowed", facts)
        sent = [each for each in mail.outbox if each.to == [someone.email]]
        assert len(sent) == 1
        assert "\n" not in sent[0].subject
        assert "Bcc" not in sent[0].message()

    def test_a_server_that_takes_none_is_told(self, settings):
        settings.MAILERS = {
            "default": {
                "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
                "OPTIONS": {"host": "127.0.0.1", "port": 9, "timeout": 1},
            }
        }
        assert not notices.send_now(address(), "login", {"code": "123456"})
