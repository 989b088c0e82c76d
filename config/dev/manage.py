"""`./run manage …`: a management command on the demo's data.

While the demo runs its servers are used; else they are started for as long as it takes.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from config.dev.database import ROOT
from config.dev.process import INTERRUPTED, NotStartedError, end_on_signals
from config.dev.stack import Stack
from config.dev.state import State, in_one_line, state_of_environment

UNMIGRATED = ("check", "help", "makemigrations", "migrate", "showmigrations", "sqlmigrate")
TURN_S = 120


def main(arguments: list[str]) -> int:
    end_on_signals()
    state = state_of_environment()
    try:
        state.prepare()
        return run_where_possible(arguments, state)
    except NotStartedError as error:
        print(f"./run manage: {error}", file=sys.stderr)
    except OSError as error:
        print(f"./run manage: {in_one_line(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 1


def run_where_possible(arguments: list[str], state: State) -> int:
    """With the demo's servers, or alone; one that starts or another command is waited for."""
    ends = time.monotonic() + TURN_S
    while time.monotonic() < ends:
        with state.taken() as is_ours:
            if is_ours:
                return run_alone(arguments, state)
        if state.environment_file.exists():
            return run(arguments, state.read_environment())
        time.sleep(0.1)
    raise NotStartedError(f"{state.folder} is in use, but its demo does not come up.")


def run_alone(arguments: list[str], state: State) -> int:
    state.environment_file.unlink(missing_ok=True)
    stack = Stack(state, say=lambda _line: None)
    try:
        stack.start()
        if arguments and arguments[0] not in UNMIGRATED:
            stack.migrate()
        return run(arguments, stack.environment)
    finally:
        stack.stop()


def run(arguments: list[str], environment: dict[str, str]) -> int:
    command: list[str | Path] = [sys.executable, ROOT / "manage.py", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
