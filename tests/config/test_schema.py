"""What counts as a migration of a newer release."""

from django.db import connections

from config.schema import newer_migrations, unknown


def test_this_releases_own_database_is_not_newer():
    assert newer_migrations() == []


def test_only_what_no_file_has_and_an_installed_app_should_know():
    applied = {("billing", "0001_initial"), ("billing", "9999_future"), ("removed_app", "0001")}
    assert unknown(applied) == ["billing.9999_future"]


def test_a_database_that_does_not_answer_is_no_reason_not_to_start(monkeypatch):

    monkeypatch.setitem(connections["default"].settings_dict, "PORT", 1)
    connections.close_all()
    assert newer_migrations() == []
