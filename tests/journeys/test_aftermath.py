"""What is looked for after every journey is found."""

import pytest

from tests.support.aftermath import betrayed
from tests.support.chats import PROMPT
from tests.support.product import PROVIDER_KEY


@pytest.mark.parametrize(
    "secret", [PROMPT, PROVIDER_KEY, "sk-secretsecret123", "secret_host.internal"]
)
def test_secrets_in_a_log(secret):
    line = f'{{"event": "request", "note": "{secret}"}}'.encode()
    assert betrayed([b"one\n" + line + b"\ntwo"]) == [line]


def test_a_paywall_key_in_a_log_but_not_its_beginning(shop):
    assert betrayed([f"key {shop.token}".encode()])
    assert betrayed([f"key {shop.token[:20]}… of {shop.key.public_id}".encode()]) == []
