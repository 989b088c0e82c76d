"""Sample data of the demo, and the words that introduce it."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.dev import database
from config.dev.stack import Say
from config.dev.state import State, write_whole

COMMAND = "seed_demo"
ANSWER = "seed.json"


def seed(state: State, environment: Mapping[str, str], say: Say) -> dict[str, Any]:
    """What the seeding command answered; asked once per state of its code and addresses."""
    sources = sorted(database.ROOT.glob(f"*/management/commands/{COMMAND}*.py"))
    if not sources:
        return {}
    answer = state.folder / ANSWER
    stamp = _stamp(sources, environment)
    if answer.exists():
        kept: dict[str, Any] = json.loads(answer.read_text())
        if kept["stamp"] == stamp:
            return dict(kept["sample"])
    say("Seeding sample data")
    printed = database.manage([COMMAND], environment, log=state.log("seed"))
    sample: dict[str, Any] = json.loads(printed)
    write_whole(answer, json.dumps({"stamp": stamp, "sample": sample}))
    return sample


def forget(state: State) -> None:
    """Ask again: the database may be new."""
    (state.folder / ANSWER).unlink(missing_ok=True)


def _stamp(sources: list[Path], environment: Mapping[str, str]) -> str:
    """The database's address is part of it: a new database has no sample data."""
    names = ("BASE_URL", "DATABASE_URL", "DEMO_PROVIDER_URL", "STRIPE_API_BASE")
    parts = [database.schema_fingerprint(), *(environment[name] for name in names)]
    parts += [path.read_text() for path in sources]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def welcome(told: Mapping[str, Any], folder: Path) -> str:
    """Where it is, how to get in, and a request that works when pasted."""
    dashboard, paywalls = told["dashboard"], told.get("paywalls", [])
    lines = ["", f"  Paywalls    {told['url']}"]
    if "email" in dashboard:
        login = f"{dashboard['email']} / {dashboard['password']}"
        lines += [f"  Dashboard   {dashboard['url']}   {login}"]
    lines += [f"  Key         {wall['key']}   ({_kind(wall)})" for wall in paywalls]
    if any(wall.get("mode") == "shared" for wall in paywalls):
        mailbox = f"{told['url']}/demo/mailbox"
        lines += [f"  Wallet      {told['url']}/wallet   (its mail is at {mailbox})"]
    lines += [f"  Logs        {folder / 'logs'}", ""]
    if paywalls:
        body = {
            "model": told.get("model", ""),
            "user": told.get("user", "alice"),
            "messages": [{"role": "user", "content": "Hello!"}],
        }
        lines += [
            f"  curl {told['api_base']}/chat/completions \\",
            f"    -H 'Authorization: Bearer {paywalls[0]['key']}' \\",
            "    -H 'Content-Type: application/json' \\",
            f"    -d {shlex.quote(json.dumps(body))}",
            "",
        ]
    return "\n".join([*lines, "  Ctrl-C stops everything; the data stays for the next start.", ""])


def _kind(wall: Mapping[str, Any]) -> str:
    return f"{wall['name']}, Shared mode" if wall.get("mode") == "shared" else str(wall["name"])
