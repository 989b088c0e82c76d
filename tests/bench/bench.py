"""Starts every target, measures, looks at the ledger, and says it all in one report."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from config.dev.process import Child, stop_all
from config.dev.state import State
from config.kit import clock
from tests.bench import machine, targets
from tests.bench.cases import BY_NAME, OURS, TITLES, Case
from tests.bench.driver import Address
from tests.bench.figures import Report, Run
from tests.bench.product import HOT, USERS, Product
from tests.bench.rounds import Rounds, ceiling
from tests.bench.targets import Target

STOP_S = 15
CEILING_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was asked for."""

    cases: Sequence[Case]
    targets: Sequence[str]
    rounds: int
    seconds: float


class Bench:
    """All that runs, from the stub to the last peer; `stop` ends it."""

    def __init__(self, state: State, plan: Plan) -> None:
        self.state, self.plan = state, plan
        self.product = Product(state) if set(OURS) & set(plan.targets) else None
        self.children: list[Child] = []
        self.targets: dict[str, Target] = {}
        self.versions: dict[str, str] = {}
        self.notes: list[str] = []
        self.cores = machine.own_cores()

    def run(self) -> Report:
        """Everything, in order.

        Raises: NotStartedError.
        """
        self.start()
        self.pin()
        direct, rounds = self.targets["direct"], self.rounds()
        print(f"{rounds.total} runs, some {rounds.duration_s() / 60:.1f} minutes.", flush=True)
        servers = [target for target in self.targets.values() if target.is_server]
        idle = {each.name: machine.pss_mb(each.pid) / each.processes for each in servers}
        most = ceiling(direct, rounds.body, min(CEILING_S, self.plan.seconds))
        seasoned = self.season(rounds)
        runs = tuple(rounds.measure())
        return Report(
            date=f"{clock.now():%-d %B %Y}",
            machine=machine.describe(self.cores),
            versions=self.versions,
            rounds=self.plan.rounds,
            seconds=self.plan.seconds,
            notes=tuple(self.notes),
            runs=runs,
            idle_mb=idle,
            ceiling=most,
            audit=self.audit([*seasoned, *runs]),
        )

    def start(self) -> None:
        """The stub, then whoever was asked for."""
        self.state.prepare()
        ports = self.state.ports("stub", *TITLES)
        stub = targets.start_stub(self.state, ports["stub"])
        self.children.append(stub)
        self.add("direct", Address(port=ports["stub"]), stub)
        if self.product:
            self.start_ours(self.product, ports)
        if "nginx" in self.plan.targets:
            self.start_nginx(ports)
        if "litellm" in self.plan.targets:
            self.start_litellm(ports)
        if "portkey" in self.plan.targets:
            self.start_portkey(ports)

    def add(self, name: str, address: Address, child: Child, *, processes: int = 1) -> None:
        if child not in self.children:
            self.children.append(child)
        cores = machine.layout(self.cores, processes)
        is_server = name != "direct"
        self.targets[name] = Target(name, address, child, cores, is_server, processes)

    def start_ours(self, product: Product, ports: dict[str, int]) -> None:
        product.start_servers(ports["ours"])
        product.set_up(ports["stub"])
        one = product.start_web("ours", ports["ours"], 1)
        self.children.append(one)
        product.wait_for_web(one, ports["ours"])
        product.fund(ports["ours"])
        self.versions["PostgreSQL"] = product.version()
        headers = (f"Authorization: Bearer {product.key}",)
        spread = Address(port=ports["ours"], headers=headers, model_prefix="stub/", users=USERS)
        self.add("ours", spread, one)
        if "hot" in self.plan.targets:
            alone = Address(port=ports["ours"], headers=headers, model_prefix="stub/", user=HOT)
            self.add("hot", alone, one)
        if "ours2" in self.plan.targets:
            both = product.start_web("ours2", ports["ours2"], 2)
            self.children.append(both)
            product.wait_for_web(both, ports["ours2"])
            where = Address(port=ports["ours2"], headers=headers, model_prefix="stub/", users=USERS)
            self.add("ours2", where, both, processes=2)

    def start_nginx(self, ports: dict[str, int]) -> None:
        binary = targets.nginx_binary()
        if not binary:
            self.notes.append("nginx is not installed.")
            return
        where = {"port": ports["nginx"], "stub_port": ports["stub"]}
        child = targets.start_nginx(self.state, binary, **where)
        self.versions["nginx"] = targets.nginx_version(binary)
        self.add("nginx", Address(port=ports["nginx"]), child)

    def start_litellm(self, ports: dict[str, int]) -> None:
        python = targets.litellm_python()
        if not python:
            self.notes.append("LiteLLM is not installed: `./run bench --peers` does it.")
            return
        where = {"port": ports["litellm"], "stub_port": ports["stub"]}
        child = targets.start_litellm(self.state, python, **where)
        self.versions["LiteLLM"] = targets.litellm_version(python)
        self.notes.append("LiteLLM runs without a database: without keys, budgets and billing.")
        headers = (f"Authorization: Bearer {targets.LITELLM_KEY}",)
        self.add("litellm", Address(port=ports["litellm"], headers=headers), child)

    def start_portkey(self, ports: dict[str, int]) -> None:
        package = targets.portkey_package()
        if not package:
            self.notes.append("Portkey is not installed: `./run bench --peers` does it.")
            return
        child = targets.start_portkey(self.state, package, port=ports["portkey"])
        self.versions["Portkey"] = targets.portkey_version(package)
        self.notes.append("Portkey has neither keys nor billing.")
        headers = targets.portkey_headers(ports["stub"])
        self.add("portkey", Address(port=ports["portkey"], headers=headers), child)

    def pin(self) -> None:
        """Everything to the back, then each target to its own cores."""
        machine.pin(os.getpid(), machine.layout(self.cores).back)
        for target in self.targets.values():
            if target.is_server:
                machine.pin(target.pid, target.cores.server)

    def rounds(self) -> Rounds:
        postgres = self.product.postgres if self.product else None
        stub = self.targets["direct"].child
        return Rounds(
            targets=[self.targets[name] for name in self.plan.targets if name in self.targets],
            cases=self.plan.cases,
            count=self.plan.rounds,
            seconds=self.plan.seconds,
            back=[stub, *([postgres] if postgres else [])],
            body=self.state.folder / "body.json",
            postgres=postgres,
        )

    def season(self, rounds: Rounds) -> list[Run]:
        """Rows in the tables, then what autovacuum does within a minute: plans know their sizes.

        Not measured, but the ledger remembers.
        """
        if not self.product:
            return []
        ours = [target for name, target in self.targets.items() if name in OURS]
        runs = [rounds.one(0, BY_NAME["json64"], target) for target in ours]
        self.product.tidy()
        return runs

    def audit(self, runs: Sequence[Run]) -> dict[str, object] | None:
        """What the ledger says, beside what the driver got from ours."""
        if not self.product:
            return None
        paid = [run for run in runs if run.target in OURS and not BY_NAME[run.case].user]
        answers = sum(run.answered for run in paid)
        audit = self.product.audit(answers)
        print(f"\n{audit.printed}\n", flush=True)
        return asdict(audit)

    def stop(self) -> None:
        stop_all(self.children, timeout_s=STOP_S)
        if self.product:
            self.product.stop()
