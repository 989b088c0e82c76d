"""What operators of Shared mode type."""

import pytest

from billing import fees
from billing.models import PlatformFee
from ledger.models import Account
from tests.support.commands import refusal, run
from tests.support.shared import make_person


class TestFee:
    def test_percent_is_millionths(self):
        try:
            said = run("set_platform_fee", "2.0125")
            fee = fees.fee_in_force()
            assert fee is not None
            assert fee.ppm == 20_125
            assert f"The platform takes {fee} of Shared charges" in said
        finally:
            run("set_platform_fee", "0")

    @pytest.mark.parametrize("percent", ["-1", "100.1", "1e2", "five", "2.00001", ""])
    def test_other_texts_are_refused(self, percent):
        before = PlatformFee.objects.count()
        assert "percent" in refusal("set_platform_fee", "--", percent)
        assert PlatformFee.objects.count() == before

    @pytest.mark.parametrize("moment", ["yesterday", "2020-01-01T00:00:00Z", "2099-01-01"])
    def test_so_are_moments_that_cannot_be(self, moment):
        assert "--from" in refusal("set_platform_fee", "1", f"--from={moment}")


class TestCredit:
    def test_once_under_a_reference(self):
        person = make_person()
        for _ in range(2):
            said = run("credit_person", person.public_id, "5", "--reason=desk", "--ref=desk-1")
            assert "can spend 5 USD now" in said
        wallet = Account.objects.get(kind="wallet", owner=person.pk)
        assert wallet.posted == 5_000_000_000

    def test_a_stranger_has_no_wallet(self):
        assert "no person" in refusal("credit_person", "nobody@example.test", "5", "--reason=x")
