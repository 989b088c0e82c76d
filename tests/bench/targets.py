"""What stands beside us: the stub itself, nginx, LiteLLM and Portkey, each one process."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.dev import servers
from config.dev.probes import http_answers
from config.dev.process import Child, NotStartedError, wait_until
from config.dev.state import State
from tests.bench.cases import BY_NAME
from tests.bench.driver import Address
from tests.bench.machine import Layout
from tests.bench.programs import CACHE, program, python_environment, run_or_fail

LITELLM = "litellm[proxy]"
LITELLM_KEY = "sk-bench"
PORTKEY = "@portkey-ai/gateway"
PORTKEY_PARTS = {PORTKEY: "1", "@hono/node-server": "1.13.8"}
"""With newer versions of its server every stream of the gateway's is a 500 ("immutable")."""
NODE_LEAST = 20
PEER_START_S = 60
MODELS = sorted({case.model for case in BY_NAME.values()})
NGINX = """worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
keepalive_requests 100000000; client_body_buffer_size 1m;
upstream stub {{ server 127.0.0.1:{stub}; keepalive 1024; keepalive_requests 100000000; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://stub; proxy_http_version 1.1;
proxy_set_header Connection ""; proxy_buffering off; }} }} }}
"""


@dataclass(frozen=True)
class Target:
    """One server under test.

    is_server: false for the stub, which is part of what drives the others.
    processes: that serve requests.
    """

    name: str
    address: Address
    child: Child
    cores: Layout
    is_server: bool = True
    processes: int = 1

    @property
    def pid(self) -> int:
        return self.child.process.pid


def start(
    name: str, command: list[str], state: State, environment: Mapping[str, str] | None = None
) -> Child:
    """A program of the benchmark's, with a log of its own."""
    return Child(
        name=name,
        command=command,
        log=state.log(name),
        environment={**os.environ, **(environment or {})},
        folder=state.folder,
    ).start()


def start_stub(state: State, port: int) -> Child:
    child = start("stub", [str(program("stub")), str(port)], state)
    servers.wait_for_port(child, port)
    return child


def nginx_binary() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/opt/homebrew/bin")


def nginx_version(binary: str) -> str:
    """It says so on stderr."""
    told = subprocess.run([binary, "-v"], capture_output=True, text=True, check=False).stderr
    return told.strip().rpartition("/")[2]


def start_nginx(state: State, binary: str, *, port: int, stub_port: int) -> Child:
    folder = state.folder / "nginx"  # Its own: started as root, it gives it to another user.
    folder.mkdir()
    settings = state.folder / "nginx.conf"
    settings.write_text(NGINX.format(folder=folder, stub=stub_port, port=port))
    command = [binary, "-e", str(state.log("nginx")), "-c", str(settings), "-p", str(folder)]
    child = start("nginx", command, state)
    servers.wait_for_port(child, port)
    return child


# LiteLLM: as its package installs, without a database, so it neither bills nor looks keys up.


def litellm_python() -> Path | None:
    folder = CACHE / "litellm"
    return folder / "bin" / "python" if (folder / "installed").exists() else None


def install_litellm() -> None:
    python_environment("litellm", LITELLM)


def litellm_version(python: Path) -> str:
    ask = "from importlib.metadata import version; print(version('litellm'))"
    return run_or_fail([str(python), "-c", ask], "asking LiteLLM for its version").strip()


def start_litellm(state: State, python: Path, *, port: int, stub_port: int) -> Child:
    """Its settings are JSON, which is YAML too."""
    upstream = {"api_base": f"http://{servers.HOST}:{stub_port}/v1", "api_key": "stub"}
    settings = {
        "model_list": [
            {"model_name": name, "litellm_params": {"model": f"openai/{name}", **upstream}}
            for name in MODELS
        ],
        "litellm_settings": {"drop_params": True, "telemetry": False, "set_verbose": False},
        "general_settings": {"master_key": LITELLM_KEY},
    }
    path = state.folder / "litellm.yaml"
    path.write_text(json.dumps(settings))
    command = [str(python.parent / "litellm"), "--config", str(path), "--host", servers.HOST]
    command += ["--port", str(port), "--num_workers", "1"]
    child = start("litellm", command, state, {"LITELLM_LOCAL_MODEL_COST_MAP": "True"})
    url = f"http://{servers.HOST}:{port}/health/liveliness"
    wait_until(lambda: http_answers(url), children=[child], timeout_s=PEER_START_S, what="LiteLLM")
    return child


# Portkey: keeps no keys and no accounts.


def portkey_package() -> Path | None:
    package = CACHE / "portkey" / "node_modules" / PORTKEY
    return package if (package / "package.json").exists() else None


def install_portkey() -> None:
    """Raises: NotStartedError when Node is missing or too old, or npm fails."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise NotStartedError(f"Portkey needs Node {NODE_LEAST} or newer, with npm: install it.")
    version = run_or_fail([node, "--version"], "asking Node for its version").strip()
    if int(version.removeprefix("v").partition(".")[0]) < NODE_LEAST:
        raise NotStartedError(f"Portkey needs Node {NODE_LEAST} or newer, this is {version}.")
    if portkey_package():
        return
    folder = CACHE / "portkey"
    folder.mkdir(parents=True, exist_ok=True)
    pinned = {"@hono/node-server": PORTKEY_PARTS["@hono/node-server"]}
    package = {"private": True, "dependencies": PORTKEY_PARTS, "overrides": pinned}
    (folder / "package.json").write_text(json.dumps(package))
    print(f"Installing {PORTKEY} into {folder} …", flush=True)
    run_or_fail([npm, "install", "--no-audit", "--no-fund"], "npm install", folder=folder)


def portkey_version(package: Path) -> str:
    told: str = json.loads((package / "package.json").read_text())["version"]
    return told


def start_portkey(state: State, package: Path, *, port: int) -> Child:
    node = shutil.which("node")
    if not node:
        raise NotStartedError("Portkey is installed but Node is not: install it.")
    command = [node, str(package / "build" / "start-server.js"), f"--port={port}", "--headless"]
    child = start("portkey", command, state, {"NODE_ENV": "production"})
    servers.wait_for_port(child, port)
    return child


def portkey_headers(stub_port: int) -> tuple[str, ...]:
    upstream = f"http://{servers.HOST}:{stub_port}/v1"
    return (
        "Authorization: Bearer stub",
        "x-portkey-provider: openai",
        f"x-portkey-custom-host: {upstream}",
    )
