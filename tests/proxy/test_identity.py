import pytest

from config.kit.errors import InvalidRequestError
from paywalls import users
from proxy import identity
from proxy.errors import MissingUserError

HEADER = {"x-paywall-user": "header"}


class TestResolve:
    def test_b17_nobody_is_named(self):
        with pytest.raises(MissingUserError):
            identity.resolve({}, {}, {}, "")

    @pytest.mark.parametrize(
        ("body", "query", "headers", "prefix", "expected"),
        [
            ({"user": "body"}, {"user": "query"}, HEADER, "prefix", "body"),
            ({"user": None}, {"user": "query"}, HEADER, "prefix", "query"),
            ({}, {}, HEADER, "prefix", "header"),
            ({}, {}, {}, "prefix", "prefix"),
        ],
    )
    def test_b18_the_first_present_counts(self, body, query, headers, prefix, expected):
        assert identity.resolve(body, query, headers, prefix) == expected

    def test_an_id_that_is_present_but_wrong_is_not_passed_over(self):
        with pytest.raises(InvalidRequestError):
            identity.resolve({"user": ""}, {}, HEADER, "")

    def test_a_header_is_utf8(self):
        sent = {"x-paywall-user": "Zoë".encode().decode("latin-1")}
        assert identity.resolve({}, {}, sent, "") == "Zoë"

    def test_a_header_that_is_not_utf8_is_refused(self):
        with pytest.raises(InvalidRequestError):
            identity.resolve({}, {}, {"x-paywall-user": "Zo\xeb"}, "")


class TestChecked:
    @pytest.mark.parametrize(
        "user",
        [
            "",
            " ",
            "a b",
            "a\tb",
            "a\n",
            "nul\0",
            "\x7f",
            "no\u00a0break",
            "soft\u00adhyphen",
            "\u202eright-to-left",
            "zero\u200bwidth",
            "joined\u200dletters",
            "\ufeffmark",
            "tag\U000e0061",
            "x" * 129,
            "x" * 10_240,
            "é" * 129,
            "\ufb2c" * 60,  # Grows to three times its length in normal form C.
            7,
            True,
            ["a"],
            {"a": 1},
        ],
    )
    def test_b19_what_is_not_a_plain_name_is_refused(self, user):
        with pytest.raises(InvalidRequestError) as refusal:
            users.read_external_id(user)
        assert refusal.value.param == "user"

    @pytest.mark.parametrize(
        "user",
        [
            "u",
            "acme:user_123",
            "someone@example.com",
            "chat",
            "v1",
            "../..%2f",
            "{{7*7}}",
            "' OR 1=1 --",
            "x" * 128,
            "Зоя",
            "张伟",
            "👩‍🚀",
            "👍🏽",
            "❤️‍🔥",
        ],
    )
    def test_everything_visible_is_an_id(self, user):
        if " " in user:
            user = user.replace(" ", "")
        assert users.read_external_id(user) == user

    def test_two_ways_to_write_a_letter_are_one_person(self):
        assert (
            users.read_external_id("Zoe\u0308") == users.read_external_id("Zo\u00eb") == "Zo\u00eb"
        )


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("someone@example.com", True),
        ("a.b+c@mail.example.org", True),
        ("tenant@42", False),
        ("@handle", False),
        ("acme:user@x.", False),
        ("user_1", False),
    ],
)
def test_b20_ids_that_look_like_mail_addresses(user: str, expected: bool):
    assert identity.looks_like_email(user) is expected
