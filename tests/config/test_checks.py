"""Nothing starts with an example's secrets or an open door."""

import subprocess
import sys

import pytest

from config.checks import startup_errors


def test_the_tests_own_settings_pass():
    assert startup_errors() == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SECRET_KEY", "short", "SECRET_KEY"),
        ("SECRET_KEY", "django-insecure-" + "x" * 50, "SECRET_KEY"),
        ("SECRET_KEY", "", "SECRET_KEY"),
        ("ENCRYPTION_KEYS", (), "ENCRYPTION_KEYS"),
        ("KEY_PEPPERS", {}, "KEY_PEPPERS"),
        ("ALLOWED_HOSTS", ["*"], "ALLOWED_HOSTS"),
        ("HOLD_HEARTBEAT_S", 20.0, "HOLD_LEASE_S"),
        ("PLATFORM_CURRENCY", "usd", "PLATFORM_CURRENCY"),
        ("TERMS_VERSION", "", "TERMS_VERSION"),
        ("TERMS_VERSION", "x" * 21, "TERMS_VERSION"),
    ],
)
def test_a_bad_setting_is_named(settings, name, value, said):
    setattr(settings, name, value)
    (error,) = startup_errors()
    assert said in error


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("http://localhost:8000", False),
        ("http://[::1]:8000", False),
        ("https://pay.example.com", True),
        ("http://localhost.example.com", True),
    ],
)
def test_everybodys_mail_is_shown_on_ones_own_machine_only(settings, url, is_refused):
    settings.BASE_URL, settings.DEMO_MAILBOX = url, True
    assert ["DEMO_MAILBOX" in each for each in startup_errors()] == [True] * is_refused


def test_optimised_python_is_refused():
    done = subprocess.run(
        [sys.executable, "-O", "manage.py", "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "paywalls.E004" in done.stderr
