"""What the assistant says when it cannot answer: the paywall's own text, or ours."""

import re
from typing import Final

from config.kit import limits
from config.kit.errors import InvalidRequestError
from paywalls import audit
from paywalls.models import MessageTemplate, Paywall

Event = MessageTemplate.Event

DEFAULTS: Final[dict[str, str]] = {
    Event.AUTHORIZATION_REQUIRED.value: (
        "To use {{name}} you first need to connect your wallet. It takes a minute: {{url}}"
    ),
    Event.INSUFFICIENT_FUNDS.value: (
        "Your balance for {{name}} is used up. Top it up here and ask me again: {{url}}"
    ),
    Event.MODEL_UNAVAILABLE.value: (
        "The model you asked for is not available at the moment. Please try again later, "
        "or choose another one."
    ),
    Event.PAYMENTS_UNAVAILABLE.value: (
        "Your balance for {{name}} is used up, and payments are unavailable just now. The people "
        "who run {{name}} have been told. Please try again later."
    ),
}

WITHOUT_LINK: Final = frozenset({Event.MODEL_UNAVAILABLE, Event.PAYMENTS_UNAVAILABLE})
"""Events on which the reader can do nothing: `{{url}}` is only our address."""

CAP_REACHED: Final = (
    "You have used up what you allowed {{name}} to spend. You can allow more here: {{url}}"
)
"""Shared mode, in our words for every paywall: it is between us and the wallet's owner."""

_PLACE: Final = re.compile(r"\{\{ *(url|name) *\}\}")


def render(text: str, *, url: str, name: str) -> str:
    """Fill in `{{url}}` and `{{name}}`; everything else stays as it is, filled-in text too.

    >>> render("Hi, {{ name }}: {{url}} {{7*7}}", url="https://x", name="{{url}}")
    'Hi, {{url}}: https://x {{7*7}}'
    """
    values = {"url": url, "name": name}
    return _PLACE.sub(lambda found: values[found[1]], text)


def has_link(text: str) -> bool:
    """Whether the text has a place for the link."""
    return any(found[1] == "url" for found in _PLACE.finditer(text))


def set_message(paywall: Paywall, event: str, text: str, *, actor: str) -> MessageTemplate:
    """Replace the text of one event, in the caller's transaction.

    Raises: InvalidRequestError for an unknown event or a text that is empty or too long.
    """
    audit.lock(paywall)
    _check_event(event)
    if not text.strip() or len(text) > limits.TEMPLATE_CHARS_MAX or "\0" in text:
        raise InvalidRequestError(
            f"A message has 1 to {limits.TEMPLATE_CHARS_MAX} characters.", param="text"
        )
    known = MessageTemplate.objects.filter(paywall=paywall, event=event).first()
    before = {"text": known.text} if known else None
    if before == {"text": text}:
        assert known, "a text was found"
        return known
    template, _ = MessageTemplate.objects.update_or_create(
        paywall=paywall, event=event, defaults={"text": text}
    )
    audit.record(
        paywall=paywall,
        actor=actor,
        action="message.set",
        subject=event,
        before=before,
        after={"text": text},
    )
    return template


def reset_message(paywall: Paywall, event: str, *, actor: str) -> None:
    """Go back to our text, in the caller's transaction.

    Raises: InvalidRequestError for an unknown event.
    """
    audit.lock(paywall)
    _check_event(event)
    for template in MessageTemplate.objects.filter(paywall=paywall, event=event):
        template.delete()
        audit.record(
            paywall=paywall,
            actor=actor,
            action="message.reset",
            subject=event,
            before={"text": template.text},
        )


def _check_event(event: str) -> None:
    if event not in Event.values:
        raise InvalidRequestError(
            f"{event!r} is not an event: choose from {', '.join(Event.values)}.", param="event"
        )
