import pytest
from django.db import transaction

from config.kit import db


def test_a_transaction_is_required():
    with pytest.raises(AssertionError, match="open transaction"):
        db.require_transaction()
    with transaction.atomic():
        db.require_transaction()


def test_a_transaction_is_forbidden():
    db.forbid_transaction()
    with transaction.atomic(), pytest.raises(AssertionError, match="leave"):
        db.forbid_transaction()
