"""The developer's own words: asked for, signed, bounded, and done without."""

import asyncio
import hashlib
import hmac

import orjson
import pytest
from django.db import transaction

from billing.webhooks import listening, subscriptions
from billing.webhooks.listening import Ear
from billing.webhooks.models import Subscription
from billing.webhooks.network import Poster
from billing.webhooks.words import EACH_MAX, Words
from config.kit import egress
from tests.factories import ACTOR
from tests.fakes.sink import Answer, Sink

QUESTION = {"event": "insufficient_funds", "url": "https://x", "user": "ann"}
SECRET = "0123456789abcdef"


def says(message: object) -> Answer:
    return Answer(body=orjson.dumps({"message": message}))


def ask(sink: Sink, times: int = 1, *, timeout_s: float = 3) -> list[str | None]:
    """The answers to questions one after the other."""

    async def run() -> list[str | None]:
        words = Words(Poster(egress.policy(["127.0.0.0/8"]), timeout_s=timeout_s))
        try:
            return [await words.ask(Ear(sink.url, (SECRET,)), QUESTION) for _ in range(times)]
        finally:
            await words.close()

    return asyncio.run(run())


def test_it_is_asked_signed_and_its_words_are_taken(sink):
    sink.answer = says("Bonjour !")
    assert ask(sink) == ["Bonjour !"]
    [seen] = sink.seen
    assert seen.json == QUESTION
    plain = hmac.new(SECRET.encode(), seen.body, hashlib.sha256).hexdigest()
    assert seen.headers["x-paywalls-signature"] == plain


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500),
        Answer(301, {"Location": "/"}),
        Answer(cuts=True),
        Answer(body=b"not json"),
        says(""),
        says(7),
        says("x" * 4_097),
        Answer(body=b'{"message": "' + b"x" * 1_000_000 + b'"}'),
    ],
)
def test_everything_else_is_left_to_the_template(sink, answer):
    sink.answer = answer
    assert ask(sink) == [None]


def test_four_kilobytes_are_allowed(sink):
    sink.answer = says("é" * 2_048)
    assert ask(sink) == ["é" * 2_048]


def test_one_that_fails_is_left_alone_for_a_while(sink):
    sink.answer = Answer(hangs=True)
    assert ask(sink, times=20, timeout_s=0.2) == [None] * 20
    assert len(sink.seen) == 1


def test_a_crowd_does_not_wait_for_it(sink):
    sink.answer = Answer(hangs=True)

    async def run() -> list[str | None]:
        words = Words(Poster(egress.policy(["127.0.0.0/8"]), timeout_s=0.5))
        ear = Ear(sink.url, (SECRET,))
        answers = await asyncio.gather(*(words.ask(ear, QUESTION) for _ in range(50)))
        await words.close()
        return answers

    assert asyncio.run(run()) == [None] * 50
    assert 1 <= len(sink.seen) <= EACH_MAX


def test_it_is_part_of_what_a_process_knows_of_a_paywall(paywall, sink):
    assert listening.load(paywall.pk).message is None
    with transaction.atomic():
        _, secret = subscriptions.connect(
            paywall, Subscription.Kind.MESSAGE, sink.url, "", actor=ACTOR
        )
    known = listening.load(paywall.pk)
    assert known.message == Ear(sink.url, (secret,))
    assert known.types == frozenset()
    with transaction.atomic():
        subscriptions.disconnect(paywall, Subscription.Kind.MESSAGE, actor=ACTOR)
    assert listening.load(paywall.pk).message is None
