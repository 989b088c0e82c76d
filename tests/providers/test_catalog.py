from typing import Any

import psycopg
import pytest
from django.db import transaction

from paywalls.models import Paywall
from paywalls.pricing import Rates
from providers import catalog, connections
from providers.connections import Draft
from providers.models import Connection, Model
from providers.types import Catalogue, Policy
from tests.factories import ACTOR, PaywallFactory

KEY = "sk-canary-abcdefghij"


@pytest.fixture
def paywall() -> Paywall:
    return PaywallFactory.create()


def connect(paywall: Paywall, name: str, kind: str = "compatible", **draft: Any) -> Connection:
    url = "https://llm.example.com/v1" if kind == "compatible" else ""
    options = {"name": name, "kind": kind, "base_url": url, "key": KEY} | draft
    with transaction.atomic():
        return connections.create(paywall, Draft(**options), actor=ACTOR)


def offer(connection: Connection, name: str, **fields: Any) -> Model:
    return Model.objects.create(
        kind=connection.kind, connection=connection, name=name, source="tests", **fields
    )


def ids_of(found: Catalogue) -> list[str]:
    return list(found.models)


class TestLoad:
    def test_nothing_is_connected(self, paywall: Paywall):
        assert catalog.load(paywall.id) == Catalogue((), {}, {})

    def test_the_owners_order(self, paywall: Paywall):
        second = connect(paywall, "second", position=2)
        first = connect(paywall, "first", position=1)
        for connection in (second, first):
            offer(connection, "m", cost={"prompt": 1, "completion": 2})
        found = catalog.load(paywall.id)
        assert [endpoint.name for endpoint in found.endpoints] == ["first", "second"]
        assert [model.id for model in found.by_upstream["m"]] == ["first/m", "second/m"]
        assert found.models["first/m"].cost == Rates(prompt=1, completion=2)

    def test_an_endpoint_is_ready_to_send(self, paywall: Paywall, settings):
        settings.UPSTREAM_TOTAL_S = 100
        made = connect(
            paywall,
            "main",
            settlement={"client_gone": "drain"},
            timeouts={"idle_s": 7, "first_byte_s": 90},
        )
        (endpoint,) = catalog.load(paywall.id).endpoints
        assert endpoint.connection_id == made.id
        assert (endpoint.scheme, endpoint.host, endpoint.port) == ("https", "llm.example.com", 443)
        assert endpoint.base_path == "/v1"
        assert endpoint.headers == f"Authorization: Bearer {KEY}\r\n".encode()
        assert endpoint.policy == Policy(client_gone="drain")
        assert (endpoint.timeouts.idle_s, endpoint.timeouts.first_byte_s) == (7, 90)
        assert endpoint.timeouts.connect_s == settings.UPSTREAM_CONNECT_S

    def test_what_cannot_work_is_left_out(self, paywall: Paywall, settings):
        connect(paywall, "off")
        Connection.objects.filter(paywall=paywall).update(is_active=False)
        keyless = connect(paywall, "openai", kind="openai")
        Connection.objects.filter(pk=keyless.pk).update(sealed_key=None)
        settings.EGRESS_ALLOW = ("127.0.0.1",)
        connect(paywall, "inside", base_url="http://127.0.0.1:9/v1")
        settings.EGRESS_ALLOW = ()
        connect(paywall, "fine")
        assert [found.name for found in catalog.load(paywall.id).endpoints] == ["fine"]

    def test_other_paywalls_stay_out(self, paywall: Paywall):
        offer(connect(PaywallFactory.create(), "main"), "theirs")
        connect(paywall, "main")
        assert ids_of(catalog.load(paywall.id)) == []

    def test_a_connections_own_row_wins_over_its_kinds(self, paywall: Paywall):
        name = f"own-{paywall.id.hex}"
        Model.objects.create(kind="openai", name=name, source="tests", cost={"prompt": 9})
        plain = connect(paywall, "plain", kind="openai")
        contracted = connect(paywall, "contracted", kind="openai", position=1)
        offer(contracted, name, cost={"prompt": 4, "completion": 0, "cached": 0})
        found = catalog.load(paywall.id)
        assert found.models[f"{plain.name}/{name}"].cost == Rates(prompt=9)
        assert found.models[f"{contracted.name}/{name}"].cost == Rates(prompt=4, cached=0)

    def test_a_connection_can_switch_a_model_of_its_kind_off(self, paywall: Paywall):
        name = f"off-{paywall.id.hex}"
        Model.objects.create(kind="openai", name=name, source="tests")
        made = connect(paywall, "main", kind="openai")
        assert f"main/{name}" in catalog.load(paywall.id).models
        offer(made, name, is_active=False)
        assert f"main/{name}" not in catalog.load(paywall.id).models

    def test_an_unknown_cost_stays_unknown(self, paywall: Paywall):
        offer(connect(paywall, "main"), "m")
        assert catalog.load(paywall.id).models["main/m"].cost is None

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9400", "http://127.0.0.1:9400/v1"])
    def test_the_demo_provider_is_where_the_operator_says(
        self, paywall: Paywall, settings, url: str
    ):
        settings.DEMO_PROVIDER_URL = url
        connect(paywall, "demo", kind="demo", key="")
        (endpoint,) = catalog.load(paywall.id).endpoints
        assert (endpoint.host, endpoint.port, endpoint.base_path) == ("127.0.0.1", 9400, "/v1")

    def test_queries_do_not_grow_with_connections(
        self, paywall: Paywall, django_assert_num_queries
    ):
        for number in range(5):
            offer(connect(paywall, f"c{number}"), "m")
        with django_assert_num_queries(2):
            catalog.load(paywall.id)


class TestNotify:
    @pytest.fixture
    def heard(self, runtime: psycopg.Connection):
        runtime.execute("LISTEN paywalls_config")

        def take() -> set[str]:
            return {note.payload for note in runtime.notifies(timeout=0.05)}

        return take

    def test_changes_reach_every_process(self, paywall: Paywall, heard):
        made = connect(paywall, "main")
        assert str(paywall.id) in heard()
        own = offer(made, "m")
        assert str(paywall.id) in heard()
        Model.objects.filter(pk=own.pk).update(cost={"prompt": 1})
        assert str(paywall.id) in heard()

    def test_a_model_of_a_kind_concerns_everyone(self, paywall: Paywall, heard):
        Model.objects.create(kind="openai", name=f"n-{paywall.id.hex}", source="tests")
        assert "" in heard()

    def test_noted_trouble_concerns_nobody(self, paywall: Paywall, heard):
        made = connect(paywall, "main")
        heard()
        connections.note_trouble(made.id, "401")
        assert str(paywall.id) not in heard()
