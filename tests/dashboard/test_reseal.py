from config.kit import crypto
from providers import catalog
from tests.factories import ConnectionFactory, PaywallFactory, make_key
from tests.support.commands import run_json

NEW = b"n" * 32


def sealed_by_hand(keys: tuple[bytes, ...]):
    """A connection to OpenAI whose key those keys sealed."""
    made = ConnectionFactory.create(paywall=PaywallFactory.create(), kind="openai")
    context = catalog.seal_context(made.paywall_id, "https://api.openai.com:443")
    made.base_url = "https://api.openai.com/v1"
    made.sealed_key = crypto.seal(b"sk-secret", context=context, keys=keys)
    made.save()
    return made


def test_what_it_has_sealed_opens_without_the_old_key(settings):
    made = sealed_by_hand(settings.ENCRYPTION_KEYS)
    settings.ENCRYPTION_KEYS = (NEW, *settings.ENCRYPTION_KEYS)
    assert run_json("reseal")["resealed"] >= 1
    assert run_json("reseal")["resealed"] == 0
    settings.ENCRYPTION_KEYS = (NEW,)
    made.refresh_from_db()
    assert catalog.unseal_key(made, "https://api.openai.com:443") == "sk-secret"


def test_a_key_that_nobody_can_open_is_told_and_left(settings, capsys):
    made = sealed_by_hand((b"?" * 32,))
    run_json("reseal")
    assert str(made) in capsys.readouterr().err
    before = bytes(made.sealed_key)
    made.refresh_from_db()
    assert bytes(made.sealed_key) == before
    made.delete()


def test_it_counts_the_keys_that_still_need_an_older_pepper(settings):
    before = run_json("reseal")["keys_with_older_peppers"]
    make_key(PaywallFactory.create())
    settings.KEY_PEPPERS = settings.KEY_PEPPERS | {9: NEW}
    assert run_json("reseal")["keys_with_older_peppers"] > before
