"""People with a wallet of their own: made by a proved address, bound by terms, closed for good."""

from django.db import IntegrityError, transaction

from config.kit import clock
from config.kit.db import require_transaction
from paywalls import audit
from paywalls.models import LoginCode, Person, PersonSession


def of_email(email: str) -> Person:
    """The person behind a proved address, made at first sight, in the caller's transaction."""
    require_transaction()
    if known := Person.objects.filter(email=email).first():
        return known
    try:
        with transaction.atomic():
            person = Person.objects.create(email=email)
    except IntegrityError:  # In two browsers at once.
        return Person.objects.get(email=email)
    _note(person, "person.created")
    return person


def accept_terms(person: Person, version: str) -> None:
    """Put on record that a person agrees to this version, in the caller's transaction."""
    require_transaction()
    person.terms_version = version
    person.terms_accepted_at = clock.now()
    person.save(update_fields=["terms_version", "terms_accepted_at"])
    _note(person, "person.terms_accepted", after={"version": version})


def close(person: Person) -> None:
    """Forget who this was, for ever, in the caller's transaction: the sums stay under the bare id.

    The caller has made sure that no money is left and has withdrawn every grant. The same address
    would be a new person.
    """
    require_transaction()
    PersonSession.objects.filter(person=person).delete()
    LoginCode.objects.filter(email=person.email).delete()
    person.email = None
    person.name = ""
    person.closed_at = clock.now()
    person.save(update_fields=["email", "name", "closed_at"])
    _note(person, "person.closed")


def _note(person: Person, action: str, *, after: audit.Facts = None) -> None:
    audit.record(
        paywall=None,
        actor=person.public_id,
        action=action,
        subject=person.public_id,
        after=after,
    )
