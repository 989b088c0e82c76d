"""Rows that tests start from. Each call makes a tenant of its own unless it is given one."""

from django.db import transaction
from factory.declarations import LazyFunction, Sequence, SubFactory
from factory.django import DjangoModelFactory

from config.kit import ids
from paywalls import keys
from paywalls.models import ApiKey, EndUser, Membership, Paywall, PriceVersion, Team, User
from providers.models import Connection

ACTOR = "command:tests"


class DeveloperFactory(DjangoModelFactory[User]):
    class Meta:
        model = User

    email = LazyFunction(lambda: f"{ids.uuid7().hex}@example.test")


class TeamFactory(DjangoModelFactory[Team]):
    class Meta:
        model = Team

    name = LazyFunction(lambda: f"team {ids.uuid7().hex}")


class MembershipFactory(DjangoModelFactory[Membership]):
    class Meta:
        model = Membership

    team = SubFactory(TeamFactory)
    user = SubFactory(DeveloperFactory)
    role = Membership.Role.OWNER


class PaywallFactory(DjangoModelFactory[Paywall]):
    class Meta:
        model = Paywall

    team = SubFactory(TeamFactory)
    name = LazyFunction(lambda: f"paywall {ids.uuid7().hex}")
    mode = Paywall.Mode.DEFAULT


class PriceVersionFactory(DjangoModelFactory[PriceVersion]):
    """By default every model costs what the provider takes and 20 % more."""

    class Meta:
        model = PriceVersion

    paywall = SubFactory(PaywallFactory)
    number = 1
    rules = LazyFunction(
        lambda: [
            {"match": "default", "value": "", "basis": "cost", "rates": {"markup_bps": 2_000}},
        ]
    )
    actor = ACTOR


class EndUserFactory(DjangoModelFactory[EndUser]):
    """A row without a wallet behind it: where money moves, let the gate make the user."""

    class Meta:
        model = EndUser

    paywall = SubFactory(PaywallFactory)
    livemode = True
    external_id = LazyFunction(lambda: f"user_{ids.uuid7().hex}")
    wallet_id = LazyFunction(ids.uuid7)


class ConnectionFactory(DjangoModelFactory[Connection]):
    class Meta:
        model = Connection

    paywall = SubFactory(PaywallFactory)
    name = Sequence(lambda number: f"demo{number}")
    kind = Connection.Kind.DEMO
    base_url = "http://127.0.0.1:9/v1"


def make_key(
    paywall: Paywall, *, name: str = "tests", livemode: bool = True, **options
) -> tuple[ApiKey, str]:
    """A key and its text; `options` are those of `paywalls.keys.KeyOptions`."""
    with transaction.atomic():
        return keys.mint(
            paywall, keys.KeyOptions(name=name, livemode=livemode, **options), actor=ACTOR
        )
