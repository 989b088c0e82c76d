"""What time brings: sessions expire, subscriptions renew, failed payments are tried again."""

from collections.abc import Callable, Iterator
from functools import partial

from tests.fakes.stripe import intents, invoices, outcomes, subscriptions, transfers
from tests.fakes.stripe.delivery import Dispatcher
from tests.fakes.stripe.errors import ApiError
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import Realm, Thing, World

STEPS_MAX = 10_000

type Job = tuple[int, Callable[[], None]]
"""When, and what then."""


def pending(world: World) -> Iterator[Job]:
    """Everything that waits for its moment."""
    for realm in list(world.realms.values()):
        desk = Desk(world, realm)
        yield from _sessions(desk, realm)
        yield from _subscriptions(desk, realm)
        yield from _invoices(desk, realm)
        yield from _debits(desk, realm)
        yield from _payouts(desk, realm)


def _sessions(desk: Desk, realm: Realm) -> Iterator[Job]:
    for session in realm.where("checkout.session", status="open"):
        yield session["expires_at"], partial(outcomes.expire, desk, session)


def _subscriptions(desk: Desk, realm: Realm) -> Iterator[Job]:
    for each in realm.all("subscription"):
        if each["status"] == "trialing" and not each.get("_is_warned"):
            moment = each["trial_end"] - subscriptions.WARN_S
            yield moment, partial(subscriptions.warn, desk, each)
        if each["status"] in subscriptions.RUNNING:
            yield (
                subscriptions.period_end(each),
                partial(subscriptions.renew, desk, each),
            )
        elif each["status"] == "incomplete":
            expires_at = each["created"] + subscriptions.INCOMPLETE_S
            yield expires_at, partial(subscriptions.expire, desk, each)


def _invoices(desk: Desk, realm: Realm) -> Iterator[Job]:
    for invoice in realm.where("invoice", status="open"):
        if invoice["next_payment_attempt"]:
            yield (
                invoice["next_payment_attempt"],
                partial(retry, desk, invoice),
            )


def _debits(desk: Desk, realm: Realm) -> Iterator[Job]:
    for intent in realm.where("payment_intent", status="processing"):
        yield intent["_settles_at"], partial(settle_debit, desk, intent)


def settle_debit(desk: Desk, intent: Thing) -> None:
    """A bank debit arrives or bounces; so does the session that it was for."""
    succeeds = not intent["_bounces"]
    sessions = desk.realm.where("checkout.session", payment_intent=intent["id"])
    if sessions:
        outcomes.settle_later(desk, sessions[0], succeeds=succeeds)
    else:
        intents.finish(desk, intent, succeeds=succeeds)


def _payouts(desk: Desk, realm: Realm) -> Iterator[Job]:
    for payout in realm.where("payout", status="pending"):
        yield payout["arrival_date"], partial(transfers.arrive, desk, payout)


def retry(desk: Desk, invoice: Thing) -> None:
    """Another try at an open invoice; its subscription follows."""
    is_paid = invoices.collect(desk, invoice, invoices.method_of(desk, invoice))
    if subscription := invoices.subscription_of(desk, invoice):
        subscriptions.follow(desk, subscription, invoice, is_paid=is_paid)


def run_due(world: World) -> None:
    """Do what is due now."""
    for _ in range(STEPS_MAX):
        due = [job for job in pending(world) if job[0] <= world.now()]
        if not due:
            return
        min(due, key=lambda job: job[0])[1]()
        world.is_changed = True
    raise ApiError("Too much would happen in that time; advance by less.")


async def advance(world: World, dispatcher: Dispatcher, seconds: int) -> None:
    """Move the clock on, and do and deliver at each moment what falls on it.

    Raises: ApiError
    """
    target = world.now() + seconds
    await dispatcher.settled()
    for _ in range(STEPS_MAX):
        moments = [when for when, _ in pending(world)]
        moments += [each["due_at"] for each in world.deliveries.values() if each["state"] == "due"]
        moment = min(moments, default=target)
        if moment > target:
            break
        world.offset_s += max(0, moment - world.now())
        run_due(world)
        await dispatcher.settled()
        if moment == target and world.now() >= target:
            break
    world.offset_s += max(0, target - world.now())
    world.is_changed = True
