"""Which function answers which request, and what it is given."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.fakes.stripe.world import Realm, Thing, World, new_id

MARK = re.compile(r"\{(\w+)\}")


@dataclass
class Desk:
    """Where things happen: one account in one mode, for a caller or for nobody."""

    world: World
    realm: Realm
    request_id: str | None = None
    idempotency_key: str | None = None

    @property
    def now(self) -> int:
        return self.world.now()

    @property
    def livemode(self) -> bool:
        return self.realm.livemode

    def id(self, prefix: str, length: int = 24) -> str:
        """Such as `pi_…`; kinds that carry the mode get it from their own builder."""
        return new_id(prefix, length)


@dataclass
class Call(Desk):
    """One request to the API, its key accepted and its parameters typed."""

    params: dict[str, Any] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)


type Handler = Callable[[Call], Thing]


@dataclass(frozen=True)
class Operation:
    """One method on one path, and the permission a restricted key needs for it."""

    method: str
    path: str
    pattern: re.Pattern[str]
    params: str | None
    permission: str
    handler: Handler


OPERATIONS: Final[list[Operation]] = []


def api(
    method: str, path: str, *, params: str | None, permission: str
) -> Callable[[Handler], Handler]:
    """Serve `path` with the decorated function.

    params: the SDK's class that they are held to; None: not part of the published API.
    permission: without `_read` or `_write`, which follow from the method.
    """
    pattern = re.compile(MARK.sub(r"(?P<\1>[^/]+)", path))

    def add(handler: Handler) -> Handler:
        OPERATIONS.append(Operation(method, path, pattern, params, permission, handler))
        return handler

    return add


def find(method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
    """The operation and what stands in the places of its path. Fixed words go before ids."""
    fits = [
        (operation, match.groupdict())
        for operation in OPERATIONS
        if operation.method == method and (match := operation.pattern.fullmatch(path))
    ]
    return min(fits, key=lambda fit: len(fit[1]), default=None)
