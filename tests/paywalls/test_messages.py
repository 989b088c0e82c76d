import pytest
from hypothesis import given
from hypothesis import strategies as st

from paywalls import messages
from paywalls.models import MessageTemplate

URL, NAME = "https://pay.example.test/x", "My App"


def render(text):
    return messages.render(text, url=URL, name=NAME)


class TestRender:
    @pytest.mark.parametrize("place", ["{{url}}", "{{ url }}", "{{  url}}", "{{url }}"])
    def test_fills_in_the_link(self, place):
        assert render(f"Go to {place}.") == f"Go to {URL}."

    @pytest.mark.parametrize(
        "text",
        [
            "{{7*7}}",
            "${url}",
            "{url}",
            "{{ user }}",
            "{{URL}}",
            "{{url|safe}}",
            "{% if 1 %}",
            "{{url.__class__}}",
            "%(url)s",
            "{{\nurl}}",
            "{{ url",
            "\\g<0>",
            "",
        ],
    )
    def test_leaves_everything_else_as_it_is(self, text):
        assert render(text) == text

    @given(st.text(alphabet="{} urlname7*$%|\n"))
    def test_what_is_filled_in_is_not_read_again(self, text):
        once = messages.render(text, url="{{name}}", name="{{url}}")
        assert once.count("{{") <= text.count("{{")

    def test_triple_braces_keep_the_outer_ones(self):
        assert render("{{{url}}}") == f"{{{URL}}}"


def test_every_event_has_a_text_of_ours():
    assert set(messages.DEFAULTS) == set(MessageTemplate.Event.values)
    assert all(type(event) is str for event in messages.DEFAULTS), "plain keys, for JSON"


@pytest.mark.parametrize("event", ["authorization_required", "insufficient_funds"])
def test_our_texts_name_the_app_and_the_link(event):
    shown = render(messages.DEFAULTS[event])
    assert URL in shown
    assert NAME in shown
    assert messages.has_link(messages.DEFAULTS[event])
