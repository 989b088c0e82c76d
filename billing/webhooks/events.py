"""Every type of event and the data that it carries.

An event keeps facts: ids as UUIDs, amounts as nanos. `data_of` turns them into what receivers
read. The fields, in this order, and what each type is for are part of the public contract.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

from config.kit import ids
from config.kit.errors import InvalidRequestError
from config.kit.money import format_nanos
from paywalls import links

VERSION: Final = "1.0"
ALL: Final = "*"

Kind = Literal[
    "amount", "text", "number", "list", "user", "actor", "actor_type", "txn", "req", "ord", "sub",
    "evt", "wd", "grt", "wallet_user", "approval",
]  # fmt: skip
"""What a fact is: nanos; text and numbers as they are; the user; who did it; an id by prefix; whose
wallet it is; the link under which a person can allow an app."""

_IDS: Final = frozenset({"txn", "req", "ord", "sub", "evt", "wd", "grt", "per"})
USER: Final = {"walletUserId": "wallet_user"}
USERS: Final = {"externalUserId": "user", "walletUserId": "wallet_user"}
_UNSAID: Final = frozenset({"user", "wallet_user"})
"""Kinds that stand in no fact: who the event is about says them."""


@dataclass(frozen=True, slots=True)
class EventType:
    """fields: what follows `paywallId` and `ownerUserId`, with the kind of each. when: in words."""

    fields: Mapping[str, str]
    when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened, to be told by `outbox.emit`.

    facts: every field of its type but those that name the user. once: told only once under this
    mark. actor: a developer's id, `command:<login>`, or a key's id.

    Raises: AssertionError for an unknown type, or facts that are not those of its type.
    """

    type: str
    user_id: UUID | None = None
    livemode: bool = True
    source: str = "system"
    actor: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    once: str | None = None

    def __post_init__(self) -> None:
        named = {name for name, kind in TYPES[self.type].fields.items() if kind not in _UNSAID}
        assert named == set(self.facts), (self.type, named ^ set(self.facts))


