"""The demo's mailbox: mail on a page, in the demo alone."""

import pytest
from django.core import mail
from django.urls import NoReverseMatch, reverse

from config.kit import ids
from dashboard import mailbox
from dashboard.views.people.mailbox import index


@pytest.fixture
def sent(settings) -> str:
    """A subject that was sent through the mailbox."""
    settings.MAILERS = {"default": {"BACKEND": "dashboard.mailbox.Mailbox"}}
    subject = f"subject {ids.uuid7().hex}"
    mail.send_mail(subject, "<b>Look</b>: http://localhost:8000/stop/abc", None, ["a@example.com"])
    return subject


def test_the_newest_comes_first(sent, settings):
    mail.send_mail("later", "text", None, ["b@example.com"])
    assert [each.subject for each in mailbox.newest()[:2]] == ["later", sent]
    assert len(mailbox.newest()) <= mailbox.KEPT


def test_the_page_shows_text_as_text_and_links_as_links(sent, rf):
    page = index(rf.get("/demo/mailbox"))
    text = page.content.decode()
    assert sent in text
    assert "&lt;b&gt;Look&lt;/b&gt;" in text
    assert 'href="http://localhost:8000/stop/abc"' in text
    assert page["Cache-Control"] == "no-store"


def test_it_has_no_address_outside_the_demo(client):
    assert client.get("/demo/mailbox").status_code == 404
    with pytest.raises(NoReverseMatch):
        reverse("dashboard:mailbox")
