from urllib.parse import unquote

import pytest

from config.kit.errors import InvalidRequestError
from proxy.errors import MethodNotAllowedError, NotFoundError
from proxy.router import RESERVED, Match, Router
from proxy.routes import ROUTES

router = Router(ROUTES)


def resolve(address: str) -> Match:
    return router.resolve(unquote(address), address.encode())


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("route", [route.name for route in ROUTES if "{" not in route.name])
class TestEveryRoute:
    def test_b7_a_slash_at_the_end_changes_nothing(self, route: str, slash: str):
        assert resolve(route + slash).route.name == route

    def test_a_user_may_stand_in_front(self, route: str, slash: str):
        found = resolve(route.replace("/v1/", "/v1/acme:user_123/") + slash)
        assert (found.route.name, found.user) == (route, "acme:user_123")


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ("/v1/Zo%C3%AB/user/charge", "Zoë"),
        ("/v1/a%40b.example/user/charge", "a@b.example"),
        ("/v1/..%2f/user/charge", "../"),
        ("/v1/%20/user/charge", " "),
    ],
)
def test_a_user_in_front_is_decoded_once_and_checked_later(address: str, user: str):
    assert resolve(address).user == user


def test_a_value_at_the_end():
    found = resolve("/v1/bob/requests/req%5F1/")
    assert (found.route.name, found.user, found.parts) == (
        "/v1/requests/{id}",
        "bob",
        {"id": "req_1"},
    )


@pytest.mark.parametrize(
    "address",
    [
        "/v1",
        "/v1/",
        "/v1//",
        "/v1/nothing",
        "/v1/user",
        "/v1/requests",
        "/v1/requests/",
        "/v1/requests/a/b",
        "/v1/chat/completions//",
        "/v1/v1/chat/completions",
        "/v1/a/b/chat/completions",
        "/v1/user/bob/charge",
        "/v1/CHAT/completions",
    ],
)
def test_what_is_not_there(address: str):
    with pytest.raises(NotFoundError):
        resolve(address)


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_b19_reserved_words_are_no_users(word: str):
    with pytest.raises(NotFoundError):
        resolve(f"/v1/{word}/chat/completions")


def test_an_address_that_is_not_utf8():
    with pytest.raises(InvalidRequestError):
        resolve("/v1/%ff/user/charge")


def test_b7_other_methods_are_told_which_there_are():
    with pytest.raises(MethodNotAllowedError) as refusal:
        resolve("/v1/user/disconnect").route.on("DELETE")
    assert refusal.value.allowed == ("GET", "HEAD", "POST")
