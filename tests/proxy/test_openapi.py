"""The document says what the routes do."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from providers.models import Model
from proxy import openapi
from proxy.asgi import Application
from proxy.routes import ROUTES
from tests.factories import ConnectionFactory
from tests.proxy import edge
from tests.proxy.server import serving
from tests.proxy.tenant import Tenant, make_tenant

CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def document() -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(openapi.document())
    return found


def test_it_has_exactly_the_routes_that_exist():
    described = {
        (f"/v1{path}", method.upper())
        for path, methods in document()["paths"].items()
        for method in methods
    }
    assert described == {(route.name, method) for route in ROUTES for method in route.methods}


def test_every_reference_leads_somewhere():
    root, followed = document(), 0

    def walk(value: object) -> None:
        nonlocal followed
        if isinstance(value, dict):
            if reference := value.get("$ref"):
                found = root
                for part in reference.removeprefix("#/").split("/"):
                    found = found[part]
                followed += 1
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(root)
    assert followed


@pytest.mark.parametrize(
    ("address", "kind"),
    [("/v1/openapi.json", "application/json"), ("/v1/openapi.yml", "application/yaml")],
)
async def test_it_is_served_without_a_key(app: Application, address: str, kind: str):
    answer = await edge.send(app, "GET", address)
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.json["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    ("token", "status"), [("a" * 42, 303), ("a" * 41, 404), ("a" * 41 + "%2f", 404), ("é", 404)]
)
async def test_the_link_leads_to_its_page(app: Application, token: str, status: int):
    answer = await edge.send(app, "GET", f"/v1/checkout/{token}")
    assert answer.status == status
    if status == 303:
        assert answer.headers["location"] == f"/pay/{token}"


schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Tenant]]:
    """A base URL, and a tenant whose one model can be called but never answers."""
    with serving(Application()) as (host, port):
        tenant = make_tenant(Application())
        made = ConnectionFactory.create(paywall=tenant.paywall, name="demo")
        Model.objects.create(
            kind=made.kind, connection=made, name="echo", cost={"prompt": 1}, source="tests"
        )
        yield f"http://{host}:{port}/v1", tenant


@pytest.mark.slow
@schema.parametrize()
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_random_requests_get_documented_answers(case, served):
    """No 5xx of ours, and no status, type or shape that the document does not name."""
    base_url, tenant = served
    sent = {"Authorization": f"Bearer {tenant.token}"}
    response = case.call_and_validate(base_url=base_url, headers=sent, checks=CHECKS)
    # 502: the provider does not answer.
    assert response.status_code < 500 or response.status_code == 502
