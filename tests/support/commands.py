"""Runs management commands as the command line would, in this process."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command


def run(name: str, *arguments: str) -> str:
    """What the command answered."""
    out = io.StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue().strip()


def run_json(name: str, *arguments: str) -> dict[str, Any]:
    """The facts behind the answer."""
    facts: dict[str, Any] = json.loads(run(name, *arguments, "--json"))
    return facts


def refusal(name: str, *arguments: str) -> str:
    """The one line with which the command refused."""
    with pytest.raises(CommandError) as caught:
        run(name, *arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text
