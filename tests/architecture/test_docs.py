"""Whatever people can set, call or meet is documented, and every link leads somewhere."""

import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from django.core.management import get_commands

from config.kit import limits
from config.kit.money import format_nanos, parse_nanos
from dashboard.views.docs import ORDER
from paywalls import keys
from paywalls.models import Limit
from paywalls.pricing import Rates, Usage, price_nanos
from providers.adapters.registry import ADAPTERS
from providers.demo.models import MODELS
from providers.types import Policy
from proxy.metrics import Metrics
from proxy.routes import ROUTES
from tests.architecture.test_settings import EXPLAINED
from tests.support.documents import DOCS, anchors, code, documents, links, rows
from tests.support.sources import APPS, ROOT

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
DECISION_PARTS = ("Context", "Decision", "Consequences", "Alternatives", "References")
PRICE = re.compile(r"([0-9]+) \u00d7 ([0-9.]+)")


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text()


def all_pages() -> str:
    return "\n".join(path.read_text() for path in sorted(DOCS.glob("*.md")))


def table(name: str) -> dict[str, list[str]]:
    """The rows of all tables of a page, by their first cell."""
    return {row[0]: row[1:] for row in rows(page(name))}


def broken_links(path: Path, text: str) -> list[str]:
    """Links to files that are not there, or to headings that they do not have."""
    broken = []
    for link in links(text):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        file = path.parent / target if target else path
        inner = text if file == path else file.read_text() if file.is_file() else None
        if inner is None or (anchor and anchor not in anchors(inner)):
            broken.append(link)
    return broken


def missing_paths(text: str) -> list[str]:
    """What looks like a path of the project, between backticks, and is none. `<…>` is anything."""
    found = [re.sub(r"<[^>]+>", "*", each) for each in code(text)]
    paths = [each for each in found if re.fullmatch(r"([\w.*-]+/)+([\w.*-]+\.[a-z]+)?", each)]
    return [each for each in paths if not any(ROOT.glob(each.rstrip("/")))]


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path):
    assert broken_links(path, path.read_text()) == []


def test_the_rule_for_links():
    text = "# A page\n\n[a](#a-page) [b](#nowhere) [c](no.md) [d](errors.md#money) [e](https://x)"
    assert broken_links(DOCS / "index.md", text) == ["#nowhere", "no.md"]


@pytest.mark.parametrize("path", [CONTRIBUTING, *DECISIONS], ids=lambda path: path.stem)
def test_paths_exist(path: Path):
    assert missing_paths(path.read_text()) == []


def test_the_rule_for_paths():
    text = "`run` `a.b()` `no/such.py` `config/<what>.py` `config/kit/` `nowhere/`"
    assert missing_paths(text) == ["no/such.py", "nowhere/"]


def test_every_page_is_in_the_navigation_and_in_the_index():
    names = {path.stem for path in DOCS.glob("*.md")}
    assert set(ORDER) == names
    assert {f"{name}.md" for name in names - {"index"}} == set(links(page("index")))


def test_every_decision_is_listed_and_complete():
    assert [f"decisions/{path.name}" for path in DECISIONS] == list(links(page("decisions")))
    for path in DECISIONS:
        text = path.read_text()
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(DECISION_PARTS), path
        assert "## Decision\n\n**" in text, path


def test_every_setting_with_its_default():
    settings = table("operations")
    for name, default in re.findall(rf"{EXPLAINED.pattern}(.*)$", example(), re.MULTILINE):
        assert settings[name][0] == default, name


def example() -> str:
    return (ROOT / ".env.example").read_text()


def test_every_limit_with_its_value():
    named = {name: value for name, value in vars(limits).items() if name.isupper()}
    documented = table("limits")
    assert {name: documented.get(name, [""])[0] for name in named} == {
        name: f"{value:,}" for name, value in named.items()
    }


def test_every_command_has_a_section():
    ours = {name for name, app in get_commands().items() if app in APPS}
    assert ours - set(re.findall(r"^### (\w+)$", page("commands"), re.MULTILINE)) == set()


def test_every_route_and_metric():
    words = set(code(all_pages()))
    named = " ".join(words)
    routes = [route.name for route in ROUTES if route.name.removeprefix("/v1") not in named]
    assert routes == []
    metrics = {family.name for family in Metrics().collect()}
    assert {name for name in metrics if not words & {name, f"{name}_total"}} == set()


def test_every_scope_limit_and_demo_model():
    assert [scope for scope in keys.SCOPES if scope not in page("commands")] == []
    assert set(Limit.Kind.values) - set(table("concepts")) == set()
    assert {f"demo/{name}" for name in MODELS} - set(table("demo-models")) == set()


def test_every_kind_of_provider_with_its_address_and_policy():
    kinds = {row[0]: row for row in rows(page("providers"))}
    assert set(ADAPTERS) - set(kinds) == set()
    for kind, adapter in ADAPTERS.items():
        assert adapter.default_base_url in kinds[kind][2]
        assert ("needed" in kinds[kind][3]) is adapter.needs_key
        told = table("concepts")[kind]
        assert told == [getattr(adapter.policy, rule.name) for rule in fields(Policy)]


def test_every_settlement_rule_with_its_words():
    for rule, hint in get_type_hints(Policy).items():
        told = table("concepts")[rule][0]
        assert set(re.findall(r"\w+", told)) == set(get_args(hint)), rule


def recomputed(row: Iterable[str]) -> str:
    """The charge of a row of the table of prices: prompt, completion, markup, fee, minimum."""
    prompt, completion, markup, fee, minimum = row
    (prompt_tokens, prompt_price), (completion_tokens, completion_price) = (
        PRICE.findall(cell)[0] for cell in (prompt, completion)
    )
    rates = Rates(
        prompt=nanos(prompt_price),
        completion=nanos(completion_price),
        markup_bps=int(markup.removesuffix(" %")) * 100,
        request=nanos(fee),
        minimum=nanos(minimum),
    )
    usage = Usage(prompt=int(prompt_tokens), completion=int(completion_tokens))
    return format_nanos(price_nanos(usage, rates))


def nanos(text: str) -> int:
    amount = parse_nanos(text)
    assert amount is not None, text
    return amount


def test_the_examples_of_prices_recompute():
    examples = [row for row in rows(page("concepts")) if PRICE.match(row[0])]
    assert len(examples) >= 3
    assert [recomputed(row[:5]) for row in examples] == [row[5] for row in examples]
