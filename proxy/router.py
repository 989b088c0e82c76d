"""From an address to what answers it: exact paths, one value in them, or a user in front."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import unquote

from config.kit.errors import InvalidRequestError
from config.kit.limits import JSON_BODY_BYTES_MAX
from proxy.errors import MethodNotAllowedError, NotFoundError
from proxy.requests import Call, Exchange
from proxy.services import Services

type Handler = Callable[[Services, Call], Awaitable[None]]

BASE: Final = "/v1/"
RESERVED: Final = frozenset(
    {
        "audio", "chat", "checkout", "completions", "credits", "embeddings", "files",
        "generation", "images", "key", "mcp", "messages", "models", "moderations",
        "openapi.json", "openapi.yml", "packages", "quote", "receipts", "requests", "responses",
        "user", "users", "videos", "webhooks",
        # A base URL that ends in /v1 twice is a mistake, not a user's wallet.
        "v1",
    }
)  # fmt: skip
"""First segments that are never a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What one method of one address needs before its handler runs.

    scope: of the key. needs_user: someone's wallet is meant. spends: not while paused.
    moves_money: an Idempotency-Key counts. body_bytes_max: 0 reads no body.
    """

    handler: Handler
    scope: str
    needs_user: bool = True
    spends: bool = False
    moves_money: bool = False
    body: Literal["none", "optional", "required"] = "none"
    body_bytes_max: int = JSON_BODY_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Public:
    """What one method of an address does that needs no key. It gets the values in the address."""

    handler: Callable[[Exchange, Mapping[str, str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """An address and what each method does there.

    name: as documentation and metrics have it, `/v1/requests/{id}`.
    """

    name: str
    methods: Mapping[str, Endpoint | Public]

    def on(self, method: str) -> Endpoint | Public:
        """What answers a method; HEAD is a GET whose body the server leaves out.

        Raises: MethodNotAllowedError.
        """
        found = self.methods.get("GET" if method == "HEAD" else method)
        if found is None:
            allowed = sorted({*self.methods, *({"HEAD"} if "GET" in self.methods else ())})
            raise MethodNotAllowedError(tuple(allowed))
        return found


@dataclass(frozen=True, slots=True)
class Match:
    """A route with what stood in the address: a user in front, values at the end."""

    route: Route
    user: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)


class Router:
    """All routes of the public API."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Match] = {}
        self._nested: dict[tuple[str, str], tuple[str, Route]] = {}
        for route in routes:
            parent, opening, rest = route.name.partition("{")
            part, _, tail = rest.partition("}")
            if opening:
                self._nested[parent, tail] = (part, route)
            else:
                self._exact[route.name] = Match(route)

    def resolve(self, path: str, raw_path: bytes) -> Match:
        """The route of an address. path: decoded; raw_path: as it was sent.

        Raises: NotFoundError; InvalidRequestError for a user that is not UTF-8.
        """
        return self._exact.get(path) or self._resolve_slowly(raw_path.decode("latin-1"))

    def _resolve_slowly(self, raw_path: str) -> Match:
        """With a user in front, a value at the end, or a slash too many."""
        first, *rest = raw_path.removeprefix(BASE).removesuffix("/").split("/")
        user = ""
        if rest and (name := _decoded(first)) not in RESERVED:
            user, first, rest = name, rest[0], rest[1:]
        path = BASE + "/".join((first, *rest))
        if exact := self._exact.get(path):
            return Match(exact.route, user)
        parent, _, last = path.rpartition("/")
        before, _, value = parent.rpartition("/")
        for around, inner in (((f"{parent}/", ""), last), ((f"{before}/", f"/{last}"), value)):
            if inner and around in self._nested:
                part, route = self._nested[around]
                return Match(route, user, {part: _decoded(inner)})
        raise NotFoundError("There is nothing at this address. /v1/openapi.json lists what is.")


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict") if "%" in segment else segment
    except UnicodeDecodeError:
        raise InvalidRequestError("The address is not UTF-8.") from None
