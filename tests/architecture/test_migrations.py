"""The migrations make the tables that the models describe."""

from django.apps import apps
from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from tests.support.sources import APPS


def missing(models_now: ProjectState) -> list[str]:
    """What `makemigrations` would write, without a database."""
    loader = MigrationLoader(None)
    detector = MigrationAutodetector(loader.project_state(), models_now)
    changes = detector.changes(graph=loader.graph)
    return [
        f"{app}: {operation.describe()}"
        for app in APPS
        for migration in changes.get(app, [])
        for operation in migration.operations
    ]


def test_no_migration_is_missing():
    assert missing(ProjectState.from_apps(apps)) == []


def test_the_rule():
    state = ProjectState.from_apps(apps)
    user: ModelState = state.models["paywalls", "user"]
    user.fields["forgotten"] = models.IntegerField(default=0)
    assert missing(state) == ["paywalls: Add field forgotten to user"]
