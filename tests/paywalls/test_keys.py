import base64
import datetime as dt

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from config.kit import clock
from config.kit.errors import InvalidRequestError
from paywalls import config, keys
from paywalls.models import ApiKey, Change, Limit
from tests.factories import ACTOR, EndUserFactory, PaywallFactory, make_key

DAY = dt.timedelta(days=1)


def revoke(key):
    with transaction.atomic():
        keys.revoke(key, actor=ACTOR)


def rotate(key, overlap=DAY):
    with transaction.atomic():
        return keys.rotate(key, overlap=overlap, actor=ACTOR)


class TestParse:
    def test_knows_live_and_test(self):
        paywall = PaywallFactory()
        _, live = make_key(paywall)
        _, test = make_key(paywall, livemode=False)
        assert live.startswith("sk-paywalls-v1-")
        assert test.startswith("sk-paywalls-test-")
        assert keys.parse(live) == keys.ParsedKey(livemode=True, last_four=live[-4:])
        assert keys.parse(test) == keys.ParsedKey(livemode=False, last_four=test[-4:])

    def test_any_changed_character_is_refused(self):
        _, text = make_key(PaywallFactory())
        for place in range(len(text)):
            changed = "0" if text[place] != "0" else "1"
            assert keys.parse(text[:place] + changed + text[place + 1 :]) is None

    @given(st.text(max_size=5000))
    def test_garbage_is_refused(self, text):
        assert keys.parse(text) is None
        assert keys.parse("sk-paywalls-v1-" + text) is None

    @pytest.mark.parametrize(
        "change", [str.upper, lambda t: t + "\n", lambda t: " " + t, str.title]
    )
    def test_nearly_right_is_refused(self, change):
        _, text = make_key(PaywallFactory())
        assert keys.parse(change(text)) is None

    def test_a_live_key_cannot_be_renamed_to_test(self):
        _, text = make_key(PaywallFactory())
        assert keys.parse(text.replace("-v1-", "-test-")) is None


class TestMint:
    def test_the_text_is_not_in_the_database(self):
        key, text = make_key(PaywallFactory())
        stored = repr(ApiKey.objects.filter(pk=key.pk).values().get())
        assert text[len(keys.LIVE_PREFIX) : -4] not in stored
        change = Change.objects.get(paywall=key.paywall, action="key.created")
        assert text not in repr(change.after)

    @pytest.mark.parametrize(
        ("options", "param"),
        [
            ({"name": ""}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"scopes": ["chat", "everything"]}, "scopes"),
            ({"expires_at": clock.now() - DAY}, "expires"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, options, param):
        with pytest.raises(InvalidRequestError) as refusal:
            make_key(PaywallFactory(), **options)
        assert refusal.value.param == param

    def test_another_paywalls_user_is_refused(self):
        with pytest.raises(InvalidRequestError, match="another paywall"):
            make_key(PaywallFactory(), end_user=EndUserFactory())

    def test_a_users_key_may_not_deposit(self):
        user = EndUserFactory()
        with pytest.raises(InvalidRequestError, match="deposit"):
            make_key(user.paywall, end_user=user, scopes=["chat", "deposit"])


class TestPeppers:
    NEW = base64.b64decode(base64.b64encode(bytes(range(50, 82))))

    def test_an_old_key_is_found_after_the_pepper_changed(self, settings):
        _, text = make_key(PaywallFactory())
        settings.KEY_PEPPERS = {**settings.KEY_PEPPERS, 2: self.NEW}
        assert config.load(keys.digest(text)) is not None

    def test_a_new_key_uses_the_current_pepper(self, settings):
        old = settings.KEY_PEPPERS
        settings.KEY_PEPPERS = {**old, 2: self.NEW}
        key, text = make_key(PaywallFactory())
        assert key.pepper == 2
        settings.KEY_PEPPERS = old
        assert config.load(keys.digest(text)) is None


class TestRevoke:
    def test_the_key_is_dead(self):
        key, text = make_key(PaywallFactory())
        revoke(key)
        assert config.load(keys.digest(text)) is None

    def test_a_second_time_changes_nothing(self):
        key, _ = make_key(PaywallFactory())
        revoke(key)
        first = ApiKey.objects.get(pk=key.pk).revoked_at
        revoke(key)
        assert ApiKey.objects.get(pk=key.pk).revoked_at == first
        assert Change.objects.filter(paywall=key.paywall, action="key.revoked").count() == 1


class TestRotate:
    def test_both_work_during_the_overlap(self):
        key, old_text = make_key(PaywallFactory(), scopes=["chat"], error_mode=True)
        new, new_text = rotate(key)
        assert (new.scopes, new.error_mode, new.name) == (["chat"], True, key.name)
        assert config.load(keys.digest(old_text)) is not None
        assert config.load(keys.digest(new_text)) is not None
        key.refresh_from_db()
        assert key.replaced_by == new
        assert key.expires_at <= clock.now() + DAY

    def test_without_overlap_the_old_one_is_dead(self):
        key, text = make_key(PaywallFactory())
        rotate(key, dt.timedelta(0))
        assert config.load(keys.digest(text)) is None

    def test_an_earlier_expiry_stays(self):
        key, _ = make_key(PaywallFactory(), expires_at=clock.now() + DAY)
        rotate(key, 2 * DAY)
        expiry = key.expires_at
        key.refresh_from_db()
        assert key.expires_at == expiry

    def test_the_limits_come_along(self):
        key, _ = make_key(PaywallFactory())
        Limit.objects.create(
            paywall=key.paywall, subject="key", target=key.pk, kind="requests_day", value=3
        )
        _, text = rotate(key)
        _, found = config.load(keys.digest(text))
        assert found.caps == {"requests_day": 3}

    @pytest.mark.parametrize("overlap", [-DAY, 31 * DAY])
    def test_the_overlap_has_bounds(self, overlap):
        key, _ = make_key(PaywallFactory())
        with pytest.raises(InvalidRequestError):
            rotate(key, overlap)

    def test_a_key_is_replaced_once(self):
        key, _ = make_key(PaywallFactory())
        rotate(key)
        with pytest.raises(InvalidRequestError, match="replaced"):
            rotate(key)


class TestTouch:
    def test_notes_the_last_use(self):
        key, _ = make_key(PaywallFactory())
        other, _ = make_key(key.paywall)
        keys.touch([key.pk])
        key.refresh_from_db()
        other.refresh_from_db()
        assert key.last_used_at
        assert other.last_used_at is None


def test_two_keys_cannot_have_one_hash():
    key, _ = make_key(PaywallFactory())
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.create(
            paywall=key.paywall, name="x", hash=key.hash, pepper=1, last_four="x", livemode=True
        )
