"""Mail: to the owners of a team, once what it tells of is committed; to people with a wallet.

A mail to people is a template in `templates/emails`: its first line is the subject.
"""

import smtplib
from collections.abc import Mapping
from functools import partial
from typing import Final

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string

from config.kit import ids
from config.kit.db import forbid_transaction, require_transaction
from paywalls.models import Membership, Person, Team

log = structlog.get_logger(__name__)

NOWHERE: Final = "django.core.mail.backends.dummy.EmailBackend"


def tell_owners(team: Team, *, subject: str, text: str) -> None:
    """Mail each owner after the caller's transaction; a mail that fails is only logged."""
    require_transaction()
    owners = Membership.objects.filter(team=team, role=Membership.Role.OWNER)
    emails = list(owners.values_list("user__email", flat=True))
    about = ids.encode("team", team.pk)
    transaction.on_commit(partial(_send, emails, subject, text, about=about))


def tell_person(person: Person, template: str, facts: Mapping[str, object]) -> None:
    """Mail a person after the caller's transaction; a mail that fails is only logged."""
    require_transaction()
    if person.email:
        subject, text = _written(template, facts)
        work = partial(_send, [person.email], subject, text, about=person.public_id)
        transaction.on_commit(work)


def send_now(email: str, template: str, facts: Mapping[str, object]) -> bool:
    """Mail an address at once, outside any transaction; whether a server took it."""
    forbid_transaction()
    subject, text = _written(template, facts)
    return _send([email], subject, text, about="login")


def can_send() -> bool:
    """Whether mail leads anywhere."""
    return bool(settings.MAILERS["default"].get("BACKEND") != NOWHERE)


def _written(template: str, facts: Mapping[str, object]) -> tuple[str, str]:
    """Subject, without breaks that would be headers, and text of a mail."""
    subject, _, text = render_to_string(f"emails/{template}.txt", dict(facts)).partition("\n")
    return " ".join(subject.split()), text.strip() + "\n"


def _send(emails: list[str], subject: str, text: str, *, about: str) -> bool:
    try:
        for email in emails:
            send_mail(subject, text, None, [email])
    except (OSError, smtplib.SMTPException) as problem:
        log.warning("mail.failed", about=about, problem=type(problem).__name__)
        return False
    return True
