from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.kit import money

AMOUNTS = st.integers(min_value=0, max_value=money.AMOUNT_NANOS_MAX)


class TestParseNanos:
    @given(AMOUNTS)
    def test_reads_back_what_was_written(self, nanos):
        assert money.parse_nanos(money.format_nanos(nanos)) == nanos

    @given(st.decimals(min_value=0, max_value=10**9, places=9))
    def test_agrees_with_exact_decimals(self, amount):
        assert money.parse_nanos(f"{amount:f}") == int(amount * money.NANOS)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " 1",
            "1 ",
            "-1",
            "-0",
            "+1",
            "1e3",
            "1E3",
            "0x1",
            "1,00",
            "1.",
            ".5",
            "01",
            "00",
            "0.0000000001",
            "1.1234567890",
            "\uff11",
            "\u0663",
            "1_000",
            "nan",
            "NaN",
            "inf",
            "true",
            "1000000000.000000001",
            "10000000000",
            "9" * 30,
            "1\n",
            "1.0.0",
            "$1",
        ],
    )
    def test_refuses_anything_else(self, text):
        assert money.parse_nanos(text) is None

    def test_accepts_the_largest_amount(self):
        assert money.parse_nanos("1000000000") == money.AMOUNT_NANOS_MAX


class TestFormat:
    @given(st.integers(min_value=-(10**18), max_value=10**18))
    def test_exact_form_is_exact(self, nanos):
        assert Decimal(money.format_nanos(nanos)) * money.NANOS == nanos

    @given(st.integers(min_value=-(10**18), max_value=10**18))
    def test_six_decimals_round_down(self, nanos):
        shown = Decimal(money.format_micros(nanos)) * money.NANOS
        assert shown <= nanos < shown + 1000
        assert money.micros(nanos) == shown / 1000


class TestCeilDiv:
    @given(st.integers(), st.integers(min_value=1))
    def test_rounds_up_by_less_than_one(self, dividend, divisor):
        quotient = money.ceil_div(dividend, divisor)
        assert dividend <= quotient * divisor < dividend + divisor
