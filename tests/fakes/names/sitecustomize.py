"""For a server that a test starts with this folder and the project's on PYTHONPATH.

Names resolve as FAKE_NAMES says, in JSON: {"a.example": [["10.0.0.1"], ["10.0.0.2"]]}. A name's
answers are given in turn, the last one for ever; other names have no address.
"""

import json
import os
from collections import Counter

from config.kit import egress

ANSWERS: dict[str, list[list[str]]] = json.loads(os.environ["FAKE_NAMES"])
_asked: Counter[str] = Counter()


async def _lookup(host: str, port: int) -> list[str]:
    del port
    answers = ANSWERS.get(host, [[]])
    _asked[host] += 1
    return answers[min(_asked[host], len(answers)) - 1]


egress.system_lookup = _lookup
