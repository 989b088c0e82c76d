import re

import pytest
from django.test import Client
from django.urls import Resolver404, resolve

from dashboard.views.docs import ORDER, load, slug, url_of
from tests.support.documents import DOCS

NAMES = [path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")]
HREF = re.compile(r'href="(/[^"#]*)?(?:#([^"]*))?"')


def get(client: Client, name: str) -> str:
    answer = client.get(url_of(name))
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_served(client: Client, name: str):
    shown = get(client, name)
    page = load(name)
    assert page
    assert f"<title>{page.title} · Paywalls</title>" in shown
    assert shown.count('aria-current="page"') == 1


@pytest.mark.parametrize("name", NAMES)
def test_links_and_anchors_lead_somewhere(client: Client, name: str):
    shown = get(client, name)
    for path, anchor in HREF.findall(shown):
        if path and not path.startswith("/static/"):
            resolve(path)
        target = client.get(path).content.decode() if path.startswith("/docs/") else shown
        assert not anchor or f'id="{anchor}"' in target, (path, anchor)


def test_the_navigation_can_be_skipped(client: Client):
    shown = get(client, "index")
    assert shown.index('class="skip" href="#content"') < shown.index("<nav")
    assert 'id="content" tabindex="-1"' in shown


def test_the_start_lists_all(client: Client):
    shown = get(client, "index")
    assert all(f'href="{url_of(name)}"' in shown for name in ORDER)
    assert client.get("/docs", follow=True).redirect_chain == [("/docs/", 301)]
    assert 'href="/docs/"' in client.get("/").content.decode()


@pytest.mark.parametrize("name", ["nowhere", "page", "0001-one-gate-in-sql", "..%2Fbase"])
def test_what_is_no_page(client: Client, name: str):
    assert client.get(f"/docs/{name}/").status_code == 404
    assert client.get("/docs/decisions/errors/").status_code == 404


def test_tables_code_and_headings(client: Client):
    shown = get(client, "errors")
    assert '<div class="table" role="group" tabindex="0" aria-label="Table"><table>' in shown
    assert shown.count("<h1") == 1
    assert '<a href="#money">Money</a>' in shown, "what stands on this page"
    assert '<h2 id="money">Money</h2>' in shown
    assert '<code class="language-json">' in shown
    assert not re.search(r"<script|style=|onclick|<iframe", shown)


def test_placeholders_of_messages_are_shown_as_they_are(client: Client):
    assert "{{url}}" in get(client, "commands")


def test_pages_are_only_read(client: Client):
    assert client.post("/docs/").status_code == 405


def test_anchors_are_those_of_github():
    assert (
        slug("Local models: Ollama, vLLM and the like") == "local-models-ollama-vllm-and-the-like"
    )


def test_the_rule_for_links():
    with pytest.raises(Resolver404):
        resolve("/docs/a/b/c/")
