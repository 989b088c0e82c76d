"""Saved cards: kept once, replaced, removed at Stripe, forgotten on wish."""

from dataclasses import replace
from typing import Any

from django.db import transaction

from billing.stripe import agreements, cards, checkout
from billing.stripe.models import Customer
from billing.stripe.refill_models import RefillAgreement
from paywalls import users
from tests.factories import ACTOR
from tests.fakes.stripe.keys import seeded
from tests.stripe.refilling import Refiller, at_once
from tests.stripe.till import UNIT


class TestCards:
    def test_the_news_of_a_setup_and_of_its_session_save_it_once(self, refiller: Refiller):
        refiller.agree()
        session_id = refiller.save_card()
        for _ in range(2):
            refiller.till.hear(session_id)
        session = refiller.till.fake.test("objects", session_id, method="GET")
        (outcome,) = [
            refiller.till.hear_one(event["id"])
            for event in refiller.till.news(session["setup_intent"])
            if event["type"] == "setup_intent.succeeded"
        ]
        assert outcome
        assert outcome.state == "done"
        assert refiller.agreement.status == "on"
        assert refiller.customer.payment_method_id.startswith("pm_")

    def test_a_new_card_takes_the_place_of_the_old_one_at_stripe_too(self, refiller: Refiller):
        refiller.ready()
        old = refiller.customer.payment_method_id
        agreements.switch_off(refiller.customer)
        refiller.ready()
        assert refiller.customer.payment_method_id != old
        assert refiller.till.fake.test("objects", old, method="GET")["customer"] is None

    def test_a_card_that_nobody_waits_for_any_more_is_not_kept(self, refiller: Refiller):
        refiller.agree()
        session_id = refiller.save_card()
        agreements.switch_off(refiller.customer)
        refiller.till.hear(session_id)
        assert refiller.customer.payment_method_id == ""
        assert refiller.agreement.status == "off"

    def test_one_that_was_removed_at_stripe_is_forgotten(self, refiller: Refiller):
        refiller.ready()
        method_id = refiller.customer.payment_method_id
        refiller.till.fake.client(seeded("sk", "live")).v1.payment_methods.detach(method_id)
        refiller.till.hear(method_id)
        assert refiller.customer.payment_method_id == ""
        assert refiller.agreement.trouble == cards.REMOVED

    def test_setups_of_the_sellers_own_and_forged_ones(self, refiller: Refiller):
        refiller.agree()
        v1: Any = refiller.till.fake.client(seeded("sk", "live")).v1
        named = {"paywalls_refill": refiller.agreement.public_id}
        other = v1.customers.create({}).id
        states = []
        for metadata, customer in (({}, other), (named, other), ({"paywalls_refill": "x"}, other)):
            made = v1.setup_intents.create(
                {
                    "customer": customer,
                    "payment_method": "pm_card_visa",
                    "confirm": True,
                    "metadata": metadata,
                }
            )
            heard = refiller.till.hear(made.id)
            states.append([each.state for each in heard if each])
        assert states == [["ignored"], ["quarantined"], ["quarantined"]]
        assert refiller.agreement.status == "waiting"

    def test_two_clicks_make_one_customer(self, refiller: Refiller):
        at_once(3, lambda: cards.customer_of(refiller.till.account, refiller.user))
        assert Customer.objects.filter(user=refiller.user).count() == 1
        calls = refiller.till.fake.test("calls", method="GET")["calls"]
        assert calls["POST /v1/customers"] <= 4
        listed = refiller.till.fake.client(seeded("sk", "live")).v1.customers.list()
        mine = [each for each in listed.data if "paywalls_user" in each.to_dict()["metadata"]]
        assert len(mine) == 1

    def test_who_is_erased_leaves_no_card_and_no_address(self, refiller: Refiller):
        refiller.ready()
        RefillAgreement.objects.filter(pk=refiller.agreement.pk).update(address="203.0.113.9")
        method_id = refiller.customer.payment_method_id
        with transaction.atomic():
            users.erase(refiller.user, actor=ACTOR)
        cards.forget_erased()
        assert refiller.customer.payment_method_id == ""
        assert (refiller.agreement.status, refiller.agreement.address) == ("off", None)
        assert refiller.till.fake.test("objects", method_id, method="GET")["customer"] is None

    def test_a_customer_who_was_deleted_at_stripe_becomes_a_new_one(self, refiller: Refiller):
        agreement = refiller.ready()
        gone = refiller.customer.customer_id
        refiller.till.fake.client(seeded("sk", "live")).v1.customers.delete(gone)
        refiller.agree()
        assert agreement != refiller.agreement
        refiller.till.hear(refiller.save_card())
        assert refiller.customer.customer_id != gone
        assert refiller.agreement.status == "on"

    def test_also_with_a_payment(self, refiller: Refiller):
        refiller.agree()
        gone = refiller.customer.customer_id
        refiller.till.fake.client(seeded("sk", "live")).v1.customers.delete(gone)
        order = checkout.click(refiller.user, replace(refiller.till.draft(), saves_card=True))
        refiller.till.pay(order)
        refiller.till.hear(order)
        assert refiller.customer.customer_id not in ("", gone)
        assert refiller.agreement.status == "on"
        refiller.work()
        assert refiller.till.posted == 10 * UNIT
        refiller.spend(6)
        refiller.work()
        assert [each.status for each in refiller.orders] == ["paid"]
