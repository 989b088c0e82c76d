"""`set_member`: who belongs to a team, in which role."""

from typing import Any

from django.core.management.base import CommandParser

from config.kit import ids
from config.kit.commands import ActionCommand, Answer
from config.kit.errors import InvalidRequestError
from paywalls import lookup, teams


class Command(ActionCommand):
    """Takes a developer into a team, changes the role, or takes them out."""

    help = (
        "Take a developer into a team or change the role: owner (everything), admin (all but "
        "deleting the team and pay-out destinations), developer (configuration and keys, no money "
        "out), viewer (reads). A team always keeps an owner."
    )
    positionals = ("team", "email")

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("team", help="team_… id, name, or e-mail address of its only member")
        parser.add_argument("email", help="the developer's e-mail address or dev_… id")
        parser.add_argument("--role", default="", help="owner, admin, developer or viewer")
        parser.add_argument("--remove", action="store_true", help="take the developer out")

    def act(self, options: dict[str, Any], actor: str) -> Answer:
        team = lookup.find_team(options["team"])
        user = lookup.find_developer(options["email"])
        if bool(options["role"]) == options["remove"]:
            raise InvalidRequestError("Give either --role or --remove.", param="role")
        if options["remove"]:
            teams.remove_member(team, user, actor=actor)
        else:
            teams.set_role(team, user, options["role"], actor=actor)
        role = teams.role_of(user, team)
        facts = {
            "team": ids.encode("team", team.pk),
            "developer": ids.encode("dev", user.pk),
            "role": role or None,
        }
        is_now = f"is {role} of" if role else "is not in"
        return Answer(text=f"{user.email} {is_now} {team.name}.", facts=facts)
