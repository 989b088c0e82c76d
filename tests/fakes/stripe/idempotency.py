"""Idempotency keys as v1 of Stripe's API treats them.

The first answer is kept once the work has begun, a 500 as well; refusals before that (parameters,
permissions, rates, conflicts) are not. Source: docs.stripe.com/api/idempotent_requests.
"""

import hashlib
from typing import Any

from tests.fakes.stripe.errors import ApiError, IdempotencyError, KeyInUseError
from tests.fakes.stripe.http import Request, Response
from tests.fakes.stripe.world import Realm, World

LENGTH_MAX = 255


class Memory:
    """What one call's key remembers; without a key it remembers nothing."""

    def __init__(self, world: World, realm: Realm, request: Request) -> None:
        self.world, self.key = world, request.headers.get("idempotency-key", "")
        mode = "live" if realm.livemode else "test"
        self.name = f"{realm.account}:{mode}:{self.key}"
        asked = f"{request.method} {request.path}\n".encode() + request.body
        self.fingerprint = hashlib.sha256(asked).hexdigest()
        self.is_active = bool(self.key) and request.method != "GET"

    def recall(self) -> Response | None:
        """The first answer, if there is one.

        Raises: IdempotencyError, KeyInUseError
        """
        if not self.is_active:
            return None
        if len(self.key) > LENGTH_MAX:
            raise ApiError(f"Idempotency-Key has at most {LENGTH_MAX} characters.")
        kept = self.world.answers.get(self.name)
        if kept is None:
            return None
        if kept["fingerprint"] != self.fingerprint:
            raise IdempotencyError(
                "Keys for idempotent requests can only be used with the same parameters they were"
                f" first used with. Try using a key other than '{self.key}' if you meant to"
                " execute a different request."
            )
        if kept["body"] is None:
            error = KeyInUseError(
                "There is currently another in-progress request using this Idempotent Key (that"
                " probably means you submitted twice, and the other request is still going"
                f" through): {self.key}. Please try again in a moment.",
                code="idempotency_key_in_use",
            )
            error.headers["stripe-should-retry"] = "true"
            raise error
        headers: dict[str, Any] = {
            "content-type": "application/json",
            "idempotent-replayed": "true",
            "original-request": kept["request_id"],
        }
        return Response(kept["status"], kept["body"].encode(), headers)

    def begin(self) -> None:
        if self.is_active:
            self.world.answers[self.name] = {
                "fingerprint": self.fingerprint,
                "body": None,
                "at": self.world.now(),
            }

    def forget(self) -> None:
        self.world.answers.pop(self.name, None)

    def keep(self, response: Response, request_id: str) -> None:
        if self.is_active:
            self.world.answers[self.name] |= {
                "status": response.status,
                "body": response.body.decode(),
                "request_id": request_id,
            }
