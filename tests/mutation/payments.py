"""Guards of payments: what is believed of Stripe, and how often."""

from typing import Final

from tests.mutation.guard import Guard, InFile

INBOX: Final = "tests/stripe/test_inbox.py"
CONNECT: Final = "tests/stripe/test_connect.py"
PLANS: Final = "tests/stripe/test_plans.py"
PROMOS: Final = "tests/stripe/test_promos.py"
DRIPS: Final = "tests/stripe/test_drips.py"

PAYMENTS: Final[tuple[Guard, ...]] = (
    InFile(
        name="events_of_the_future",
        protects="a signature is good for five minutes, before its time as well",
        file="billing/stripe/inbox.py",
        old="if _stamp(signature) <= clock.now().timestamp() + TOLERANCE_S:",
        new="if True:",
        tests=(f"{INBOX}::TestForged",),
    ),
    InFile(
        name="blank_webhook_secret",
        protects="nobody signs for Stripe with an empty secret",
        file="billing/stripe/endpoint.py",
        old="for secret in found if secret and len(secret) >= SECRET_CHARS_MIN]",
        new="for secret in found if secret is not None]",
        tests=(f"{INBOX}::TestForged",),
    ),
    InFile(
        name="blank_webhook_secret_at_start",
        protects="nothing starts with an empty secret",
        file="billing/stripe/endpoint.py",
        old="return secret is not None and len(secret) < SECRET_CHARS_MIN",
        new="return False",
        tests=(f"{INBOX}::TestForged",),
    ),
    InFile(
        name="events_of_the_other_mode",
        protects="test events move no live money",
        file="billing/stripe/inbox.py",
        old='if facts["livemode"] is not account.livemode:',
        new="if False:",
        tests=(f"{INBOX}::TestOddPayloads",),
    ),
    InFile(
        name="events_that_kill",
        protects="an event that kills its worker does so a bounded number of times",
        file="billing/stripe/inbox.py",
        old="if event.tries > TRIES_MAX:",
        new="if False:",
        tests=(f"{INBOX}::TestCrash",),
    ),
    InFile(
        name="one_webhook",
        protects="a webhook that is made again is the same one",
        file="billing/stripe/endpoint.py",
        old='create(wanted, {"idempotency_key": key})',
        new="create(wanted)",
        tests=(f"{CONNECT}::TestOneWebhook",),
    ),
    InFile(
        name="orphaned_webhooks",
        protects="a webhook that nobody knows does not stay at Stripe",
        file="billing/stripe/endpoint.py",
        old="(kept is None or each.created < before)",
        new="False",
        tests=(f"{CONNECT}::TestOneWebhook",),
    ),
    InFile(
        name="keys_of_another_account",
        protects="a key of another Stripe account does not take the first one's place",
        file="billing/stripe/connect.py",
        old="        except (stripe.InvalidRequestError, stripe.PermissionError):\n"
        "            return False\n",
        new="        except (stripe.InvalidRequestError, stripe.PermissionError):\n"
        "            return True\n",
        tests=(CONNECT,),
    ),
    InFile(
        name="credit_for_any_invoice",
        protects="only the invoices of a start and of renewals bring a plan's credit",
        file="billing/stripe/plans.py",
        old='if invoice["billing_reason"] not in GRANTING:',
        new="if False:",
        tests=(f"{PLANS}::TestOtherInvoices",),
    ),
    InFile(
        name="credit_for_unpaid_invoices",
        protects="an invoice that is not paid brings nothing",
        file="billing/stripe/plans.py",
        old='if outcome.state != "done" or invoice["status"] != "paid":',
        new='if outcome.state != "done":',
        tests=(f"{PLANS}::TestLife",),
    ),
    InFile(
        name="cycles_twice",
        protects="a cycle that is credited already is left alone",
        file="billing/stripe/plans.py",
        old="if Order.objects.filter(paywall=order.paywall_id, **_cycle(invoice)).exists():",
        new="if False:",
        tests=(f"{PLANS}::TestCycles",),
    ),
    InFile(
        name="credit_for_any_price",
        protects="a price that is none of the paywall's plans brings nothing",
        file="billing/stripe/plans.py",
        old="if synced or order.plan is None or order.plan.stripe_price_id:",
        new="if synced:",
        tests=(f"{PLANS}::TestOtherInvoices",),
    ),
    InFile(
        name="prorations_as_cycles",
        protects="what a change in the middle costs is no cycle",
        file="billing/stripe/plans.py",
        old='return details is not None and not details["proration"]',
        new="return details is not None",
        tests=(f"{PLANS}::TestOtherInvoices",),
    ),
    InFile(
        name="credit_for_trials",
        protects="a trial that costs nothing brings nothing",
        file="billing/stripe/plans.py",
        old='if line["amount"] <= 0 < plan.price_minor:',
        new="if False:",
        tests=(f"{PLANS}::TestOtherInvoices",),
    ),
    InFile(
        name="promotion_cap",
        protects="a code gives to so many users and no more",
        file="billing/stripe/promos.py",
        old='is_active=True, uses__lt=F("most_uses"))\n        if',
        new="is_active=True)\n        if",
        tests=(PROMOS,),
    ),
    InFile(
        name="promotion_once",
        protects="a code gives to a user once",
        file="billing/stripe/promos.py",
        old="if Transaction.objects.filter(scope=_scope(user), ref=ref).exists():",
        new="if False:",
        tests=(PROMOS,),
    ),
    InFile(
        name="promotion_tries",
        protects="codes cannot be guessed: wrong ones are counted",
        file="billing/stripe/promos.py",
        old="    promo_tries.take(user)\n",
        new="",
        tests=(f"{PROMOS}::TestTries",),
    ),
    InFile(
        name="months_ahead",
        protects="a month's credit comes when the month has begun",
        file="billing/stripe/drips.py",
        old="begins > now or begins >= drip.until",
        new="begins >= drip.until",
        tests=(f"{DRIPS}::TestMonths",),
    ),
    InFile(
        name="months_after_the_end",
        protects="a plan that was ended at once brings no further month",
        file="billing/stripe/drips.py",
        old="begins > now or begins >= drip.until",
        new="begins > now",
        tests=(f"{DRIPS}::TestEnds",),
    ),
    InFile(
        name="months_not_paid_for",
        protects="months that were refunded or are disputed are not given",
        file="billing/stripe/drips.py",
        old=" and reversals.standing(order) < left",
        new="",
        tests=(f"{DRIPS}::TestTakenBack",),
    ),
)
