"""LangChain's ChatOpenAI, as its documentation shows it: only base URL, key and user are ours."""

from collections.abc import Callable

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from tests.support.product import Shop


class City(BaseModel):
    """A city."""

    name: str
    people: int


def weather(city: str) -> str:
    """The weather of a city."""
    return f"It snows in {city}."


Make = Callable[[str], ChatOpenAI]


@pytest.fixture
def chat(shop: Shop) -> Make:
    def make(user: str) -> ChatOpenAI:
        return ChatOpenAI(
            model="echo-1",
            base_url=shop.api,
            api_key=SecretStr(shop.token),
            max_retries=0,
            stream_usage=True,
            default_headers={"X-Paywall-User": user},
        )

    return make


@pytest.fixture
def model(chat: Make, user: str) -> ChatOpenAI:
    return chat(user)


def spent(shop: Shop, user: str) -> int:
    wallet = shop.wallet(user)
    assert wallet.held == 0
    return 10**9 - wallet.posted


def price(message: AIMessage) -> int:
    """Of the usage that LangChain read, at the shop's prices."""
    usage = message.usage_metadata
    assert usage
    return usage["input_tokens"] * 1_200 + usage["output_tokens"] * 2_400


class TestChatOpenAI:
    def test_invoke(self, model, shop, user):
        answer = model.invoke("Hello there!")
        assert answer.content.startswith("You said: “Hello there!”.")
        assert spent(shop, user) == price(answer)

    def test_stream(self, model, shop, user):
        whole: BaseMessage | None = None
        count = 0
        for chunk in model.stream("Hello there!"):
            whole = chunk if whole is None else whole + chunk
            count += 1
        assert isinstance(whole, AIMessage)
        assert whole.content.startswith("You said: “Hello there!”.")
        assert count > 20
        assert spent(shop, user) == price(whole)

    def test_tools(self, model, shop, user):
        able = model.bind_tools([weather])
        asked = able.invoke("Use the tool: how is the weather?")
        (call,) = asked.tool_calls
        assert call["name"] == "weather"
        result = ToolMessage(weather(**call["args"]), tool_call_id=call["id"])
        answer = able.invoke([("user", "Use the tool: how is the weather?"), asked, result])
        assert "It snows" in answer.content
        assert spent(shop, user) == price(asked) + price(answer)

    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    def test_structured_output(self, model, shop, user, method):
        answer = model.with_structured_output(City, method=method).invoke("Tell me of Oslo.")
        assert isinstance(answer, City)
        assert spent(shop, user) > 0

    def test_who_has_no_money_reads_the_link(self, chat):
        broke = chat("langchain_broke")
        assert "/v1/checkout/" in broke.invoke("Hello!").content
        assert "/v1/checkout/" in "".join(str(chunk.content) for chunk in broke.stream("Hello!"))
        assert "/v1/checkout/" in broke.bind_tools([weather]).invoke("Use the tool!").content
