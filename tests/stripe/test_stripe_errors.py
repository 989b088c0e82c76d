"""No exception of the SDK reaches anybody as it is."""

import inspect
from typing import Any

import pytest
import stripe

from billing.stripe.errors import OURS, StripeFailedError, ours, translated


def below(kind: type[stripe.StripeError]) -> list[type[stripe.StripeError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in below(child))]


CLASSES = sorted(set(below(stripe.StripeError)), key=lambda kind: kind.__name__)


def make(kind: type[stripe.StripeError]) -> stripe.StripeError:
    wanted = inspect.signature(kind).parameters.values()
    given: dict[str, Any] = {each.name: "x" for each in wanted if each.default is each.empty}
    return kind(**given)


def test_there_are_some():
    assert {stripe.CardError, stripe.RateLimitError, stripe.APIConnectionError} <= {*CLASSES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_becomes_one_of_ours(kind: type[stripe.StripeError]):
    with pytest.raises(StripeFailedError) as caught, translated():
        raise make(kind)
    assert caught.value.message


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_class_of_its_own_is_not_taken_for_a_later_one(kind: type[stripe.StripeError]):
    exact = [mine for theirs, mine, _ in OURS if theirs is kind]
    assert type(ours(make(kind))) in (exact or [mine for _, mine, _ in OURS])
