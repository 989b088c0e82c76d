"""The developer's own words for a refusal, asked of the message endpoint.

Bounded in every way, because people wait for it: three seconds, a few kilobytes, so many questions
at a time; and an endpoint that fails is left alone for a while, so that it costs next to nothing.
"""

import time
from collections.abc import Mapping
from typing import Final

import orjson

from billing.webhooks import signing
from billing.webhooks.listening import Ear
from billing.webhooks.network import Poster
from config.kit import clock, ids
from config.kit.limits import MESSAGE_BYTES_MAX

TIMEOUT_S: Final = 3.0
AT_ONCE_MAX: Final = 64
EACH_MAX: Final = 8
"""Questions under way to one endpoint; the next one reads the template."""
REST_S: Final = 30.0
"""How long an endpoint that failed is not asked."""
ENDPOINTS_MAX: Final = 10_000
BODY_BYTES_MAX: Final = 2 * MESSAGE_BYTES_MAX
"""JSON may spell each byte in more than one."""


class Words:
    """Asks message endpoints; one per process."""

    def __init__(self, poster: Poster | None = None) -> None:
        self._poster = poster
        self._under_way: dict[str, int] = {}
        self._resting: dict[str, float] = {}

    async def close(self) -> None:
        if self._poster is not None:
            await self._poster.close()

    async def ask(self, ear: Ear, question: Mapping[str, object]) -> str | None:
        """What the endpoint says; None: use the template."""
        under_way = self._under_way.get(ear.url, 0)
        is_resting = self._resting.get(ear.url, 0.0) > time.monotonic()
        if is_resting or under_way >= EACH_MAX or sum(self._under_way.values()) >= AT_ONCE_MAX:
            return None
        self._under_way[ear.url] = under_way + 1
        try:
            said = await self._ask(ear, question)
        finally:
            self._under_way[ear.url] -= 1
            if not self._under_way[ear.url]:
                del self._under_way[ear.url]
        if said is None:
            if len(self._resting) >= ENDPOINTS_MAX:
                self._resting.clear()
            self._resting[ear.url] = time.monotonic() + REST_S
        else:
            self._resting.pop(ear.url, None)
        return said

    async def _ask(self, ear: Ear, question: Mapping[str, object]) -> str | None:
        if self._poster is None:
            self._poster = Poster(timeout_s=TIMEOUT_S)
        body = orjson.dumps(question)
        signed = signing.headers(
            body,
            id_text=ids.encode("evt", ids.uuid7()),
            stamp=int(clock.now().timestamp()),
            keys=ear.secrets,
        )
        outcome = await self._poster.post(ear.url, body, signed, keep_bytes=BODY_BYTES_MAX + 1)
        return _message(outcome.response) if outcome.is_success else None


def _message(text: str) -> str | None:
    if len(text) > BODY_BYTES_MAX:
        return None
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    message = answer.get("message") if isinstance(answer, dict) else None
    if not isinstance(message, str) or not message.strip():
        return None
    return message if len(message.encode()) <= MESSAGE_BYTES_MAX else None
