"""Django's view of this app."""

from django.apps import AppConfig


class PaywallsConfig(AppConfig):
    """Names the app."""

    name = "paywalls"
