"""One call to the API, from its key to its answer."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.stripe import faults, forms, keys, legacy, params
from tests.fakes.stripe.errors import ApiError, CardError, PermissionMissingError
from tests.fakes.stripe.events import API_VERSION
from tests.fakes.stripe.expand import expanded
from tests.fakes.stripe.faults import Fault
from tests.fakes.stripe.http import Request, Response
from tests.fakes.stripe.idempotency import Memory
from tests.fakes.stripe.routes import Call, Operation, find
from tests.fakes.stripe.world import Key, Realm, World, new_id


@dataclass
class Api:
    """Answers `/v1/…`, and counts."""

    world: World
    faults: list[Fault] = field(default_factory=list)
    calls: list[tuple[float, str]] = field(default_factory=list)
    """(seconds by the loop's clock, such as `POST /v1/checkout/sessions`)."""

    async def answer(self, request: Request) -> Response:
        request_id = new_id("req_", 14)
        try:
            response = await self._answer(request, request_id)
        except ApiError as error:
            response = Response.of(error.body(), error.status)
            response.headers.update(error.headers)
        response.headers.setdefault("request-id", request_id)
        response.headers.setdefault("stripe-version", API_VERSION)
        return response

    async def _answer(self, request: Request, request_id: str) -> Response:
        key = keys.authenticate(self.world, request.headers.get("authorization", ""))
        found = find(request.method, request.path)
        if found is None:
            self._count(f"{request.method} {request.path}")
            raise ApiError(
                f"Unrecognized request URL ({request.method}: {request.path}).", code="url_invalid"
            )
        operation, ids = found
        self._count(f"{operation.method} {operation.path}")
        check_version(request)
        keys.check_permission(key, operation)
        realm = self._realm(key, request)
        fault = faults.take(self.faults, request.method, request.path)
        if fault:
            faults.refuse_before(fault)
        memory = Memory(self.world, realm, request)
        if (kept := memory.recall()) is not None:
            return kept
        in_query = request.method in ("GET", "DELETE")
        text = request.query if in_query else request.body.decode()
        given = forms.parse_form(text)
        if "stripe-version" not in request.headers:
            given = legacy.modern(given, request.path)
        call = Call(
            world=self.world,
            realm=realm,
            request_id=request_id,
            idempotency_key=memory.key or None,
            params=params.typed(given, operation.params) if operation.params else given,
            ids=ids,
        )
        return await self._perform(operation, call, memory, request, fault)

    def _realm(self, key: Key, request: Request) -> Realm:
        """The key's own account, or the connected one it acts for."""
        account = request.headers.get("stripe-account")
        if not account or account == key.account:
            return self.world.realm(key.account, livemode=key.livemode)
        realm = self.world.realms.get(f"{account}:{'live' if key.livemode else 'test'}")
        if realm is None or realm.platform != key.account:
            raise PermissionMissingError(
                f"The provided key '{keys.masked(key.secret)}' does not have access to account"
                f" '{account}' (or that account does not exist). Application access may have been"
                " revoked.",
                code="account_invalid",
            )
        return realm

    async def _perform(
        self,
        operation: Operation,
        call: Call,
        memory: Memory,
        request: Request,
        fault: Fault | None,
    ) -> Response:
        memory.begin()
        kind = fault.kind if fault else ""
        if fault and kind in ("slow", "timeout"):
            await hold(request, fault.seconds)
        if kind == "timeout":
            memory.forget()
            return Response.of({}, 504)
        if kind == "500":
            response = Response.of(faults.server_error().body(), 500)
        else:
            response = self._run(operation, call, memory)
        if kind == "500_after" and response.status == 200:
            response = Response.of(faults.server_error().body(), 500)
        if call.request_id and memory.name in self.world.answers:
            memory.keep(response, call.request_id)
        self.world.is_changed |= request.method != "GET"
        if fault and kind == "timeout_after":
            await hold(request, fault.seconds)
        return response

    def _run(self, operation: Operation, call: Call, memory: Memory) -> Response:
        """The handler's answer. What it refuses is forgotten, unless a payment was tried."""
        paths: list[str] = call.params.get("expand", [])
        try:
            return Response.of(expanded(call, operation.handler(call), paths))
        except CardError as error:
            return Response.of(error.body(), error.status)
        except ApiError:
            memory.forget()
            raise

    def _count(self, what: str) -> None:
        self.calls.append((asyncio.get_running_loop().time(), what))

    def counts(self) -> dict[str, Any]:
        """Calls by method and path, and the most in any second."""
        by_path: dict[str, int] = {}
        peak, first = 0, 0
        for index, (when, what) in enumerate(self.calls):
            by_path[what] = by_path.get(what, 0) + 1
            while when - self.calls[first][0] >= 1:
                first += 1
            peak = max(peak, index - first + 1)
        return {"total": len(self.calls), "peak_per_s": peak, "calls": by_path}


def check_version(request: Request) -> None:
    """The stand-in speaks one version. Raises: ApiError for a client pinned to another."""
    version = request.headers.get("stripe-version", API_VERSION)
    if version != API_VERSION:
        raise ApiError(
            f"Invalid Stripe API version: {version}. This stand-in speaks {API_VERSION} alone."
        )


async def hold(request: Request, seconds: float) -> None:
    """Keep the line open, until the client hangs up at the latest."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await request.gone()
