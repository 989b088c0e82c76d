"""`./run bench`: the proxy beside a direct call and nginx, in one run, on this machine.

The figures to quote are ratios: load, stub, PostgreSQL and proxy share the processor. nginx takes
part where it is installed. One server process, one wallet, every request reserved and settled.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from config.dev import database, load, servers, stub
from config.dev.probes import http_answers
from config.dev.process import (
    INTERRUPTED,
    UVICORN,
    Child,
    NotStartedError,
    end_on_signals,
    stop_all,
    wait_until,
)
from config.dev.stack import Stack
from config.dev.state import State, in_one_line

USER = "bench"
CASES = ((1, False), (16, False), (64, False), (1, True), (16, True))
NGINX = """worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
keepalive_requests 100000000;
upstream stub {{ server 127.0.0.1:{stub}; keepalive 256; keepalive_requests 100000000; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://stub; proxy_http_version 1.1;
proxy_set_header Connection ""; proxy_buffering off; }} }} }}
"""


class Bench:
    """What is measured, and all that it needs."""

    def __init__(self, state: State) -> None:
        self.state, self.stack = state, Stack(state, print)
        self.children: list[Child] = []
        self.targets: dict[str, tuple[str, str]] = {}
        """Name -> address of the API, key."""

    def start(self) -> None:
        self.state.prepare()
        self.stack.start()
        ports = self.state.ports("stub", "nginx", "web")
        self.stack.environment |= {
            "BASE_URL": f"http://localhost:{ports['web']}",
            "EGRESS_ALLOW": "127.0.0.0/8",
        }
        self.stack.migrate()
        self.start_stub(ports["stub"])
        self.start_nginx(ports["nginx"], ports["stub"])
        key = self.set_up_paywall(f"http://{servers.HOST}:{ports['stub']}/v1")
        self.start_web(ports["web"], key)

    def start_stub(self, port: int) -> None:
        command = [sys.executable, "-m", "config.dev.stub", str(port)]
        self.start_child("stub", command, port)
        self.targets["direct"] = (f"http://{servers.HOST}:{port}/v1", "none")

    def start_nginx(self, port: int, stub_port: int) -> None:
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if not nginx:
            return
        folder = self.state.folder
        settings = folder / "nginx.conf"
        settings.write_text(NGINX.format(folder=folder, stub=stub_port, port=port))
        self.start_child("nginx", [nginx, "-c", str(settings), "-p", str(folder)], port)
        self.targets["nginx"] = (f"http://{servers.HOST}:{port}/v1", "none")

    def start_web(self, port: int, key: str) -> None:
        command = [*UVICORN, "--lifespan=on", f"--port={port}", "config.asgi:application"]
        web = self.start_child("web", command, port)
        url = f"http://{servers.HOST}:{port}"
        wait_until(lambda: http_answers(f"{url}/readyz"), children=[web], timeout_s=30, what="web")
        self.targets["paywalls"] = (f"{url}/v1", key)

    def start_child(self, name: str, command: list[str], port: int) -> Child:
        environment = {**os.environ, **self.stack.environment}
        child = Child(
            name=name,
            command=command,
            log=self.state.log(name),
            environment=environment,
            folder=database.ROOT,
        ).start()
        self.children.append(child)
        servers.wait_for_port(child, port)
        return child

    def set_up_paywall(self, upstream: str) -> str:
        """A paywall that sells the stub's model to one rich user; returns its key."""
        self.manage("create_developer", "bench@example.com")
        self.manage("create_paywall", "Bench")
        connect = ("connect_provider", "--paywall=Bench", "--kind=compatible", "--name=stub")
        self.manage(*connect, "--key=stub", f"--base-url={upstream}")
        self.manage("sync_models", "--paywall=Bench", "--connection=stub")
        self.manage("set_price", "Bench", "--prefix=stub/", "--prompt=1", "--completion=2")
        self.manage("deposit", "Bench", USER, "1000000", "--reason=bench")
        return self.manage("create_key", "Bench")["key"]

    def manage(self, *arguments: str) -> Mapping[str, str]:
        printed = database.manage(
            [*arguments, "--json"], self.stack.environment, log=self.state.log("manage")
        )
        answer: Mapping[str, str] = json.loads(printed)
        return answer

    def measure(self, seconds: float) -> None:
        """One line a case and target; targets take turns, so that they share a bad moment."""
        print(f"\n{'case':<16}{'target':<10}{'per s':>9}{'median ms':>11}{'p99 ms':>9}  of direct")
        for clients, is_stream in CASES:
            direct = 0.0
            for name in self.targets:
                result = self.measure_one(name, clients, seconds, is_stream=is_stream)
                direct = direct or result.per_second
                case = f"{'SSE' if is_stream else 'JSON'} x {clients}"
                print(
                    f"{case:<16}{name:<10}{result.per_second:>9,.0f}{result.median_ms:>11.2f}"
                    f"{result.p99_ms:>9.2f}{result.per_second / direct:>9.3f}",
                    flush=True,
                )

    def measure_one(
        self, name: str, clients: int, seconds: float, *, is_stream: bool
    ) -> load.Result:
        url, key = self.targets[name]
        model = f"stub/{stub.MODEL}" if name == "paywalls" else stub.MODEL
        request = load.chat_request(url, key, model=model, user=USER, stream=is_stream)
        tally = load.measure(url, [request], clients=clients, seconds=seconds)
        if tally.failed:
            raise NotStartedError(
                f"{tally.failed} answers of {name} were not 200, such as: {tally.example[:500]!r}"
            )
        return tally.result()

    def stop(self) -> None:
        stop_all(self.children, timeout_s=10)
        self.stack.stop()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement (3)")
    seconds: float = parser.parse_args(arguments).seconds
    end_on_signals()
    folder = Path(tempfile.mkdtemp(prefix="paywalls-bench-"))
    bench = Bench(State(folder))
    try:
        bench.start()
        bench.measure(seconds)
    except NotStartedError as error:
        print(f"./run bench: {error}", file=sys.stderr)
    except OSError as error:
        print(f"./run bench: {in_one_line(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    else:
        return 0
    finally:
        bench.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
