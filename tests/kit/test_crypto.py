import hashlib
import hmac

import pytest

from config.kit import crypto

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
CONTEXT = "tenant https://api.example.test:443"


def test_opens_in_its_context():
    sealed = crypto.seal(b"sk-secret", context=CONTEXT, keys=[NEW])
    assert b"sk-secret" not in sealed
    assert crypto.unseal(sealed, context=CONTEXT, keys=[NEW]) == b"sk-secret"


def test_the_same_value_seals_differently():
    one, other = (crypto.seal(b"x", context=CONTEXT, keys=[NEW]) for _ in range(2))
    assert one != other


def test_an_older_key_still_opens():
    sealed = crypto.seal(b"x", context=CONTEXT, keys=[OLD])
    assert crypto.unseal(sealed, context=CONTEXT, keys=[NEW, OLD]) == b"x"


def test_the_first_key_seals():
    sealed = crypto.seal(b"x", context=CONTEXT, keys=[NEW, OLD])
    assert crypto.unseal(sealed, context=CONTEXT, keys=[NEW]) == b"x"


@pytest.mark.parametrize("context", ["", CONTEXT + "0", "other https://api.example.test:443"])
def test_does_not_open_elsewhere(context):
    sealed = crypto.seal(b"x", context=CONTEXT, keys=[NEW])
    with pytest.raises(crypto.SealError, match="another context"):
        crypto.unseal(sealed, context=context, keys=[NEW])


def test_does_not_open_without_its_key():
    sealed = crypto.seal(b"x", context=CONTEXT, keys=[OLD])
    with pytest.raises(crypto.SealError, match="no longer configured"):
        crypto.unseal(sealed, context=CONTEXT, keys=[NEW])


def test_a_changed_byte_does_not_open():
    sealed = crypto.seal(b"x", context=CONTEXT, keys=[NEW])
    for place in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[place] ^= 1
        with pytest.raises(crypto.SealError):
            crypto.unseal(bytes(damaged), context=CONTEXT, keys=[NEW])


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" + bytes(40), b"plain text"])
def test_what_was_never_sealed_does_not_open(sealed):
    with pytest.raises(crypto.SealError):
        crypto.unseal(sealed, context=CONTEXT, keys=[NEW])


def test_keyed_hash_is_hmac_sha256():
    expected = hmac.new(OLD, b"token", hashlib.sha256).digest()
    assert crypto.keyed_hash("token", pepper=OLD) == expected
    assert crypto.keyed_hash("token", pepper=NEW) != expected


def test_resealing_lets_the_old_key_go():
    sealed = crypto.seal(b"x", context=CONTEXT, keys=[OLD])
    anew = crypto.resealed(sealed, context=CONTEXT, keys=[NEW, OLD])
    assert crypto.unseal(anew, context=CONTEXT, keys=[NEW]) == b"x"
    assert crypto.resealed(anew, context=CONTEXT, keys=[NEW]) == anew
