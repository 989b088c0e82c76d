"""A person with a browser, who signs in as people do: by the code in their mail."""

import re
from dataclasses import dataclass, field
from typing import Any

from django.core import mail
from django.db import transaction
from django.test import Client

from config.kit import ids
from paywalls import logins, persons
from paywalls.models import Person

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


@dataclass
class Browser:
    """One browser that checks as strictly as a real one is checked: forms need their token."""

    email: str = field(default_factory=lambda: f"{ids.uuid7().hex}@example.com")
    client: Client = field(
        default_factory=lambda: Client(
            raise_request_exception=False,
            enforce_csrf_checks=True,
            REMOTE_ADDR=f"2001:db8:{ids.uuid7().hex[-4:]}:{ids.uuid7().hex[-4:]}::1",
            HTTP_USER_AGENT=AGENT,
        )
    )

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)

    def send(self, path: str, **fields: str) -> Any:
        """A form, with the token that a page of this site has given."""
        if "csrftoken" not in self.client.cookies:
            self.client.get("/wallet", follow=True)
        token = self.client.cookies["csrftoken"].value
        return self.client.post(path, {"csrfmiddlewaretoken": token, **fields})

    def press(self, path: str, **fields: str) -> Any:
        """Load a page, then send its form with all that it hides in it."""
        page = self.client.get(path).content.decode()
        return self.client.post(path, {**dict(HIDDEN.findall(page)), **fields})

    def ask(self, next_path: str = "") -> Any:
        """Ask for a code."""
        path = "/wallet/login" + (f"?next={next_path}" if next_path else "")
        page = self.client.get(path).content.decode()
        return self.client.post(
            "/wallet/login", {**dict(HIDDEN.findall(page)), "email": self.email}
        )

    def sign_in(self, next_path: str = "") -> Any:
        """The whole way; returns the last answer."""
        self.ask(next_path)
        return self.send("/wallet/login/code", code=self.code())

    def enter(self) -> "Browser":
        """Signed in without the way there."""
        with transaction.atomic():
            person = persons.of_email(self.email)
            self.client.cookies["person"] = logins.start_session(person, "Firefox on Linux")
        return self

    @property
    def person(self) -> Person:
        return Person.objects.get(email=self.email)

    def mails(self) -> list[str]:
        """The texts that were sent to this person, the newest last."""
        return [str(each.body) for each in mail.outbox if each.to == [self.email]]

    def code(self) -> str:
        return str(re.findall(r"^(\d{6}) is your code", self.mails()[-1], re.MULTILINE)[0])

    def link(self, folder: str) -> str:
        """The path of a link in the newest mail, such as `/stop/…`."""
        return str(re.findall(rf"http://[^/]+({folder}\S+)", self.mails()[-1])[0])
