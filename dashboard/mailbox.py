"""The demo's mail: kept in Valkey for a page instead of being sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import redis
from django.conf import settings
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.message import EmailMessage

from config.kit import clock

KEY: Final = "demo:mailbox"
KEPT: Final = 50
KEPT_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One that was sent."""

    to: str
    subject: str
    text: str
    sent_at: str


class Mailbox(BaseEmailBackend):
    """Django's mail backend of the demo."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        with _valkey() as valkey, valkey.pipeline() as pipeline:
            for each in email_messages:
                mail = {
                    "to": ", ".join(each.to),
                    "subject": each.subject,
                    "text": str(each.body),
                    "sent_at": clock.wire(clock.now()),
                }
                pipeline.lpush(KEY, orjson.dumps(mail))
            pipeline.ltrim(KEY, 0, KEPT - 1)
            pipeline.expire(KEY, KEPT_S)
            pipeline.execute()
        return len(email_messages)


def newest() -> list[Mail]:
    """What was sent, the newest first."""
    with _valkey() as valkey:
        found: Any = valkey.lrange(KEY, 0, KEPT - 1)
    return [Mail(**orjson.loads(each)) for each in found]


def _valkey() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL)
