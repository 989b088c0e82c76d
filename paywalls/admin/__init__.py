"""The admin site's pages for this app: everything is shown, changes go through the services."""

from paywalls.admin import configuration, grants, keys, paywalls, people, persons, prices

__all__ = ["configuration", "grants", "keys", "paywalls", "people", "persons", "prices"]
