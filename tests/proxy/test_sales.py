"""What users can buy and have, as apps ask for it."""

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from billing.stripe import connect
from billing.stripe.catalog import Pack, PaymentSettings, Plan, Promo
from billing.stripe.models import Customer, Drip, Order, PlanSubscription, StripeAccount
from billing.stripe.products import public_id
from config.kit import clock
from config.kit.limits import PROMO_TRIES_USER_MAX
from paywalls.models import EndUser
from tests.factories import ACTOR
from tests.fakes.stripe.keys import seeded
from tests.fakes.stripe.server import Running, running
from tests.proxy.tenant import Tenant

UNIT = 10**9


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Running]:
    with running() as program:
        yield program


@pytest.fixture
def stripe(stand_in: Running, settings: Any) -> Running:
    """Stripe's stand-in, as new."""
    stand_in.test("reset")
    settings.STRIPE_API_BASE = stand_in.url
    return stand_in


@pytest.fixture
async def shop(tenant: Tenant, stripe: Running) -> Tenant:
    """A paywall that sells a pack and a plan."""
    await sync_to_async(stock)(tenant)
    return tenant


def stock(tenant: Tenant) -> None:
    connect.connect(tenant.paywall, seeded("rk", "live"), actor=ACTOR)
    PaymentSettings.objects.create(paywall=tenant.paywall, origins=["https://app.example"])
    common: dict[str, Any] = {"paywall": tenant.paywall, "currency": "USD"}
    Pack.objects.create(
        name="Big", price_minor=900, credit_nanos=10 * UNIT, bonus_nanos=UNIT, **common
    )
    Plan.objects.create(
        name="Pro",
        price_minor=2000,
        credit_nanos=20 * UNIT,
        interval="month",
        entitlements=["export", "search"],
        **common,
    )


async def plan_of(shop: Tenant) -> Plan:
    return await Plan.objects.aget(paywall=shop.paywall)


async def test_what_is_sold(shop: Tenant):
    answer = await shop.get("/v1/packages")
    assert answer.status == 200, answer.body
    shown = answer.json
    assert (shown["currency"], shown["credits"]) == ("USD", None)
    assert shown["topup"] == {"min": "1", "max": "1000", "suggested": ["10", "25", "50"]}
    (package,), (plan,) = shown["packages"], shown["plans"]
    assert (package["price"], package["credit"], package["bonus"]) == ("9", "10", "1")
    assert (plan["interval"], plan["rollover"]) == ("month", False)
    assert plan["entitlements"] == ["export", "search"]
    assert plan["drip"] is False
    await Plan.objects.filter(paywall=shop.paywall).aupdate(interval="year", drips=True)
    (plan,) = (await shop.get("/v1/packages")).json["plans"]
    assert (plan["interval"], plan["drip"], plan["credit"]) == ("year", True, "20")


class TestCheckout:
    async def ask(self, shop: Tenant, **body: object) -> Any:
        return await shop.post("/v1/user/checkout", {"user": shop.user, **body})

    async def test_each_of_the_three_makes_an_order_and_no_call_to_stripe(
        self, shop: Tenant, stripe: Running
    ):
        before = stripe.calls()["total"]
        package = await Pack.objects.aget(paywall=shop.paywall)
        bodies: list[dict[str, str]] = [
            {"package": public_id(package)},
            {"plan": public_id(await plan_of(shop))},
            {"amount": "12.5"},
        ]
        for body in bodies:
            first, second = await self.ask(shop, **body), await self.ask(shop, **body)
            assert first.status == 200, first.body
            assert first.json == second.json
            assert "/pay/" in first.json["url"]
            assert first.json["url"].endswith("/go")
        orders = Order.objects.filter(paywall=shop.paywall).order_by("id")
        assert [order.kind async for order in orders] == ["pack", "plan", "topup"]
        assert stripe.calls()["total"] == before

    async def test_people_come_back_to_registered_origins_only(self, shop: Tenant):
        answer = await self.ask(shop, amount="10", successUrl="https://app.example/done")
        assert answer.status == 200, answer.body
        order = await Order.objects.aget(paywall=shop.paywall)
        assert order.success_url == "https://app.example/done"
        for name in ("successUrl", "cancelUrl"):
            for end in (".evil.test", "@evil.test", ":22/", "\\@evil.test", "/\t", "/\u2028"):
                refused = await self.ask(shop, amount="10", **{name: f"https://app.example{end}"})
                assert (refused.status, refused.json["error"]["param"]) == (400, name), end

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"amount": "5", "package": "pack_x"},
            {"package": "pack_x"},
            {"plan": 7},
            {"amount": "0.5"},
            {"amount": "1.001"},
        ],
    )
    async def test_what_cannot_be_bought(self, shop: Tenant, body):
        answer = await self.ask(shop, **body)
        assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")

    async def test_without_a_key_of_stripes(self, shop: Tenant):
        await StripeAccount.objects.filter(paywall=shop.paywall).aupdate(is_active=False)
        answer = await self.ask(shop, amount="10")
        assert (answer.status, answer.code) == (400, "payments_not_configured")


