"""Who may spend, on what terms. One module a noun."""

from paywalls.models.configuration import Change, Limit, MessageTemplate, ModelAlias
from paywalls.models.keys import ApiKey, EndUser
from paywalls.models.paywalls import Paywall
from paywalls.models.people import Membership, Team, User
from paywalls.models.prices import PriceVersion, Rate

__all__ = [
    "ApiKey",
    "Change",
    "EndUser",
    "Limit",
    "Membership",
    "MessageTemplate",
    "ModelAlias",
    "Paywall",
    "PriceVersion",
    "Rate",
    "Team",
    "User",
]
