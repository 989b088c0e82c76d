"""Limits: where each kind may be set."""

import pytest
from django.db import transaction

from config.kit.errors import InvalidRequestError
from paywalls import limits
from tests.factories import EndUserFactory


@pytest.mark.parametrize("kind", sorted(limits.TOKEN_KINDS))
def test_a_single_user_has_no_token_limit_of_its_own(kind):
    """It would be kept and never applied: tokens are bounded before the user is looked up."""
    user = EndUserFactory()
    with transaction.atomic(), pytest.raises(InvalidRequestError):
        limits.set_user_limit(user, kind, 5, actor="dev_1")
    user.refresh_from_db()
    assert user.limits is None
