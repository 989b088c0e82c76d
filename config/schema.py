"""Whether the database is of a newer release than this code."""

from collections.abc import Set
from typing import Final

from django.apps import apps
from django.db import DatabaseError, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

NEWER: Final = "The database is of a newer release, which has {}. Start that release."


def newer_migrations() -> list[str]:
    """Migrations of ours that the database has and this code does not know.

    None as well while the database does not answer: it is no reason not to start.
    """
    try:
        applied = set(MigrationRecorder(connections["default"]).applied_migrations())
    except DatabaseError:
        return []
    finally:
        connections.close_all()
    return unknown(applied)


def unknown(applied: Set[tuple[str, str]]) -> list[str]:
    """Those of these (app, name) that are of an installed app and not among its files."""
    loader = MigrationLoader(None)
    replaced = {key for migration in loader.disk_migrations.values() for key in migration.replaces}
    labels = {config.label for config in apps.get_app_configs()}
    found = {key for key in applied if key[0] in labels} - set(loader.disk_migrations) - replaced
    return sorted(f"{app}.{name}" for app, name in found)
