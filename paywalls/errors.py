"""Refusals of what people do with their wallets."""

from typing import ClassVar

from config.kit.errors import InvalidRequestError


class ApprovalUsedError(InvalidRequestError):
    """An approval was used before: it is good for one yes."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "approval_used"


class ApprovalExpiredError(InvalidRequestError):
    """An approval is too old, or was never one of ours: ask for a new one."""

    status: ClassVar[int] = 410
    code: ClassVar[str] = "approval_expired"


class ApprovalForeignError(InvalidRequestError):
    """An approval was made for somebody else."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "approval_foreign"


class GrantStandsError(InvalidRequestError):
    """The user of the app has a wallet already: its owner withdraws that first."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "grant_stands"


class GrantClosedError(InvalidRequestError):
    """A grant was withdrawn, or the app ended: there is nothing to change any more."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "grant_closed"
