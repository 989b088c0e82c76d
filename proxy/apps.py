"""Django's view of this app."""

from django.apps import AppConfig


class ProxyConfig(AppConfig):
    """Names the app."""

    name = "proxy"
