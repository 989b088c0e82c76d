"""Django's view of this app."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """Names the app."""

    name = "dashboard"
