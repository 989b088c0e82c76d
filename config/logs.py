"""Structured logging: JSON lines in production, readable ones in debug. Never a key or a body."""

import logging
import re
import sys
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED: Final = "[redacted]"
SECRET_FIELDS: Final = frozenset(
    {
        "api_key",
        "authorization",
        "body",
        "content",
        "cookie",
        "key",
        "messages",
        "password",
        "prompt",
        "secret",
        "set-cookie",
        "token",
        "x-api-key",
    }
)
SECRET_TEXT: Final = re.compile(
    r"(?:sk|rk|pk)[-_][A-Za-z0-9_-]{8,}|whsec_[A-Za-z0-9+/=_-]{8,}|(?i:bearer)\s+[^\s'\",]{8,}"
)


class ErrorStream(logging.Handler):
    """Writes where `sys.stderr` leads at that moment; tests and supervisors replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # A log line never breaks what it tells of.
            self.handleError(record)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank what must never be written: fields by name, keys wherever they stand.

    >>> redact(None, "info", {"event": "called with sk-abcdefgh12345", "Authorization": "x"})
    {'event': 'called with [redacted]', 'Authorization': '[redacted]'}
    """
    return {name: _redacted(name, value) for name, value in event.items()}


def _redacted(name: str, value: object) -> object:
    if name.lower() in SECRET_FIELDS:
        return REDACTED
    if isinstance(value, str):
        return SECRET_TEXT.sub(REDACTED, value)
    if isinstance(value, dict):
        return {key: _redacted(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", item) for item in value]
    return value


def drop_colors(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Uvicorn sends its sentences a second time, coloured."""
    event.pop("color_message", None)
    return event


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        drop_colors,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]


def logging_config(*, as_json: bool) -> dict[str, Any]:
    """Django's LOGGING: every logger, uvicorn's and Celery's too, through one handler."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Processor = structlog.dev.ConsoleRenderer(colors=False)
    if as_json:
        renderer = structlog.processors.JSONRenderer()
    through_console = {"handlers": ["console"], "level": "INFO", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _shared(),
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    renderer,
                ],
            },
        },
        "handlers": {"console": {"()": ErrorStream, "formatter": "structured"}},
        "root": {"handlers": ["console"], "level": "WARNING"},
        "loggers": {
            "celery": through_console,
            "django": through_console,
            "paywalls": through_console,
            "uvicorn": through_console,
            # Its handler writes every path, and paths can name end users.
            "uvicorn.access": {"handlers": [], "level": "CRITICAL", "propagate": False},
        },
    }
