"""Finds tenants' things by what people type: an id, or a name where only one thing has it."""

from django.db.models import Q

from config.kit import ids
from config.kit.errors import InvalidRequestError
from paywalls.models import ApiKey, Paywall, Team, User

LISTED_MAX = 5


def find_paywall(text: str) -> Paywall:
    """The paywall with this `pw_…` id, or the only one of this name that is not archived.

    Raises: InvalidRequestError.
    """
    if value := ids.decode("pw", text):
        found = list(Paywall.objects.select_related("team").filter(pk=value))
    else:
        named = Paywall.objects.select_related("team").filter(name=text, archived_at=None)
        found = list(named[: LISTED_MAX + 1])
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(paywall.public_id for paywall in found[:LISTED_MAX])
        raise InvalidRequestError(
            f"Several paywalls are called {text!r}: give the id ({several}).", param="paywall"
        )
    raise InvalidRequestError(f"There is no paywall {text!r}.", param="paywall")


def find_key(text: str) -> ApiKey:
    """The key with this `key_…` id, or the only usable one with this name or last four characters.

    Raises: InvalidRequestError.
    """
    related = ApiKey.objects.select_related("paywall", "end_user")
    if value := ids.decode("key", text):
        found = list(related.filter(pk=value))
    else:
        named = related.filter(Q(name=text) | Q(last_four=text), revoked_at=None)
        found = list(named[: LISTED_MAX + 1])
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(key.public_id for key in found[:LISTED_MAX])
        raise InvalidRequestError(
            f"Several keys fit {text!r}: give the id ({several}).", param="key"
        )
    raise InvalidRequestError(f"There is no key {text!r}.", param="key")


def find_team(text: str) -> Team:
    """The team with this `team_…` id, of this name, or of this developer's e-mail address.

    Without a text the only team there is. Raises: InvalidRequestError.
    """
    teams = Team.objects.distinct()
    if value := ids.decode("team", text):
        teams = teams.filter(pk=value)
    elif text:
        email = User.objects.normalize_email(text)
        teams = teams.filter(Q(name=text) | Q(members__email=email))
    found = list(teams[: LISTED_MAX + 1])
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(ids.encode("team", team.pk) for team in found[:LISTED_MAX])
        raise InvalidRequestError(f"Several teams fit: give the id ({several}).", param="team")
    raise InvalidRequestError(
        f"There is no team {text!r}." if text else "Make a developer first: create_developer.",
        param="team",
    )


def find_developer(text: str) -> User:
    """The developer with this e-mail address or `dev_…` id.

    Raises: InvalidRequestError.
    """
    value = ids.decode("dev", text)
    by_email = Q(email=User.objects.normalize_email(text))
    found = User.objects.filter(Q(pk=value) if value else by_email).first()
    if found is None:
        raise InvalidRequestError(f"There is no developer {text!r}.", param="email")
    return found
