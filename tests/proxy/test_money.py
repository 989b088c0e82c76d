"""The money endpoints: amounts, metadata, dates, repeats (B25, B27 to B29)."""

import asyncio
import datetime as dt

import pytest
from asgiref.sync import sync_to_async

from config.kit import clock
from paywalls.links import read_checkout_token
from paywalls.models import Paywall
from tests.factories import PaywallFactory, make_key
from tests.proxy import edge
from tests.proxy.edge import JSON

CHARGE = "/v1/user/charge"
DEPOSIT = "/v1/user/balance/deposit"
WELL_FORMED = ["0.001", "1", "0.000000001", "1000000000", "1.50"]
MALFORMED = [
    '0', '"0"', '"0.0"', '-1', '"-1"', '-0', '"-0"', '"+1"', '"1e3"', '1e3', '1E-3', '"1,00"',
    '" 1"', '"1 "', '"\uff11"', '1000000000000000000000000000000', '"1000000000.000000001"',
    '0.1234567891', '"0.1234567891"', '"NaN"', '"Infinity"', 'true', 'null', '[]', '{}', '""',
    '".5"', '"5."', '"01"', '"0x1"', '"1\\u0000"', '"1_000"',
]  # fmt: skip


@pytest.mark.parametrize("address", [CHARGE, DEPOSIT])
class TestAmounts:
    @pytest.mark.parametrize("amount", MALFORMED)
    async def test_b25_malformed(self, tenant, address: str, amount: str):
        raw = f'{{"user": "{tenant.user}", "amount": {amount}}}'.encode()
        answer = await tenant.post(address, raw)
        assert (answer.status, answer.json["error"]["param"]) == (400, "amount")
        assert await tenant.balance() == "0"

    async def test_missing(self, tenant, address: str):
        answer = await tenant.post(address, {"user": tenant.user})
        assert (answer.status, answer.json["error"]["param"]) == (400, "amount")

    async def test_twice(self, tenant, address: str):
        answer = await tenant.post(address, b'{"user":"u","amount":"1","amount":"2"}')
        assert answer.status == 400


@pytest.mark.parametrize("quote", ['"', ""])
@pytest.mark.parametrize("amount", WELL_FORMED)
async def test_b25_amounts_are_exact_as_text_and_as_numbers(tenant, amount: str, quote: str):
    raw = f'{{"user": "{tenant.user}", "amount": {quote}{amount}{quote}, "else": 1}}'.encode()
    assert (await tenant.post(DEPOSIT, raw)).status == 200
    answer = await tenant.post(CHARGE, raw)
    assert answer.json["success"] is True, answer.body
    assert answer.headers["x-paywall-cost"] == amount.rstrip("0").rstrip(".") or amount
    assert answer.headers["x-paywall-balance"] == "0.000000"


async def test_a_number_is_not_read_through_a_float(tenant):
    raw = f'{{"user": "{tenant.user}", "amount": 900000000.123456789}}'.encode()
    await tenant.post(DEPOSIT, raw)
    answer = await tenant.post(CHARGE, raw)
    assert answer.headers["x-paywall-cost"] == "900000000.123456789"


class TestMetadata:
    def deep(self, depth: int) -> dict[str, object]:
        value: dict[str, object] = {}
        for _ in range(depth - 1):
            value = {"a": value}
        return value

    @pytest.mark.parametrize(
        "metadata",
        [
            "text",
            [1],
            7,
            {"a": "x" * 102_400},
            {"a": "x" * 8_192},
            {"a": "nul\0"},
            {"nul\0": 1},
        ],
    )
    async def test_b28_what_does_not_fit(self, tenant, metadata):
        body = {"user": tenant.user, "amount": "1", "metadata": metadata}
        assert (await tenant.post(DEPOSIT, body)).status in (400, 413)
        assert await tenant.balance() == "0"

    @pytest.mark.parametrize(("depth", "status"), [(8, 200), (9, 400)])
    async def test_b28_depth(self, tenant, depth: int, status: int):
        body = {"user": tenant.user, "amount": "1", "metadata": self.deep(depth)}
        assert (await tenant.post(DEPOSIT, body)).status == status

    @pytest.mark.parametrize("metadata", [None, {}, {"email": "a@b.example", "\\u0000": "\\u0000"}])
    async def test_what_fits(self, tenant, metadata):
        body = {"user": tenant.user, "amount": "1", "metadata": metadata}
        for address in (DEPOSIT, CHARGE):
            assert (await tenant.post(address, body)).status == 200


class TestExpiry:
    @pytest.mark.parametrize(
        "expires_at",
        ["", "soon", "2020-01-01", 1_900_000_000, "9999-12-31T23:59:59-14:00", "0001-01-01", True],
    )
    async def test_what_is_no_time_in_the_future(self, tenant, expires_at):
        body = {"user": tenant.user, "amount": "1", "expiresAt": expires_at}
        answer = await tenant.post(DEPOSIT, body)
        assert (answer.status, answer.json["error"]["param"]) == (400, "expiresAt")

    @pytest.mark.parametrize(
        "form", ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%f+02:00"]
    )
    async def test_iso_times(self, tenant, form: str):
        later = clock.now() + dt.timedelta(days=3)
        body = {"user": tenant.user, "amount": "1", "expiresAt": later.strftime(form)}
        assert (await tenant.post(DEPOSIT, body)).status == 200
        assert await tenant.balance() == "1000000"


