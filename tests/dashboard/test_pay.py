import re

import pytest
from django.test import Client

from config.kit import ids
from paywalls.links import checkout_token
from tests.factories import EndUserFactory, PaywallFactory


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


class TestPay:
    def test_it_says_what_to_do_and_no_more(self, client):
        paywall = PaywallFactory.create(name="<b>Poems</b>")
        user = EndUserFactory.create(paywall=paywall, external_id="someone@example.com")
        answer = client.get(f"/pay/{checkout_token(user.pk)}")
        page = answer.content.decode()
        assert answer.status_code == 200
        assert "&lt;b&gt;Poems" in page
        assert ids.encode("usr", user.pk) in page
        assert "someone@example.com" not in page

    def test_its_headers(self, client):
        user = EndUserFactory.create()
        answer = client.get(f"/pay/{checkout_token(user.pk)}")
        assert answer["X-Robots-Tag"] == "noindex, nofollow"
        assert answer["Cache-Control"] == "no-store"
        assert answer["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer["Content-Security-Policy"]
        assert not answer.cookies

    @pytest.mark.parametrize("token", ["a" * 42, "x", "{{7*7}}"])
    def test_other_links_lead_nowhere(self, client, token: str):
        answer = client.get(f"/pay/{token}")
        assert answer.status_code == 404
        assert "Not found" in answer.content.decode()
        assert '<a href="/">' in answer.content.decode()

    def test_a_user_that_is_gone(self, client):
        assert client.get(f"/pay/{checkout_token(ids.uuid7())}").status_code == 404

    def test_it_is_not_changed(self, client):
        user = EndUserFactory.create()
        assert client.put(f"/pay/{checkout_token(user.pk)}").status_code == 405


class TestHome:
    def test_it_says_what_this_is(self, client):
        answer = client.get("/")
        assert answer.status_code == 200
        assert 'href="/v1/openapi.json"' in answer.content.decode()
        assert 'href="/admin/"' in answer.content.decode()


def test_pages_have_no_inline_script_or_style(client):
    for address in ("/", "/nowhere"):
        page = client.get(address).content.decode()
        assert "<script" not in page
        assert "style=" not in page
        assert "<style" not in page
        icon = client.get(re.search(r'rel="icon"[^>]*href="([^"]+)"', page)[1])
        assert icon["Content-Type"] == "image/svg+xml"
        icon.close()


def test_the_css_is_there(client):
    answer = client.get("/static/css/app.css")
    assert answer.status_code == 200
    assert b"prefers-color-scheme: dark" in b"".join(answer.streaming_content)
