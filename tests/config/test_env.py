"""Values from the environment are typed, and malformed ones stop the start."""

import base64

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env

KEY = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def value(monkeypatch):
    """Sets NAME."""
    return lambda text: monkeypatch.setenv("NAME", text)


def test_what_is_not_set_has_its_default():
    assert env.text("NAME", "x") == "x"
    assert env.flag("NAME", default=True) is True
    assert env.whole("NAME", 4) == 4
    assert env.seconds("NAME", 2.5) == 2.5
    assert env.words("NAME", ("a",)) == ("a",)
    assert env.url("NAME", "redis://a/", schemes=("redis",)) == "redis://a"
    assert env.networks("NAME") == ()
    assert env.secrets("NAME") == ()
    assert env.versioned_secrets("NAME") == {}


def test_an_empty_value_is_not_set(value):
    value("")
    assert env.flag("NAME", default=True) is True
    assert env.whole("NAME", 4) == 4


@pytest.mark.parametrize(("text", "is_on"), [("true", True), ("0", False), ("Off", False)])
def test_flags(value, text, is_on):
    value(text)
    assert env.flag("NAME", default=not is_on) is is_on


def test_lists(value):
    value(" a, b,,")
    assert env.words("NAME") == ("a", "b")
    value("localhost:11434,10.0.0.0/8,::1")
    assert env.networks("NAME") == ("localhost:11434", "10.0.0.0/8", "::1")


def test_secrets(value):
    value(f"{KEY},{KEY}")
    assert env.secrets("NAME") == (bytes(32), bytes(32))
    value(f"1:{KEY},3:{KEY}")
    assert list(env.versioned_secrets("NAME")) == [1, 3]
    value(f"3:{KEY},1:{KEY}")
    assert list(env.versioned_secrets("NAME")) == [3, 1]


def test_a_value_can_stand_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("from the file\n")
    monkeypatch.setenv("NAME_FILE", str(tmp_path / "secret"))
    assert env.text("NAME") == "from the file"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda: env.flag("NAME", default=True), "maybe"),
        (lambda: env.whole("NAME", 1), "1.5"),
        (lambda: env.whole("NAME", 1), "-1"),
        (lambda: env.whole("NAME", 1), "\u0663"),
        (lambda: env.whole("NAME", 1, least=1), "0"),
        (lambda: env.seconds("NAME", 1), "nan"),
        (lambda: env.seconds("NAME", 1), "1e3"),
        (lambda: env.seconds("NAME", 1), "0"),
        (lambda: env.url("NAME", "", schemes=("http",)), "ftp://a"),
        (lambda: env.url("NAME", "", schemes=("http",)), "http://"),
        (lambda: env.networks("NAME"), "10.0.0.1/8"),
        (lambda: env.networks("NAME"), "a b"),
        (lambda: env.secrets("NAME"), "short"),
        (lambda: env.secrets("NAME"), base64.b64encode(bytes(31)).decode()),
        (lambda: env.versioned_secrets("NAME"), KEY),
        (lambda: env.versioned_secrets("NAME"), f"1:{KEY},1:{KEY}"),
        (lambda: env.versioned_secrets("NAME"), f"0:{KEY}"),
    ],
)
def test_a_malformed_value_is_refused_by_name(value, read, text):
    value(text)
    with pytest.raises(ImproperlyConfigured, match="NAME"):
        read()
