import threading

import pytest
from django.db import connection, transaction

from paywalls import audit, rules
from paywalls.models import Change, Paywall
from paywalls.pricing import Rates
from paywalls.types import PriceRule
from tests.factories import ACTOR, PaywallFactory


def record(paywall):
    return audit.record(paywall=paywall, actor=ACTOR, action="test", subject="x")


class TestRecord:
    def test_counts_the_version(self):
        paywall = PaywallFactory()
        with transaction.atomic():
            assert [record(paywall).version, record(paywall).version] == [2, 3]
        assert paywall.version == Paywall.objects.get(pk=paywall.pk).version == 3

    def test_stands_or_falls_with_the_change(self):
        paywall = PaywallFactory()
        with transaction.atomic():
            record(paywall)
            transaction.set_rollback(True)
        assert Paywall.objects.get(pk=paywall.pk).version == 1
        assert not Change.objects.filter(paywall=paywall).exists()

    def test_needs_a_transaction_and_an_actor(self):
        with pytest.raises(AssertionError):
            record(PaywallFactory())
        with pytest.raises(AssertionError), transaction.atomic():
            audit.record(paywall=None, actor="", action="test", subject="x")


def test_changes_at_the_same_time_follow_each_other():
    """Ten prices at once: ten versions, no rule lost."""
    paywall = PaywallFactory()
    errors = []

    def set_one(number):
        rule = PriceRule(match="model", value=f"m{number}", basis="own", rates=Rates(prompt=1))
        try:
            with transaction.atomic():
                rules.set_price(paywall, rule, costs={}, actor=ACTOR)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=set_one, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    prices = rules.price_list(paywall.pk)
    assert prices.number == 10
    assert {rule.value for rule in prices.rules} == {f"m{number}" for number in range(10)}
    versions = Change.objects.filter(paywall=paywall).values_list("version", flat=True)
    assert sorted(versions) == list(range(2, 12))
