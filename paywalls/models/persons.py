"""People with a wallet of their own, which every Shared paywall they allow may charge."""

from django.db import models
from django.db.models.functions import Lower

from config.kit import clock, ids


class Person(models.Model):
    """Who pays in Shared mode. Apart from developers: same address, other account.

    Their wallets are the ledger's accounts of kind wallet with this id as owner, live and test.
    A closed one has no address any more; the sums stay.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    email = models.EmailField(unique=True, null=True)
    name = models.CharField(max_length=100, blank=True)
    terms_version = models.CharField(max_length=20, blank=True, help_text="the last accepted")
    terms_accepted_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name_plural = "people"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="person_email_lower_case"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.encode("per", self.id)


class LoginCode(models.Model):
    """One wish to sign in: a code and a link in one mail, whichever comes back first.

    browser: what the asking browser holds in a cookie; only there does the code count.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    email = models.EmailField(db_index=True)
    browser_hash = models.BinaryField(max_length=32, unique=True)
    code_hash = models.BinaryField(max_length=32)
    link_hash = models.BinaryField(max_length=32, unique=True)
    next_path = models.CharField(max_length=300, blank=True)
    tries = models.PositiveSmallIntegerField(default=0, help_text="wrong codes so far")
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    def __str__(self) -> str:
        return f"code {self.id}"


class PersonSession(models.Model):
    """One browser in which a person is signed in. Signing out deletes it."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="sessions")
    token_hash = models.BinaryField(max_length=32, unique=True)
    browser = models.CharField(max_length=60, help_text="as people know it: Firefox on Linux")
    seen_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField(help_text="however busy it is")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    def __str__(self) -> str:
        return f"{self.browser} of {self.person_id}"
