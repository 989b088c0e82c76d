"""Somebody who follows a page of the documentation, line by line, against the running product."""

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command

KEY = "sk-paywalls-v1-…"
_MADE_KEY = re.compile(r"sk-paywalls-v1-[0-9A-Za-z]+")
_VALUES = {"-H": "headers", "-d": "data"}
_FLAGS = ("-N", "-i")


@dataclass
class Reader:
    """names: what a page calls a thing → what it is here, such as the address of the product."""

    names: dict[str, str]
    environment: pytest.MonkeyPatch
    variables: dict[str, str] = field(default_factory=dict)
    namespace: dict[str, Any] = field(default_factory=dict)

    def python(self, text: str) -> str:
        """What a snippet prints; the next one of the page goes on where it ended."""
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(self._here(text), "<documentation>", "exec"), self.namespace)
        return self._told(printed.getvalue())

    def shell(self, text: str) -> str:
        """What the commands print: curl, `./run manage …`, `export NAME=value`."""
        return "\n".join(self._run(words) for words in statements(text))

    def _run(self, words: list[str]) -> str:
        match [self._expanded(word) for word in words]:
            case ["curl", *rest]:
                return self._told(curl(rest))
            case ["./run", "manage", *rest]:
                return self._told(self._manage(rest))
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                self.variables[f"${name}"] = value
                self.environment.setenv(name, value)
                return ""
            case other:
                raise AssertionError(f"a page may not ask for this: {other}")

    def _manage(self, arguments: list[str]) -> str:
        printed = io.StringIO()
        try:
            call_command(*arguments, stdout=printed, stderr=printed)
        except CommandError as error:
            printed.write(f"CommandError: {error}")
        if made := _MADE_KEY.findall(printed.getvalue()):
            self.names[KEY] = made[-1]
        return printed.getvalue()

    def _expanded(self, word: str) -> str:
        for name, value in self.variables.items():
            word = word.replace(name, value)
        return self._here(word)

    def _here(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text

    def _told(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(value, name)
        return text


def statements(text: str) -> Iterator[list[str]]:
    """The words of each command, which may go over several lines."""
    waiting = ""
    for line in text.splitlines():
        waiting += line
        if waiting.endswith("\\"):
            waiting = waiting[:-1]
            continue
        try:
            words = shlex.split(waiting)
        except ValueError:  # Within quotes.
            waiting += "\n"
            continue
        waiting = ""
        yield words
    assert not waiting, waiting


def curl(arguments: list[str]) -> str:
    """What curl prints for these arguments."""
    given: dict[str, list[str]] = {"headers": [], "data": [], "urls": []}
    words = iter(arguments)
    for word in words:
        if word not in _FLAGS:
            given[_VALUES.get(word, "urls")].append(next(words) if word in _VALUES else word)
    (url,) = given["urls"]
    headers = [header.partition(": ") for header in given["headers"]]
    with httpx.Client(trust_env=False, timeout=20) as client:
        answer = client.request(
            "POST" if given["data"] else "GET",
            url,
            headers=[(name, value) for name, _, value in headers],
            content="".join(given["data"]) or None,
        )
    if "-i" not in arguments:
        return answer.text
    head = [f"{answer.http_version} {answer.status_code} {answer.reason_phrase}"]
    head += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\n".join([*head, "", answer.text])
