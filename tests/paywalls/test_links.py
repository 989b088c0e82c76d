import base64

import pytest

from config.kit import clock, ids
from paywalls import links


def test_a_link_names_its_user():
    user_id = ids.uuid7()
    assert links.read_checkout_token(links.checkout_token(user_id)) == user_id


def test_it_is_the_same_each_time():
    user_id = ids.uuid7()
    assert links.checkout_url(user_id) == links.checkout_url(user_id)
    assert links.checkout_url(user_id).endswith(f"/v1/checkout/{links.checkout_token(user_id)}")


@pytest.mark.parametrize(
    "token", ["", "a" * 42, "a" * 41, "a" * 43, "é" * 42, "0" * 42, "=" * 42, "../" * 14]
)
def test_other_texts_are_not_ours(token: str):
    assert links.read_checkout_token(token) is None


def test_any_changed_character_breaks_it():
    token = links.checkout_token(ids.uuid7())
    for place, character in enumerate(token):
        other = "b" if character != "b" else "c"
        assert links.read_checkout_token(token[:place] + other + token[place + 1 :]) is None


def test_only_one_spelling_is_accepted():
    token = links.checkout_token(ids.uuid7())
    assert links.read_checkout_token(token.upper()) is None


def test_another_users_proof_does_not_fit():
    one, two = links.checkout_token(ids.uuid7()), ids.uuid7()
    proof = base64.b32decode(one.upper() + "======")[16:]
    forged = base64.b32encode(two.bytes + proof).decode().lower().rstrip("=")
    assert links.read_checkout_token(forged) is None


def test_another_secret_makes_other_links(settings):
    user_id = ids.uuid7()
    token = links.checkout_token(user_id)
    settings.SECRET_KEY = "another-" * 10
    assert links.read_checkout_token(token) is None


def test_a_receipts_link_names_its_movement():
    transaction_id = ids.uuid7()
    token = links.receipt_url(transaction_id).rpartition("/")[2]
    assert links.read_receipt_token(token) == transaction_id
    assert links.read_checkout_token(token) is None
    assert links.read_wallet_token(token) is None


def test_a_wallets_link_names_its_user_and_its_end():
    user_id = ids.uuid7()
    token = links.wallet_url(user_id).rpartition("/")[2]
    found = links.read_wallet_token(token)
    assert found
    assert found[0] == user_id
    assert 3_590 < (found[1] - clock.now()).total_seconds() <= 3_600
    assert links.read_checkout_token(token) is None
    assert links.read_receipt_token(token) is None
    for place, character in enumerate(token):
        other = "b" if character != "b" else "c"
        assert links.read_wallet_token(token[:place] + other + token[place + 1 :]) is None
