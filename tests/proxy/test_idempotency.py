import pytest

from config.kit.errors import InvalidRequestError
from proxy import idempotency


class TestHeaderKey:
    @pytest.mark.parametrize(
        "key",
        ["", " ", "a b", "x" * 256, "tab\t", "del\x7f", "nul\0", "caf\xe9", "a\n"],
    )
    def test_b29_malformed_keys_are_refused(self, key: str):
        with pytest.raises(InvalidRequestError):
            idempotency.header_key({"idempotency-key": key}, is_required=False)

    @pytest.mark.parametrize("key", ["a", "x" * 255, "inv_1:2/3?~!"])
    def test_visible_ascii_is_accepted(self, key: str):
        assert idempotency.header_key({"idempotency-key": key}, is_required=True) == key

    def test_it_may_be_missing(self):
        assert idempotency.header_key({}, is_required=False) is None

    def test_unless_the_paywall_key_requires_it(self):
        with pytest.raises(InvalidRequestError):
            idempotency.header_key({}, is_required=True)


class TestIdentify:
    SAME = {
        "key": "k",
        "endpoint": "POST /v1/user/charge",
        "livemode": True,
        "user": "u",
        "body": {"amount": "1", "metadata": {"a": 1, "b": 2}},
    }

    def test_the_order_of_fields_does_not_matter(self):
        other = self.SAME | {"body": {"metadata": {"b": 2, "a": 1}, "amount": "1"}}
        assert idempotency.identify(**self.SAME) == idempotency.identify(**other)

    @pytest.mark.parametrize(
        "change",
        [{"key": "l"}, {"endpoint": "POST /v1/user/balance/deposit"}, {"livemode": False}],
    )
    def test_another_key_endpoint_or_mode_is_another_call(self, change):
        one, two = idempotency.identify(**self.SAME), idempotency.identify(**self.SAME | change)
        assert one.digest != two.digest

    @pytest.mark.parametrize("change", [{"user": "v"}, {"body": {"amount": "1.0"}}])
    def test_another_user_or_body_asks_for_something_else(self, change):
        one, two = idempotency.identify(**self.SAME), idempotency.identify(**self.SAME | change)
        assert one.digest == two.digest
        assert one.fingerprint != two.fingerprint
