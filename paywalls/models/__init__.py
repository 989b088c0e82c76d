"""Who may spend, on what terms. One module a noun."""

from paywalls.models.configuration import Change, Limit, MessageTemplate, ModelAlias
from paywalls.models.grants import Approval, Grant, GrantRequest
from paywalls.models.keys import ApiKey, EndUser
from paywalls.models.paywalls import Paywall
from paywalls.models.people import Membership, Team, User
from paywalls.models.persons import LoginCode, Person, PersonSession
from paywalls.models.prices import PriceVersion, Rate

__all__ = [
    "ApiKey",
    "Approval",
    "Change",
    "EndUser",
    "Grant",
    "GrantRequest",
    "Limit",
    "LoginCode",
    "Membership",
    "MessageTemplate",
    "ModelAlias",
    "Paywall",
    "Person",
    "PersonSession",
    "PriceVersion",
    "Rate",
    "Team",
    "User",
]
