from uuid import UUID

import pytest

from providers.adapters.registry import ADAPTERS
from providers.catalog import catalogue
from providers.routing import candidates
from providers.types import CatalogModel, Endpoint, Policy, Timeouts


def endpoint(name: str, kind: str) -> Endpoint:
    return Endpoint(
        connection_id=UUID(int=1),
        name=name,
        kind=kind,
        adapter=ADAPTERS[kind],
        scheme="https",
        host="api.example.com",
        port=443,
        base_path="/v1",
        headers=b"",
        policy=Policy(),
        timeouts=Timeouts(connect_s=1, first_byte_s=1, idle_s=1, total_s=1),
    )


def model(found: Endpoint, name: str) -> CatalogModel:
    return CatalogModel(
        id=f"{found.name}/{name}",
        upstream=name,
        endpoint=found,
        display_name=name,
        description="",
        context_tokens=None,
        output_tokens_max=None,
        cost=None,
        created=0,
    )


ROUTER = endpoint("router", "openrouter")
MAIN = endpoint("main", "openai")
SPARE = endpoint("spare", "openai")
CATALOGUE = catalogue(
    [ROUTER, MAIN, SPARE],
    [
        model(ROUTER, "openai/gpt-4o-mini"),
        model(ROUTER, "meta/llama"),
        model(MAIN, "gpt-4o-mini"),
        model(SPARE, "gpt-4o-mini"),
        model(SPARE, "gpt-5"),
    ],
)
ALIASES = {"fast": "gpt-5", "faster": "fast", "loop": "loop", "a": "b", "b": "a", "gpt-5": "gpt-5"}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("gpt-4o-mini", ["main/gpt-4o-mini", "spare/gpt-4o-mini"]),
        ("spare/gpt-4o-mini", ["spare/gpt-4o-mini"]),
        ("openai/gpt-4o-mini", ["main/gpt-4o-mini", "spare/gpt-4o-mini"]),
        ("openrouter/meta/llama", ["router/meta/llama"]),
        ("router/openai/gpt-4o-mini", ["router/openai/gpt-4o-mini"]),
        ("meta/llama", ["router/meta/llama"]),
        ("fast", ["spare/gpt-5"]),
        ("faster", ["spare/gpt-5"]),
        ("gpt-5", ["spare/gpt-5"]),
        ("loop", []),
        ("a", []),
        ("main/gpt-5", []),
        ("gpt", []),
        ("", []),
        ("/", []),
        ("../main/gpt-4o-mini", []),
    ],
)
def test_first_match(asked: str, found: list[str]):
    chosen = candidates(asked, aliases=ALIASES, catalogue=CATALOGUE)
    assert [model.id for model in chosen] == found


def test_the_whole_id_is_matched_where_no_connection_or_kind_has_the_rest():
    only_router = catalogue([ROUTER], [model(ROUTER, "openai/gpt-4o-mini")])
    chosen = candidates("openai/gpt-4o-mini", aliases={}, catalogue=only_router)
    assert [model.id for model in chosen] == ["router/openai/gpt-4o-mini"]
