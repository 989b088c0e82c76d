"""Which adapter speaks to which kind of provider."""

from typing import Final

from providers.adapters.anthropic import Anthropic
from providers.adapters.base import Adapter
from providers.adapters.compatible import Compatible
from providers.adapters.demo import Demo
from providers.adapters.openai import OpenAI
from providers.adapters.openrouter import OpenRouter
from providers.adapters.together import Together

ADAPTERS: Final[dict[str, Adapter]] = {
    adapter.kind: adapter
    for adapter in (Anthropic(), Compatible(), Demo(), OpenAI(), OpenRouter(), Together())
}
