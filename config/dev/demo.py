"""`./run demo`: the whole product on this machine, with sample data, until Ctrl-C."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from config.dev import seed
from config.dev.database import ROOT
from config.dev.probes import http_answers, worker_listens
from config.dev.process import UVICORN, Child, NotStartedError, stop_all, wait_until
from config.dev.servers import HOST, HOST_V6, can_bind
from config.dev.stack import Stack
from config.dev.state import State, in_one_line, state_of_environment, write_whole
from tests.fakes.stripe.keys import seeded

READY_S = 60
STOP_S = 12
DEATHS_MAX, DEATHS_S = 5, 60
"""How many programs may end by themselves within so many seconds before the demo gives up."""
STRIPE = (sys.executable, "-m", "uvicorn", "--loop=uvloop", "--ws=none", "--no-access-log")
# The stand-in's live key: a test key would put the paywall in test as a whole, and the money of the
# sample key's users would be elsewhere than in the wallets that the demo shows.
STRIPE_KEY = seeded("rk", "live")
PLATFORM_KEY = seeded("sk", "live")
DEMO_ENVIRONMENT = {
    "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
    "DRAIN_S": "8",
    "EGRESS_ALLOW": "localhost,127.0.0.0/8,::1",
    "LOG_JSON": "false",
}


class Demo:
    """Everything that runs, in the order in which it starts; stopped in the opposite order."""

    def __init__(self, state: State, port: int) -> None:
        self.state, self.port = state, port
        self.began = time.monotonic()
        self.stack = Stack(state, self.say)
        self.product: list[Child] = []
        self.is_stopping = False
        self.deaths: list[float] = []

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def say(self, line: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {line}", flush=True)

    def run(self, *, is_ours: bool) -> None:
        """Start, tell, and watch until a signal comes or a program ends too often."""
        if not is_ours:
            raise NotStartedError(
                f"a demo or command already runs on {self.state.folder}: stop it,"
                " or choose another folder with PAYWALLS_STATE."
            )
        try:
            self.start()
            while not self.is_stopping:
                time.sleep(0.2)
                for child in (*self.stack.children, *self.product):
                    if not child.is_running and not self.is_stopping:
                        self.revive(child)
        except Stopped:
            pass
        finally:
            self.stop()

    def revive(self, child: Child) -> None:
        """Start a program again that ended by itself, as a service manager would.

        Raises: NotStartedError when that happens too often to be an accident.
        """
        now = time.monotonic()
        self.deaths = [when for when in self.deaths if now - when < DEATHS_S] + [now]
        if len(self.deaths) > DEATHS_MAX:
            raise child.death()
        self.say(f"{child.name} ended (exit {child.process.returncode}): starting it again")
        child.start()

    def start(self) -> None:
        if not can_bind(self.port):
            raise NotStartedError(
                f"port {self.port} is in use: stop what listens there,"
                f" or choose another: PORT={self.port + 1} ./run demo"
            )
        for stale in (self.state.demo_file, self.state.environment_file):
            stale.unlink(missing_ok=True)
        stripe = self.start_stripe()
        self.stack.start()
        provider_port = self.state.ports("provider")["provider"]
        environment = {
            **self.stack.environment,
            **{name: os.environ.get(name, value) for name, value in DEMO_ENVIRONMENT.items()},
            "BASE_URL": self.url,
            "DEMO_PROVIDER_URL": f"http://{HOST}:{provider_port}",
            "BUILT_IN_PROVIDER": "demo",
            "DEMO_MAILBOX": "true",
            "DEMO_STRIPE_KEY": STRIPE_KEY,
            "DEMO_PLATFORM_STRIPE_KEY": PLATFORM_KEY,
            "STRIPE_API_BASE": stripe,
        }
        self.stack.environment = environment
        if self.stack.migrate():
            seed.forget(self.state)
        self.state.write_environment(environment)
        self.start_product(provider_port)
        self.wait_for("Stripe's stand-in", lambda: http_answers(f"{stripe}/healthz"))
        sample = seed.seed(self.state, environment, self.say)
        self.wait_for_product(provider_port)
        self.tell(sample)

    def start_stripe(self) -> str:
        """The stand-in for Stripe, which keeps what it knows; returns where it answers.

        It counts among the servers, so that it is there until the product has ended.
        """
        port = self.state.ports("stripe")["stripe"]
        self.say(f"Stripe's stand-in on port {port}")
        child = Child(
            name="stripe",
            command=[*STRIPE, f"--port={port}", "tests.fakes.stripe.app:app"],
            log=self.state.log("stripe"),
            environment={**os.environ, "FAKE_STRIPE_STATE": str(self.state.folder / "stripe.json")},
            folder=ROOT,
        )
        self.stack.children.append(child.start())
        return f"http://{HOST}:{port}"

    def start_product(self, provider_port: int) -> None:
        uvicorn = [*UVICORN, "--no-server-header"]
        celery = [sys.executable, "-m", "celery", "--app=config.celery"]
        worker = [*celery, "worker", "--pool=threads", "--concurrency=4", "--loglevel=INFO"]
        worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        schedule = self.state.folder / "beat-schedule"
        # Some clients try the IPv6 address of `localhost` alone.
        both = "localhost" if can_bind(self.port, HOST_V6) else HOST
        web = [*uvicorn, "--lifespan=on", f"--host={both}", f"--port={self.port}"]
        web += [f"--timeout-graceful-shutdown={STOP_S - 2}", "config.asgi:application"]
        commands = {
            "provider": [*uvicorn, f"--port={provider_port}", "providers.demo.app:app"],
            "web": web,
            "worker": worker,
            "beat": [*celery, "beat", f"--schedule={schedule}", "--pidfile=", "--loglevel=INFO"],
        }
        self.say("Starting web and proxy, worker, beat and the demo provider")
        environment = {**os.environ, **self.stack.environment}
        for name, command in commands.items():
            child = Child(
                name=name,
                command=command,
                log=self.state.log(name),
                environment=environment,
                folder=ROOT,
            )
            self.product.append(child.start())

    def wait_for_product(self, provider_port: int) -> None:
        web, provider = f"http://{HOST}:{self.port}", f"http://{HOST}:{provider_port}"
        redis_url = self.stack.environment["REDIS_URL"]
        for what, ready in (
            ("The demo provider", lambda: http_answers(f"{provider}/healthz")),
            ("The web server", lambda: http_answers(f"{web}/healthz")),
            ("The web server (/readyz)", lambda: http_answers(f"{web}/readyz")),
            ("The worker", lambda: worker_listens(redis_url)),
        ):
            self.wait_for(what, ready)

    def wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        children = [*self.stack.children, *self.product]
        wait_until(ready, children=children, timeout_s=READY_S, what=what)

    def tell(self, sample: dict[str, Any]) -> None:
        """Write demo.json, then show what to do next."""
        told = {**sample, "url": self.url, "api_base": f"{self.url}/v1"}
        told["dashboard"] = {"url": self.url, **sample.get("dashboard", {})}
        told["stripe"] = {"url": self.stack.environment["STRIPE_API_BASE"], "key": STRIPE_KEY}
        write_whole(self.state.demo_file, json.dumps(told, indent=2) + "\n")
        self.say("Everything answers")
        print(seed.welcome(told, self.state.folder), flush=True)

    def stop(self) -> None:
        """The product first, so that it can settle what is under way; then its servers."""
        self.is_stopping = True
        for stale in (self.state.demo_file, self.state.environment_file):
            stale.unlink(missing_ok=True)
        stop_all(self.product, timeout_s=STOP_S)
        self.stack.stop()

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Unwind from wherever the start is; a second signal changes nothing."""
        if not self.is_stopping:
            self.is_stopping = True
            self.say("Stopping")
            raise Stopped


class Stopped(BaseException):
    """Somebody asked the demo to end."""


def port_of_environment() -> int:
    given = os.environ.get("PORT") or "8000"
    if not given.isascii() or not given.isdigit() or not 0 < int(given) < 65_536:
        raise NotStartedError(f"PORT must be a number from 1 to 65535, not {given!r}.")
    return int(given)


def main() -> int:
    try:
        demo = Demo(state_of_environment(), port_of_environment())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, demo.on_signal)
        demo.state.prepare()
        with demo.state.taken() as is_ours:
            demo.run(is_ours=is_ours)
    except Stopped:
        return 0
    except NotStartedError as error:
        print(f"./run demo: {error}", file=sys.stderr)
    except OSError as error:
        print(f"./run demo: {in_one_line(error)}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