TYPES: Final[Mapping[str, EventType]] = {
    "paywall.updated": EventType(
        {"changedFields": "list", "summarySections": "list"}, "A new configuration version."
    ),
    "paywall.archived": EventType({"reason": "text"}, "The paywall ended."),
    "paywall.secret.rotated": EventType(
        {"secretLastFour": "text", "actorId": "actor", "actorType": "actor_type"},
        "A key was replaced by a new one.",
    ),
    "paywall.integration.connected": EventType(
        {"integrationKey": "text", "enabledBy": "actor"}, "Stripe, PostHog, … was connected."
    ),
    "paywall.integration.disconnected": EventType(
        {"integrationKey": "text", "disabledBy": "actor"}, "An integration was taken away."
    ),
    "paywall.integration.stripe.webhook.rotated": EventType(
        {"webhookId": "text", "url": "text", "secretSuffix": "text"},
        "Stripe's endpoint has a new secret.",
    ),
    "paywall.authorization.requested": EventType(
        {**USERS, "requestId": "grt", "approvalUrl": "approval", "mode": "text"},
        "A new request; not each refusal (Shared).",
    ),
    "paywall.authorization.completed": EventType(
        {**USERS, "connectionId": "grt"}, "A person allowed the app to spend (Shared)."
    ),
    "paywall.authorization.revoked": EventType(
        dict(USERS), "A person withdrew the permission (Shared)."
    ),
    "paywall.authorization.declined": EventType(
        {**USERS, "requestId": "grt", "reason": "text"}, "A person said no (Shared)."
    ),
    "paywall.balance.deposit.created": EventType(
        {
            "walletUserId": "wallet_user",
            "externalUserId": "user",
            "amount": "amount",
            "currency": "text",
            "source": "text",
            "activityId": "txn",
        },
        "Every credit from outside; `source` is api, stripe, dashboard, plan or promo.",
    ),
    "paywall.balance.topup.link.created": EventType(
        {**USER, "redirectUrl": "text", "checkoutSessionId": "text"},
        "A new order; not each refusal.",
    ),
    "paywall.balance.trial.granted": EventType(
        {**USER, "credits": "amount", "activityId": "txn"}, "A user was seen for the first time."
    ),
    "paywall.balance.charge.created": EventType(
        {**USER, "activityId": "txn", "amount": "amount", "processingFeeAmount": "amount"},
        "A manual charge was booked.",
    ),
    "paywall.balance.charge.completed": EventType(
        {**USER, "activityId": "txn", "settlementReference": "txn"},
        "A manual charge is final: at once in Default mode.",
    ),
    "paywall.balance.charge.failed": EventType(
        {**USER, "activityId": "txn", "amount": "amount", "errorCode": "text"},
        "A manual charge was refused.",
    ),
    "paywall.usage.charge.created": EventType(
        {
            **USER,
            "activityId": "txn",
            "model": "text",
            "promptTokens": "number",
            "completionTokens": "number",
            "cost": "amount",
        },
        "A chat's charge was booked.",
    ),
    "paywall.usage.charge.deferred": EventType(
        {"deferredRequestId": "req", "model": "text"},
        "A stream began whose cost is not known yet.",
    ),
    "paywall.usage.rate.limited": EventType(
        {"limit": "number", "date": "text", "model": "text", **USER},
        "429 by a limit of requests, once a window.",
    ),
    "paywall.balance.depleted": EventType(
        {**USER, "requestedAmount": "amount", "availableBalance": "amount"},
        "Refused for money, once until money comes in.",
    ),
    "paywall.request.blocked": EventType(
        {**USER, "reason": "text", "requestId": "req"},
        "Refused for the user: authorization_required, insufficient_balance, cap_reached,"
        " rate_limited or spend_limit.",
    ),
    "paywall.proxy.request.blocked": EventType(
        {"requestId": "req", **USER, "reason": "text"},
        "Refused by a rule: model_not_allowed, policy_violation or paused.",
    ),
    "paywall.stripe.checkout.session.completed": EventType(
        {"checkoutSessionId": "text", "amount": "amount", "currency": "text", **USER},
        "A checkout was paid.",
    ),
    "paywall.proxy.request.started": EventType(
        {"requestId": "req", **USER, "model": "text"}, "Money is held, the model is asked."
    ),
    "paywall.proxy.request.completed": EventType(
        {"requestId": "req", **USER, "model": "text"}, "The answer was delivered whole."
    ),
    "paywall.proxy.request.failed": EventType(
        {"requestId": "req", **USER, "model": "text", "errorCode": "text"},
        "The answer was not delivered, or broke off.",
    ),
    "paywall.proxy.request.canceled": EventType(
        {"requestId": "req", **USER, "model": "text"}, "The client left."
    ),
    # Ours: not part of the published contract.
    "paywall.balance.low": EventType(
        {**USER, "availableBalance": "amount", "threshold": "amount"},
        "A balance fell below the paywall's threshold.",
    ),
    "paywall.balance.refunded": EventType(
        {**USER, "amount": "amount", "currency": "text", "activityId": "txn", "chargeId": "txn"},
        "A charge was given back, whole or in part.",
    ),
    "paywall.dispute.opened": EventType(
        {**USER, "disputeId": "text", "amount": "amount", "currency": "text"},
        "A payment was disputed.",
    ),
    "paywall.dispute.won": EventType(
        {**USER, "disputeId": "text", "amount": "amount", "currency": "text"},
        "A dispute ended for the developer.",
    ),
    "paywall.dispute.lost": EventType(
        {**USER, "disputeId": "text", "amount": "amount", "currency": "text"},
        "A dispute ended against the developer.",
    ),
    "paywall.subscription.renewed": EventType(
        {**USER, "planId": "text", "subscriptionId": "text", "activityId": "txn"},
        "A plan's next cycle was paid.",
    ),
    "paywall.subscription.past_due": EventType(
        {**USER, "planId": "text", "subscriptionId": "text"}, "A plan's payment failed."
    ),
    "paywall.subscription.canceled": EventType(
        {**USER, "planId": "text", "subscriptionId": "text"}, "A plan ended."
    ),
    "paywall.withdrawal.requested": EventType(
        {"withdrawalId": "wd", "amount": "amount", "currency": "text"},
        "Earnings shall be paid out.",
    ),
    "paywall.withdrawal.paid": EventType(
        {"withdrawalId": "wd", "amount": "amount", "currency": "text"}, "Earnings were paid out."
    ),
    "paywall.withdrawal.failed": EventType(
        {"withdrawalId": "wd", "amount": "amount", "currency": "text"}, "A pay-out failed."
    ),
}


