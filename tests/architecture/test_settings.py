"""Every setting is explained, and every explanation is of a setting."""

import re
from collections import Counter
from itertools import pairwise

from tests.support.sources import ROOT

READ = re.compile(r"\benv\.[a-z_]+\(\s*\"([A-Z0-9_]+)\"")
EXPLAINED = re.compile(r"^([A-Z0-9_]+)=", re.MULTILINE)


def differences(settings: str, example: str) -> dict[str, list[str]]:
    """Settings that are not explained, explanations of nothing, and what is explained twice."""
    read, explained = set(READ.findall(settings)), EXPLAINED.findall(example)
    return {
        "not explained": sorted(read - set(explained)),
        "not read": sorted(set(explained) - read),
        "twice": sorted(name for name, times in Counter(explained).items() if times > 1),
    }


def uncommented(example: str) -> list[str]:
    """Names without a comment on the line above them."""
    lines = ["", *example.splitlines()]
    return [
        line
        for above, line in pairwise(lines)
        if EXPLAINED.match(line) and not above.startswith("#")
    ]


def test_the_example_explains_every_setting():
    settings = (ROOT / "config" / "settings.py").read_text()
    example = (ROOT / ".env.example").read_text()
    assert differences(settings, example) == {"not explained": [], "not read": [], "twice": []}
    assert uncommented(example) == []


def test_the_rule():
    settings = 'A = env.text("A")\nB = env.seconds(\n    "B", 5)\n'
    assert differences(settings, "# What.\nA=\n# Seconds.\nB=5\n") == {
        "not explained": [],
        "not read": [],
        "twice": [],
    }
    assert differences(settings, "A=\nA=\nC=\n") == {
        "not explained": ["B"],
        "not read": ["C"],
        "twice": ["A"],
    }
    assert uncommented("# Why.\nA=\nB=\n") == ["B="]
