"""No key and no body is ever written."""

import json
import logging
import logging.config

import pytest
import structlog

from config.logs import REDACTED, logging_config, redact

KEY = "sk-paywalls-v1-" + "a" * 46


@pytest.mark.parametrize(
    "secret",
    [KEY, "rk_live_abcdefgh1234", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "Bearer abcdefgh1234"],
)
def test_secrets_in_text_are_blanked(secret):
    assert secret not in redact(None, "info", {"event": f"called with {secret}!"})["event"]


def test_secret_fields_are_blanked_at_any_depth():
    event = {"headers": {"Authorization": "x", "accept": "y"}, "list": [{"password": "z"}]}
    assert redact(None, "info", event) == {
        "headers": {"Authorization": REDACTED, "accept": "y"},
        "list": [{"password": REDACTED}],
    }


@pytest.fixture
def lines(capsys):
    """What was written, as objects."""
    logging.config.dictConfig(logging_config(as_json=True))
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def fail():
    raise ValueError(KEY)


def test_every_logger_writes_json_without_keys(lines):
    structlog.get_logger("paywalls.test").info("first", key=KEY, model="m")
    try:
        fail()
    except ValueError:
        logging.getLogger("uvicorn.error").exception("second %s", KEY)
    first, second = lines()
    assert (first["event"], first["key"], first["model"]) == ("first", REDACTED, "m")
    assert second["event"] == f"second {REDACTED}"
    assert KEY not in json.dumps(second)
    assert second["logger"] == "uvicorn.error"
