"""The demo provider's models, with prices like a small real one's."""

from dataclasses import dataclass
from typing import Final

from paywalls.pricing import Rates

CONTEXT_TOKENS: Final = 128_000
OUTPUT_TOKENS_MAX: Final = 4_096
OUTPUT_TOKENS_DEFAULT: Final = 1_024

RATES: Final = Rates(prompt=500_000_000, completion=1_500_000_000, cached=250_000_000)
"""$0.50 and $1.50 per million tokens, cached prompt at half."""


@dataclass(frozen=True, slots=True)
class DemoModel:
    """A model and the way in which it misbehaves, if it does."""

    name: str
    title: str
    description: str


MODELS: Final = {
    model.name: model
    for model in (
        DemoModel("echo-1", "Echo", "Answers from your own words, word by word."),
        DemoModel("echo-1-slow", "Echo, slow", "Ten times slower: time to press stop."),
        DemoModel("echo-1-cached", "Echo, cached", "Reports half of the prompt as cached."),
        DemoModel("echo-1-reasoning", "Echo, reasoning", "Thinks first, and bills for it."),
        DemoModel("echo-1-overrun", "Echo, overrun", "Ignores the output limit."),
        DemoModel("echo-1-no-usage", "Echo, no usage", "Does not say what it used."),
        DemoModel("echo-1-cut", "Echo, cut", "Breaks off in the middle of its answer."),
        DemoModel("echo-1-garbage", "Echo, garbage", "Answers with something that is no answer."),
        DemoModel("echo-1-429", "Echo, busy", "Asks to wait."),
        DemoModel("echo-1-500", "Echo, failing", "Fails before it answers."),
    )
}
