"""End users of a paywall: found by the developer's own id, blocked, pooled, erased.

They are made by the money calls when they are first seen.
"""

import re
import unicodedata
from typing import Final

from config.kit import clock, ids
from config.kit.errors import InvalidRequestError
from config.kit.limits import EXTERNAL_USER_CHARS_MAX
from paywalls import audit, grants, keys
from paywalls.models import ApiKey, EndUser, Paywall

ERASED: Final = "erased:"
SHARED: Final = Paywall.Mode.SHARED

_PLAIN: Final = re.compile(rf"[!-~]{{1,{EXTERNAL_USER_CHARS_MAX}}}")
_UNSEEN: Final = frozenset("CZ")
"""First letters of the Unicode categories that show nothing: control, format, separators, …"""

_JOINER: Final = "\u200d"
_JOINED: Final = frozenset({"So", "Sk", "Mn"})
"""What stands on either side of the joiner in an emoji: symbol, skin tone, variation."""


def read_external_id(value: object) -> str:
    """The developer's id of a user, as it is kept: in Unicode's normal form C.

    Raises: InvalidRequestError when it is not 1 to 128 visible characters without spaces.
    """
    if not isinstance(value, str):
        raise InvalidRequestError("`user` must be a string.", param="user")
    if _PLAIN.fullmatch(value):
        return value
    # Normalization is not linear in time for hostile text, so the length comes first.
    text = unicodedata.normalize("NFC", value) if len(value) <= EXTERNAL_USER_CHARS_MAX else ""
    if not 1 <= len(text) <= EXTERNAL_USER_CHARS_MAX or not _is_visible(text):
        raise InvalidRequestError(
            f"`user` must be 1 to {EXTERNAL_USER_CHARS_MAX} visible characters without spaces.",
            param="user",
        )
    return text


def find(paywall: Paywall, text: str, *, livemode: bool) -> EndUser:
    """The user with this `usr_…` id or external id.

    Raises: InvalidRequestError when the paywall has not seen such a user.
    """
    users = EndUser.objects.select_related("paywall").filter(paywall=paywall)
    value = ids.decode("usr", text)
    found = users.filter(pk=value).first() if value else None
    found = found or users.filter(external_id=text, livemode=livemode).first()
    if found is None:
        mode = "live" if livemode else "test"
        raise InvalidRequestError(f"There is no user {text!r} in {mode} mode.", param="user")
    return found


def block(user: EndUser, *, actor: str) -> None:
    """Refuse every call for this user, in the caller's transaction. Money stays where it is."""
    audit.lock(user.paywall)
    if user.blocked_at is None:
        user.blocked_at = clock.now()
        _save(user, "blocked_at", action="user.blocked", actor=actor)


def unblock(user: EndUser, *, actor: str) -> None:
    """Accept calls for this user again, in the caller's transaction."""
    audit.lock(user.paywall)
    if user.blocked_at is not None:
        user.blocked_at = None
        _save(user, "blocked_at", action="user.unblocked", actor=actor)


def share_wallet(user: EndUser, other: EndUser, *, actor: str) -> None:
    """Let `user` spend from `other`'s wallet from now on, in the caller's transaction.

    What is in the wallet it had stays there: moving money is billing's work.
    Raises: InvalidRequestError when the two are not on one paywall, in one mode, or the paywall is
        a Shared one: there people decide.
    """
    audit.lock(user.paywall)
    if user.wallet_id is None or other.wallet_id is None or user.paywall.mode == SHARED:
        raise InvalidRequestError("In Shared mode people share wallets themselves.", param="user")
    if (user.paywall_id, user.livemode) != (other.paywall_id, other.livemode):
        raise InvalidRequestError(
            "Only users of one paywall, both live or both test, can share a wallet.", param="user"
        )
    if user.wallet_id == other.wallet_id:
        return
    before, user.wallet_id = user.wallet_id, other.wallet_id
    user.save(update_fields=["wallet_id"])
    audit.record(
        paywall=user.paywall,
        actor=actor,
        action="user.wallet_shared",
        subject=ids.encode("usr", user.pk),
        before={"wallet": ids.encode("wal", before)},
        after={"wallet": ids.encode("wal", user.wallet_id)},
    )


def erase(user: EndUser, *, actor: str) -> None:
    """Forget who this was, for ever, in the caller's transaction. The books keep the bare id.

    Its keys are revoked, and what a person allowed it is withdrawn; the same external id would be a
    new user.
    """
    audit.lock(user.paywall)
    if user.erased_at is not None:
        return
    if grant := grants.standing(user):
        grants.revoke(grant, actor=actor)
    for key in ApiKey.objects.select_related("paywall").filter(end_user=user):
        keys.revoke(key, actor=actor)
    now = clock.now()
    user.external_id = f"{ERASED}{ids.encode('usr', user.pk)}"
    user.erased_at, user.blocked_at = now, user.blocked_at or now
    user.save(update_fields=["external_id", "erased_at", "blocked_at"])
    audit.record(
        paywall=user.paywall,
        actor=actor,
        action="user.erased",
        subject=ids.encode("usr", user.pk),
        after={"erased_at": clock.wire(now)},
    )


def _save(user: EndUser, field: str, *, action: str, actor: str) -> None:
    user.save(update_fields=[field])
    moment = getattr(user, field)
    audit.record(
        paywall=user.paywall,
        actor=actor,
        action=action,
        subject=ids.encode("usr", user.pk),
        after={field: clock.wire(moment) if moment else None},
    )


def _is_visible(text: str) -> bool:
    categories = [unicodedata.category(character) for character in text]
    for position, category in enumerate(categories):
        if category[0] in _UNSEEN and not (
            text[position] == _JOINER
            and 0 < position < len(text) - 1
            and categories[position - 1] in _JOINED
            and categories[position + 1] == "So"
        ):
            return False
    return True