def data_of(
    type_: str,
    facts: Mapping[str, Any],
    *,
    paywall_id: UUID,
    owner_id: UUID | None,
    user: str | None,
) -> dict[str, object]:
    """An event's `data`. user: the developer's own id of the end user.

    Whose wallet it is: in Default mode the same; in Shared mode the person's, None while nobody's,
    as the database noted it in the facts.
    """
    wallet_user = _shown("per", facts["person"]) if "person" in facts else user
    data: dict[str, object] = {
        "paywallId": ids.encode("pw", paywall_id),
        "ownerUserId": ids.encode("dev", owner_id) if owner_id else None,
    }
    for name, kind in TYPES[type_].fields.items():
        if kind in _UNSAID:
            data[name] = user if kind == "user" else wallet_user
        else:
            data[name] = _shown(kind, facts.get(name))
    return data


def actor_of(actor: str) -> tuple[str, str | None]:
    """The type and the public id of who did it.

    >>> actor_of("command:ann"), actor_of("")
    (('operator', 'command:ann'), ('system', None))
    """
    if not actor:
        return "system", None
    if actor.startswith(("dev_", "per_")):
        return "developer" if actor.startswith("dev_") else "person", actor
    try:
        return "api_key", ids.encode("key", UUID(actor))
    except ValueError:
        return ("api_key" if actor.startswith("key_") else "operator"), actor


def read_patterns(value: object) -> list[str]:
    """What a subscription asks for: types, prefixes such as `paywall.balance.*`, or `*` alone.

    Raises: InvalidRequestError, also for a pattern that names no type there is.
    """
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise InvalidRequestError(
            '`events` must be a list of event types, such as ["paywall.balance.*"], or ["*"].',
            param="events",
        )
    found: list[str] = list(dict.fromkeys(each.strip() for each in value))
    if ALL in found and len(found) > 1:
        raise InvalidRequestError('`events`: "*" stands alone.', param="events")
    for pattern in found:
        if not matching([pattern]):
            raise InvalidRequestError(
                f"`events`: {pattern[:100]!r} is no event type. The documentation lists them;"
                " a prefix ends in `.*`.",
                param="events",
            )
    return found


def matching(patterns: Iterable[str]) -> frozenset[str]:
    """The types that patterns name; in the database: `billing_event_wanted`.

    >>> sorted(matching(["paywall.dispute.*"]))
    ['paywall.dispute.lost', 'paywall.dispute.opened', 'paywall.dispute.won']
    """
    return frozenset(type_ for pattern in patterns for type_ in TYPES if _fits(type_, pattern))


def _fits(type_: str, pattern: str) -> bool:
    if pattern.endswith(".*"):
        return type_.startswith(pattern[:-1])
    return pattern in (ALL, type_)


def _shown(kind: str, value: Any) -> object:
    if value is None:
        return None
    if kind == "amount":
        return format_nanos(int(value))
    if kind in _IDS or kind == "approval":
        found = value if isinstance(value, UUID) else UUID(value)
        return links.authorize_url(found) if kind == "approval" else ids.encode(kind, found)
    if kind == "actor":
        return actor_of(str(value))[1]
    if kind == "actor_type":
        return actor_of(str(value))[0]
    shown: object = list(value) if isinstance(value, Sequence) and kind == "list" else value
    return shown
