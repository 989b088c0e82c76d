"""Mail to the owners of a team, once what it tells of is committed."""

import smtplib
from functools import partial

import structlog
from django.core.mail import send_mail
from django.db import transaction

from config.kit import ids
from config.kit.db import require_transaction
from paywalls.models import Membership, Team

log = structlog.get_logger(__name__)


def tell_owners(team: Team, *, subject: str, text: str) -> None:
    """Mail each owner after the caller's transaction; a mail that fails is only logged."""
    require_transaction()
    owners = Membership.objects.filter(team=team, role=Membership.Role.OWNER)
    emails = list(owners.values_list("user__email", flat=True))
    transaction.on_commit(partial(_send, team, subject, text, emails))


def _send(team: Team, subject: str, text: str, emails: list[str]) -> None:
    try:
        for email in emails:
            send_mail(subject, text, None, [email])
    except (OSError, smtplib.SMTPException) as problem:
        log.warning("mail.failed", team=ids.encode("team", team.pk), problem=type(problem).__name__)
