"""Loads what every process needs once Django is set up."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Binds shared tasks to the Celery app and registers the start-up checks."""

    name = "config"

    def ready(self) -> None:
        from config import celery, checks  # noqa: F401, PLC0415 - imported for their effect.
