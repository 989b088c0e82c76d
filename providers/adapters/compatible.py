"""Any server that speaks the OpenAI shape: vLLM, Ollama, LiteLLM, DeepSeek, xAI and the like."""

from collections.abc import Mapping
from typing import Any, ClassVar

from paywalls.pricing import Usage
from providers.adapters import base


class Compatible(base.Adapter):
    """A typed-in base URL. A key is optional; local servers have none.

    Known ways to report: DeepSeek's `prompt_cache_hit_tokens`, a flat `cached_tokens`, the
    Responses form (`input_tokens`), and xAI, which counts reasoning beside the completion.
    Source: https://api-docs.deepseek.com/guides/kv_cache, https://docs.x.ai/docs/guides/reasoning
    (November 2026).
    """

    kind: ClassVar[str] = "compatible"
    needs_key: ClassVar[bool] = False

    def read_usage(self, reported: Mapping[str, Any]) -> Usage | None:
        return super().read_usage(_openai_form(reported))


def _openai_form(reported: Mapping[str, Any]) -> dict[str, Any]:
    form = dict(reported)
    if "prompt_tokens" not in form and "input_tokens" in form:
        form["prompt_tokens"] = form.get("input_tokens")
        form["completion_tokens"] = form.get("output_tokens")
        form["prompt_tokens_details"] = form.get("input_tokens_details")
        form["completion_tokens_details"] = form.get("output_tokens_details")
    of_prompt = dict(base.details(form, "prompt_tokens_details"))
    if of_prompt.get("cached_tokens") is None:
        flat = form.get("prompt_cache_hit_tokens")
        of_prompt["cached_tokens"] = form.get("cached_tokens") if flat is None else flat
    form["prompt_tokens_details"] = of_prompt
    reasoning = base.count(base.details(form, "completion_tokens_details"), "reasoning_tokens")
    prompt, completion = base.count(form, "prompt_tokens"), base.count(form, "completion_tokens")
    if reasoning and base.count(form, "total_tokens") == prompt + completion + reasoning:
        form["completion_tokens"] = completion + reasoning
    return form
