"""Django's view of this app."""

from django.apps import AppConfig


class ProvidersConfig(AppConfig):
    """Names the app."""

    name = "providers"
