"""What is asked of whom."""

import json
from dataclasses import dataclass, field
from typing import Final

CHAT: Final = "/v1/chat/completions"
CHARGE: Final = "/v1/user/charge"
PLAIN: Final = ("direct", "nginx", "ours")
OURS: Final = ("ours", "ours2", "hot")
PEERS: Final = ("litellm", "portkey")
TITLES: Final = {
    "direct": "direct",
    "nginx": "nginx",
    "ours": "ours",
    "ours2": "ours, 2 processes",
    "hot": "ours, one wallet",
    "litellm": "LiteLLM",
    "portkey": "Portkey",
}
"""Every target, in the order of the table."""

ANSWERED: Final = '"completion_tokens"'
SYSTEM: Final = {"role": "system", "content": "You are a helpful assistant."}
QUESTION: Final = (
    "Summarise in one sentence: a gateway takes a request, looks at who pays for it, asks a model,"
    " and passes on what the model says while it counts."
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to ask.

    ramp_s: over how long the first questions are spread, so that streams do not march in step.
    expect: what each answer's body must contain, so that a refusal is not taken for an answer.
    user: one user for all requests; empty: those of the target.
    """

    name: str
    title: str
    clients: int
    targets: tuple[str, ...]
    figures: tuple[str, ...]
    stream: bool = False
    model: str = "stub-64-0"
    prompt_bytes: int = 0
    path: str = CHAT
    expect: str = ANSWERED
    user: str = ""
    warm_up_s: float = 0.7
    ramp_s: float = 0.0
    is_default: bool = True

    def body(self, model_prefix: str) -> bytes:
        """What the driver sends."""
        if self.path == CHARGE:
            return json.dumps({"amount": "0.0001"}).encode()
        question = QUESTION
        if self.prompt_bytes:
            question = (QUESTION + "\n") * (self.prompt_bytes // (len(QUESTION) + 1))
        fields: dict[str, object] = {
            "model": f"{model_prefix}{self.model}",
            "messages": [SYSTEM, {"role": "user", "content": question}],
            "max_tokens": 256,
            "temperature": 0.2,
        }
        if self.stream:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps(fields, separators=(",", ":")).encode()


RATE: Final = ("per_second", "p50_ms", "p99_ms", "cpu_ms", "postgres_ms")
PACED: Final = (
    *("events_per_second", "gap_p99_ms", "first_event_p50_ms", "cpu_ms", "postgres_ms"),
)
BURST: Final = ("per_second", "p50_ms", "p99_ms", "first_event_p50_ms", "cpu_ms", "postgres_ms")
EVERYONE: Final = (*PLAIN, *PEERS)
LOADED: Final = (*PLAIN, "ours2", "hot", *PEERS)
STREAM_S: Final = 0.67
"""Of 67 pauses of 10 ms."""


@dataclass(frozen=True, kw_only=True)
class Stream(Case):
    """Server-sent events, which end with [DONE]."""

    stream: bool = True
    expect: str = ""
    figures: tuple[str, ...] = field(default=BURST)


CASES: Final[tuple[Case, ...]] = (
    Case(name="json1", title="JSON, 1 client", clients=1, targets=EVERYONE, figures=RATE),
    Case(name="json16", title="JSON, 16 clients", clients=16, targets=LOADED, figures=RATE),
    Case(name="json64", title="JSON, 64 clients", clients=64, targets=LOADED, figures=RATE),
    Stream(name="sse1", title="SSE, 68 events at once, 1 client", clients=1, targets=EVERYONE),
    Stream(name="sse16", title="SSE, 68 events at once, 16 clients", clients=16, targets=LOADED),
    Stream(
        name="first",
        title="SSE, one stream at a time",
        clients=1,
        model="stub-8-10",
        targets=EVERYONE,
        figures=("first_event_p50_ms", "first_event_p99_ms"),
    ),
    Stream(
        name="sse64x10",
        title="SSE, 10 ms a token, 64 open",
        clients=64,
        model="stub-64-10",
        targets=EVERYONE,
        figures=PACED,
        warm_up_s=1.5,
        ramp_s=STREAM_S,
    ),
    Stream(
        name="sse500x10",
        title="SSE, 10 ms a token, 500 open",
        clients=500,
        model="stub-64-10",
        targets=PLAIN,
        figures=PACED,
        warm_up_s=1.5,
        ramp_s=STREAM_S,
    ),
    Stream(
        name="burst16",
        title="SSE, 68 events in one write, 16 clients",
        clients=16,
        model="stub-64-b",
        targets=EVERYONE,
        is_default=False,
    ),
    Case(
        name="refuse64",
        title="Refusal, 64 clients",
        clients=64,
        targets=("ours",),
        figures=RATE,
        user="broke",
        expect="http",
    ),
    Case(
        name="charge64",
        title="`/user/charge`, 64 clients",
        clients=64,
        targets=OURS,
        figures=RATE,
        path=CHARGE,
        expect='"success":true',
    ),
    Case(
        name="prompt8k",
        title="JSON, 8 kB prompt, 16 clients",
        clients=16,
        targets=EVERYONE,
        figures=RATE,
        prompt_bytes=8_000,
    ),
    Case(
        name="prompt200k",
        title="JSON, 200 kB prompt, 16 clients",
        clients=16,
        targets=EVERYONE,
        figures=RATE,
        prompt_bytes=200_000,
    ),
)
BY_NAME: Final = {case.name: case for case in CASES}