class TestPlans:
    @pytest.fixture
    async def member(self, shop: Tenant) -> Tenant:
        """Its user has a plan, and is known to Stripe."""
        await shop.get(f"/v1/user/connect?user={shop.user}")
        user = await EndUser.objects.aget(paywall=shop.paywall, external_id=shop.user)
        account = await StripeAccount.objects.aget(paywall=shop.paywall)
        await PlanSubscription.objects.acreate(
            account=account,
            user=user,
            plan=await plan_of(shop),
            subscription_id=f"sub_{user.pk}",
            status="active",
            current_period_end=clock.now(),
        )
        await Customer.objects.acreate(account=account, user=user, customer_id=f"cus_{user.pk}")
        return shop

    async def entitled(self, member: Tenant) -> Any:
        answer = await member.get(f"/v1/user/entitlements?user={member.user}")
        assert answer.status == 200, answer.body
        return answer.json

    async def test_features_come_with_a_plan_that_is_paid(self, member: Tenant):
        shown = await self.entitled(member)
        assert shown["entitlements"] == ["export", "search"]
        assert shown["plans"][0]["id"] == public_id(await plan_of(member))
        mine = PlanSubscription.objects.filter(account__paywall=member.paywall)
        await mine.aupdate(status="past_due")
        shown = await self.entitled(member)
        assert (shown["entitlements"], len(shown["plans"])) == ([], 1)
        await mine.aupdate(status="canceled")
        assert await self.entitled(member) == {"entitlements": [], "plans": []}

    async def test_a_month_that_comes_is_told(self, member: Tenant):
        assert (await self.entitled(member))["plans"][0]["nextCreditAt"] is None
        kept = await PlanSubscription.objects.select_related("account__paywall").aget(
            account__paywall=member.paywall
        )
        order = await Order.objects.acreate(
            paywall=kept.account.paywall,
            user_id=kept.user_id,
            account=kept.account,
            livemode=True,
            kind="plan",
            price_minor=1,
            currency="USD",
            credit_nanos=24,
            invoice_id=f"in_{kept.pk}",
        )
        now = clock.now()
        times = dict.fromkeys(("starts_at", "ends_at", "until", "next_at"), now)
        await Drip.objects.acreate(
            order=order, subscription=kept, month_nanos=2, months=12, resets=True, **times
        )
        shown = (await self.entitled(member))["plans"][0]
        assert shown["nextCreditAt"] == clock.wire(now)
        await Drip.objects.filter(pk=order.pk).adelete()

    async def test_features_of_others_are_not_mine(self, member: Tenant):
        member.user = "somebody"
        assert await self.entitled(member) == {"entitlements": [], "plans": []}

    async def test_the_portal_works_where_nobody_has_set_it_up(
        self, member: Tenant, stripe: Running
    ):
        owner = stripe.client(seeded("sk", "live")).v1
        customer = owner.customers.create()
        mine = Customer.objects.filter(account__paywall=member.paywall)
        await mine.aupdate(customer_id=customer.id)
        for _ in range(2):
            answer = await member.get(f"/v1/user/portal?user={member.user}")
            assert answer.status == 200, answer.body
            assert answer.json["url"].startswith(stripe.url)
        assert len(owner.billing_portal.configurations.list().data) == 1

    async def test_no_portal_without_a_plan(self, shop: Tenant):
        answer = await shop.get(f"/v1/user/portal?user={shop.user}")
        assert (answer.status, answer.code) == (400, "order_not_possible")

    async def test_somebody_whom_stripe_does_not_know(self, member: Tenant, stripe: Running):
        answer = await member.get(f"/v1/user/portal?user={member.user}")
        assert (answer.status, answer.code) == (400, "order_not_possible")


class TestPromo:
    async def ask(self, tenant: Tenant, code: object) -> Any:
        return await tenant.post("/v1/user/promo", {"user": tenant.user, "code": code})

    async def test_a_code_gives_its_credit_once(self, tenant: Tenant):
        await Promo.objects.acreate(
            paywall=tenant.paywall, code="WELCOME", credit_nanos=3 * UNIT, most_uses=1
        )
        for _ in range(2):
            answer = await self.ask(tenant, "welcome")
            assert (answer.status, answer.json) == (200, {"credit": "3"}), answer.body
        assert await tenant.balance() == "3000000"

    async def test_who_tries_too_many_is_told_when_to_come_again(self, tenant: Tenant):
        for _ in range(PROMO_TRIES_USER_MAX):
            assert (await self.ask(tenant, "NO-SUCH")).status == 400
        answer = await self.ask(tenant, "NO-SUCH")
        assert (answer.status, answer.code) == (429, "promo_tries")
        assert answer.json["error"]["type"] == "rate_limit_error"
        assert 300 < int(answer.headers["retry-after"]) <= 360

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("NONE-OF-THEM", "promo_not_valid"),
            ("WELCOME\0", "promo_not_valid"),
            (7, "invalid_request_error"),
        ],
    )
    async def test_what_gives_nothing(self, tenant: Tenant, code, said):
        answer = await self.ask(tenant, code)
        assert (answer.status, answer.code) == (400, said)
