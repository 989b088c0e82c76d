"""Django's command line. Schema changes run as the owner of the tables, all else as the product."""

import os
import sys

OWNER_COMMANDS = ("migrate",)
LOCK_TIMEOUT = "-c lock_timeout=2s"
"""A migration that waits for a table makes everyone else wait behind it: it fails instead."""


def main() -> None:
    """Run the command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.argv[1:2] and sys.argv[1] in OWNER_COMMANDS:
        connect_as_owner()
        os.environ.setdefault("PGOPTIONS", LOCK_TIMEOUT)
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    execute_from_command_line(sys.argv)


def connect_as_owner() -> None:
    """Put the owner's address, or the file that holds it, in the place of the product's."""
    suffixes = ("", "_FILE")
    owner = {suffix: os.environ.get(f"DATABASE_OWNER_URL{suffix}") for suffix in suffixes}
    if not any(owner.values()):
        return
    for suffix, value in owner.items():
        os.environ.pop(f"DATABASE_URL{suffix}", None)
        if value:
            os.environ[f"DATABASE_URL{suffix}"] = value


if __name__ == "__main__":
    main()