class TestRepeats:
    KEY = (b"idempotency-key", b"order-1")

    async def test_the_first_answer_again(self, tenant):
        body = {"user": tenant.user, "amount": "3"}
        for address, after in ((DEPOSIT, "3000000"), (CHARGE, "1000000")):
            one = await tenant.post(address, body, self.KEY)
            assert await tenant.balance() == after
            await tenant.post(DEPOSIT, {"user": tenant.user, "amount": "1"})
            two = await tenant.post(address, body, self.KEY)
            assert (two.status, two.body) == (200, one.body)

    async def test_fifty_at_once_move_money_once(self, tenant):
        await tenant.post(DEPOSIT, {"user": tenant.user, "amount": "10"})
        body = {"user": tenant.user, "amount": "1"}
        answers = await asyncio.gather(*(tenant.post(CHARGE, body, self.KEY) for _ in range(50)))
        assert {answer.status for answer in answers} <= {200, 409}
        assert await tenant.balance() == "9000000"

    @pytest.mark.parametrize(
        "change", [{"amount": "2"}, {"user": "another"}, {"metadata": {"a": 1}}]
    )
    async def test_the_same_key_for_something_else(self, tenant, change):
        body = {"user": tenant.user, "amount": "1"}
        await tenant.post(DEPOSIT, body, self.KEY)
        answer = await tenant.post(DEPOSIT, body | change, self.KEY)
        assert (answer.status, answer.code) == (422, "idempotency_mismatch")

    async def test_one_key_on_two_endpoints_is_two_calls(self, tenant):
        body = {"user": tenant.user, "amount": "1"}
        assert (await tenant.post(DEPOSIT, body, self.KEY)).status == 200
        assert (await tenant.post(CHARGE, body, self.KEY)).json["success"] is True

    async def test_a_refused_charge_is_not_remembered(self, tenant):
        body = {"user": tenant.user, "amount": "1"}
        assert (await tenant.post(CHARGE, body, self.KEY)).json["success"] is False
        await tenant.post(DEPOSIT, {"user": tenant.user, "amount": "1"})
        assert (await tenant.post(CHARGE, body, self.KEY)).json["success"] is True

    @pytest.mark.parametrize("key", [b"", b" ", b"x" * 256, b"caf\xc3\xa9", b"a\x01"])
    async def test_b29_malformed_keys(self, tenant, key: bytes):
        body = {"user": tenant.user, "amount": "1"}
        answer = await tenant.post(DEPOSIT, body, (b"idempotency-key", key))
        assert (answer.status, answer.json["error"]["param"]) == (400, "Idempotency-Key")


class TestBroke:
    async def test_a_text_with_the_link(self, tenant):
        answer = await tenant.post(CHARGE, {"user": tenant.user, "amount": "1"})
        said = answer.json
        assert (answer.status, said["success"], said["reason"]) == (
            200,
            False,
            "insufficient_balance",
        )
        assert said["url"] in said["message"]
        assert read_checkout_token(said["url"].rpartition("/")[2])

    async def test_the_link_stays_the_same(self, tenant):
        body = {"user": tenant.user, "amount": "1"}
        one, two = [await tenant.post(CHARGE, body) for _ in range(2)]
        assert one.json["url"] == two.json["url"]

    async def test_402_in_error_mode(self, tenant):
        error_mode = (b"x-paywall-mode", b"error")
        answer = await tenant.post(CHARGE, {"user": tenant.user, "amount": "1"}, error_mode)
        assert (answer.status, answer.code) == (402, "topup_required")
        assert answer.json["error"]["url"].startswith("http")
        assert answer.headers["x-paywall-decision"] == "topup_required"

    async def test_a_key_can_be_in_error_mode(self, tenant):
        _, tenant.token = await sync_to_async(make_key)(tenant.paywall, error_mode=True)
        body = {"user": tenant.user, "amount": "1"}
        assert (await tenant.post(CHARGE, body)).status == 402
        message = (b"x-paywall-mode", b"message")
        assert (await tenant.post(CHARGE, body, message)).status == 200


async def test_b27_no_deposits_in_shared_mode(app):
    def make():
        return make_key(PaywallFactory.create(mode=Paywall.Mode.SHARED))

    _, token = await sync_to_async(make)()
    sent = [(b"authorization", f"Bearer {token}".encode()), JSON]
    body = {"user": "u", "amount": "1"}
    answer = await edge.send(app, "POST", DEPOSIT, body=body, headers=sent)
    assert (answer.status, answer.code) == (403, "wrong_mode")
