"""One method of one address, as the OpenAPI document describes it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proxy.schemas import Schema

WITH_BODY: Final = (408, 413, 415)
"""Answers that only a request with a body can get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one address, as the document describes it."""

    path: str
    method: str = "get"
    name: str
    summary: str
    answer: Schema | None = None
    success: int = 200
    media: tuple[str, ...] = ("application/json",)
    is_public: bool = False
    body: Schema | None = None
    body_required: bool = True
    example: Schema | None = None
    parameters: tuple[str, ...] = ()
    statuses: Iterable[int] = ()
