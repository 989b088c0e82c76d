"""`create_developer`: somebody who owns paywalls."""

import secrets
import sys
from typing import Any, Final

from django.core.management.base import CommandParser

from config import env
from config.kit import ids
from config.kit.commands import ActionCommand, Answer
from paywalls import teams

PASSWORD_BYTES: Final = 15


class Command(ActionCommand):
    """Makes a developer and their team."""

    help = (
        "Make a developer with a team of their own. The password comes from --password-stdin or "
        "from DEVELOPER_PASSWORD (or a file named by DEVELOPER_PASSWORD_FILE); else one is made "
        "and shown once."
    )
    positionals = ("email",)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="what the developer logs in with")
        parser.add_argument("--name", default="", help="the developer's name")
        parser.add_argument("--team", default="", help="name of the team (name or e-mail)")
        parser.add_argument(
            "--staff", action="store_true", help="one of your own people: may use /admin/"
        )
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from standard input"
        )

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        given = sys.stdin.readline().rstrip("\r\n") if options["password_stdin"] else ""
        given = given or env.text("DEVELOPER_PASSWORD")
        password = given or secrets.token_urlsafe(PASSWORD_BYTES)
        user, team = teams.create_developer(
            options["email"],
            password,
            name=options["name"],
            team_name=options["team"],
            is_staff=options["staff"],
            actor=actor,
        )
        facts = {
            "id": ids.encode("dev", user.pk),
            "email": user.email,
            "team": ids.encode("team", team.pk),
            "team_name": team.name,
        }
        text = (
            f"Made developer {user.email} ({facts['id']}) with team {team.name} ({facts['team']})."
        )
        if not given:
            facts["password"] = password
            text += f"\nPassword, shown only now: {password}"
        return Answer(text=text, facts=facts)
