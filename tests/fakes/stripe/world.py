"""What the stand-in remembers: accounts in each mode, keys, its clock, and where it is kept."""

import os
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.fakes.stripe.errors import NotFoundError
from tests.fakes.stripe.traffic import Traffic

ANSWERS_S = 86_400
DELIVERIES_MAX = 1000

type Thing = dict[str, Any]
"""One object as Stripe answers with it; names that begin with `_` are ours and never shown."""

ACCOUNT = "acct_1StandInForStripe"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def new_id(prefix: str, length: int = 24) -> str:
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(length))


@dataclass
class Key:
    """One API key. `permissions` None: a secret key, which may do everything."""

    secret: str
    account: str
    livemode: bool
    permissions: list[str] | None = None
    is_revoked: bool = False


@dataclass
class Realm:
    """One account in one mode: everything that its keys can see, by kind and id."""

    account: str
    livemode: bool
    platform: str | None = None
    """The account that made this one, and hears of its events."""
    things: dict[str, dict[str, Thing]] = field(default_factory=dict)

    def add(self, thing: Thing) -> Thing:
        self.things.setdefault(thing["object"], {})[thing["id"]] = thing
        return thing

    def all(self, kind: str) -> Iterable[Thing]:
        """Oldest first."""
        return self.things.get(kind, {}).values()

    def where(self, kind: str, **values: Any) -> list[Thing]:
        """Oldest first."""
        return [
            thing
            for thing in self.all(kind)
            if all(thing.get(name) == value for name, value in values.items())
        ]

    def find(self, kind: str, thing_id: str, *, param: str = "id") -> Thing:
        """Raises: NotFoundError."""
        found = self.things.get(kind, {}).get(thing_id)
        if found is None:
            raise NotFoundError(kind, thing_id, param=param)
        return found

    def any(self, thing_id: str) -> Thing | None:
        return next((kind[thing_id] for kind in self.things.values() if thing_id in kind), None)


@dataclass
class World:
    """Everything. One thread changes it, one call at a time."""

    path: Path | None = None
    offset_s: int = 0
    keys: dict[str, Key] = field(default_factory=dict)
    realms: dict[str, Realm] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """First answers by realm and idempotency key."""
    deliveries: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Events on their way to endpoints; see `delivery.py`."""
    traffic: Traffic = field(default_factory=Traffic)
    base_url: str = ""
    """Where this program answers, as its last caller called it."""
    is_changed: bool = False

    def now(self) -> int:
        """Seconds since 1970 by a clock that tests can advance."""
        return int(time.time()) + self.offset_s

    def realm(self, account: str, *, livemode: bool) -> Realm:
        name = f"{account}:{'live' if livemode else 'test'}"
        return self.realms.setdefault(name, Realm(account, livemode))

    def realm_of(self, thing_id: str) -> tuple[Realm, Thing]:
        """Where an object lives, for those who drive the stand-in and have no key.

        Raises: NotFoundError.
        """
        for realm in self.realms.values():
            if thing := realm.any(thing_id):
                return realm, thing
        raise NotFoundError("object", thing_id)

    def find_endpoint(self, endpoint_id: str) -> Thing | None:
        """None once it is deleted."""
        kinds = [realm.things.get("webhook_endpoint", {}) for realm in self.realms.values()]
        return next((kind[endpoint_id] for kind in kinds if endpoint_id in kind), None)

    def prune(self) -> None:
        """Forget answers after a day, as Stripe may, and old deliveries that arrived."""
        oldest = self.now() - ANSWERS_S
        for name in [name for name, kept in self.answers.items() if kept["at"] < oldest]:
            del self.answers[name]
        done = [name for name, each in self.deliveries.items() if each["state"] == "done"]
        for name in done[:-DELIVERIES_MAX]:
            del self.deliveries[name]

    def clear(self) -> None:
        """As on the first day."""
        self.offset_s, self.traffic = 0, Traffic()
        for kept in (self.keys, self.realms, self.answers, self.deliveries):
            kept.clear()

    def save(self) -> None:
        """Write the file whole, if there is one."""
        self.is_changed = False
        if self.path is None:
            return
        kept = {
            "offset_s": self.offset_s,
            "keys": [asdict(key) for key in self.keys.values()],
            "realms": [asdict(realm) for realm in self.realms.values()],
            "answers": self.answers,
            "deliveries": self.deliveries,
        }
        draft = self.path.with_name(f".{self.path.name}.draft")
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(orjson.dumps(kept))
        draft.replace(self.path)

    def load(self) -> None:
        """Go on from the file, if there is one."""
        if self.path is None or not self.path.exists():
            return
        kept = orjson.loads(self.path.read_bytes())
        self.offset_s = kept["offset_s"]
        self.keys = {key["secret"]: Key(**key) for key in kept["keys"]}
        for realm in kept["realms"]:
            loaded = self.realm(realm["account"], livemode=realm["livemode"])
            loaded.platform, loaded.things = realm["platform"], realm["things"]
        self.answers, self.deliveries = kept["answers"], kept["deliveries"]
        for delivery in self.deliveries.values():
            if delivery["state"] == "sending":
                delivery["state"] = "due"
