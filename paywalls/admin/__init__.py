"""The admin site's pages for this app: everything is shown, changes go through the services."""

from paywalls.admin import configuration, keys, paywalls, people, prices

__all__ = ["configuration", "keys", "paywalls", "people", "prices"]
