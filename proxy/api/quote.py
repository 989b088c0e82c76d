"""POST /v1/quote."""

from config.kit import ids
from config.kit.money import format_nanos
from paywalls.pricing import Usage, price_nanos
from proxy import chat, chat_body
from proxy.estimate import granted_output_tokens
from proxy.offers import find_offers
from proxy.requests import Call
from proxy.responses import send_json
from proxy.services import Services


async def create(services: Services, call: Call) -> None:
    """What a chat would cost at today's prices. The body is a chat's; nothing is held or made.

    min: for an answer of one token, the prompt as we count it. max: what a chat would hold.
    affordableMaxTokens: of each choice, with the user's balance, at most what was asked for.
    Raises: as a chat before its hold.
    """
    asked = chat_body.read(call.body)
    offers = await find_offers(call.caller, asked.model, call.feature)
    plan = await chat.recount(call, await chat.make_plan(call, asked, offers))
    estimate, offer = plan.estimate, plan.offers[0]
    balance = await services.reads.balance(call.payer)
    prompt = min(await chat.count_prompt(call, offer), estimate.prompt_tokens)
    least = price_nanos(Usage(prompt=prompt, completion=estimate.choices), offer.rates)
    prices = call.caller.paywall.prices
    assert prices, "an offer has a price"
    await send_json(
        call,
        200,
        {
            "min": format_nanos(min(least, estimate.want_nanos)),
            "max": format_nanos(estimate.want_nanos),
            "affordableMaxTokens": granted_output_tokens(
                estimate, offer.rates, granted_nanos=balance
            ),
            "currency": call.caller.paywall.currency.lower(),
            "priceVersion": ids.encode("prc", prices.version_id),
        },
    )
