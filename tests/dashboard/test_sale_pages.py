"""The administration of what is sold: added and ended through the services, never changed."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import models
from django.test import Client

from billing.stripe.catalog import Pack, PaymentSettings, Plan, Promo
from billing.stripe.models import PlanSubscription
from config.kit import ids
from config.kit.money import NANOS
from paywalls.models import Change, Paywall
from tests.dashboard.test_staff_pages import INLINE, read, url
from tests.factories import DeveloperFactory, PaywallFactory

type Row = Pack | Plan | Promo | PaymentSettings

SENT: dict[type[Any], dict[str, str]] = {
    Pack: {"name": "Shelf", "price": "20", "credit": "20", "bonus": "5"},
    Plan: {
        "name": "Pro",
        "price": "240",
        "credit": "20",
        "interval": "year",
        "interval_count": "1",
        "drips": "on",
        "rollover": "on",
        "features": "audio, export",
    },
    Promo: {"code": "spring-26", "credit": "2.50", "most_uses": "100", "credit_days": "30"},
    PaymentSettings: {
        "least": "5",
        "most": "500",
        "suggested": "5, 20",
        "choose_first": "on",
        "addresses": "https://app.example",
        "low_balance": "2",
    },
}
SOLD = (Pack, Plan, Promo)
WRONG = [
    *((Pack, {"price": text}) for text in ("", "-1", "1e9", "0.001", "0", "999999999999", "٣")),
    *((Pack, {"credit": text}) for text in ("", "0", "nan", "9" * 40)),
    (Pack, {"bonus": "-1"}),
    (Pack, {"name": ""}),
    (Pack, {"name": "x" * 200}),
    *((Plan, {"credit": text}) for text in ("0", "1000000000", "x")),
    *((Plan, {"interval_count": text}) for text in ("0", "-1", "37", "99999", "")),
    (Plan, {"interval": "month"}),
    (Plan, {"interval": "decade"}),
    (Plan, {"features": "x" * 200}),
    *((Promo, {"code": text}) for text in ("", "short", "with blank", "x" * 80)),
    *((Promo, {"most_uses": text}) for text in ("0", "-1", "2000000", "9" * 30)),
    (Promo, {"credit_days": "0"}),
    (Promo, {"credit": "0"}),
    *((PaymentSettings, {"least": text}) for text in ("", "0", "501", "1.001", "0.01")),
    *((PaymentSettings, {"suggested": text}) for text in ("1", "501", "5; 6", "a", "5," * 20)),
    *(
        (PaymentSettings, {"addresses": text})
        for text in ("app.example", "https://a.example/path", "http://a.example", "javascript:x")
    ),
    (PaymentSettings, {"addresses": "https://user@a.example"}),
    (PaymentSettings, {"low_balance": "0"}),
    (PaymentSettings, {"paywall": "7"}),
]


@pytest.fixture
def site(client: Client) -> Client:
    client.force_login(DeveloperFactory.create(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def paywall() -> Paywall:
    return PaywallFactory.create()


def add(
    site: Client, model: type[Row], owner: Paywall, changes: dict[str, str] | None = None
) -> Any:
    sent = {"paywall": str(owner.pk), **SENT[model], **(changes or {})}
    return site.post(url(model, "add"), sent)


def made(site: Client, model: type[Row], paywall: Paywall) -> Any:
    answer = add(site, model, paywall)
    assert answer.status_code == 302, answer.content.decode()
    return model._default_manager.get(paywall=paywall)


def actions(paywall: Paywall) -> list[str]:
    rows = Change.objects.filter(paywall=paywall, actor__startswith="dev_").order_by("id")
    return list(rows.values_list("action", flat=True))


def choose(site: Client, row: models.Model, action: str) -> None:
    data = {"action": action, "_selected_action": [str(row.pk)]}
    assert site.post(url(type(row), "changelist"), data).status_code == 302
    row.refresh_from_db()


def test_a_pack(site, paywall):
    row = made(site, Pack, paywall)
    assert (row.price_minor, row.credit_nanos, row.bonus_nanos) == (2000, 20 * NANOS, 5 * NANOS)
    page = read(site, url(Pack, "change", row.pk))
    assert "20.00 USD" in page
    assert str(NANOS) not in page
    choose(site, row, "stop")
    assert not row.is_active
    choose(site, row, "sell")
    assert row.is_active
    assert actions(paywall) == ["pack.added", "pack.closed", "pack.reopened"]


def test_a_plan(site, paywall):
    row = made(site, Plan, paywall)
    assert (row.price_minor, row.credit_nanos, row.interval) == (24_000, 20 * NANOS, "year")
    assert (row.drips, row.resets, row.entitlements) == (True, False, ["audio", "export"])
    choose(site, row, "stop")
    assert not row.is_active
    assert actions(paywall) == ["plan.added", "plan.closed"]


def test_a_code(site, paywall):
    row = made(site, Promo, paywall)
    assert (row.code, row.credit_nanos, row.credit_days) == ("SPRING-26", 5 * NANOS // 2, 30)
    choose(site, row, "stop")
    assert not row.is_active
    assert actions(paywall) == ["promo.added", "promo.stopped"]


def test_settings(site, paywall):
    row = made(site, PaymentSettings, paywall)
    assert (row.least_nanos, row.most_nanos) == (5 * NANOS, 500 * NANOS)
    assert row.suggested_nanos == [5 * NANOS, 20 * NANOS]
    assert (row.origins, row.low_balance_nanos) == (["https://app.example"], 2 * NANOS)
    page = read(site, url(PaymentSettings, "change", row.pk))
    assert 'value="5, 20"' in page
    sent = {**SENT[PaymentSettings], "most": "100", "choose_first": "", "refills": "on"}
    assert site.post(url(PaymentSettings, "change", row.pk), sent).status_code == 302
    row.refresh_from_db()
    assert (row.most_nanos, row.choose_first, row.refills) == (100 * NANOS, False, True)
    assert row.low_balance_nanos == 2 * NANOS
    refused = site.post(url(PaymentSettings, "change", row.pk), {**sent, "tax": "on"})
    assert "cannot compute tax" in refused.content.decode()
    assert set(actions(paywall)) == {"payments.changed"}


@pytest.mark.parametrize(("model", "wrong"), WRONG)
def test_what_cannot_be_is_told_and_what_was_entered_kept(site, paywall, model, wrong):
    answer = add(site, model, paywall, wrong)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert 'class="errorlist' in page
    kept = {**SENT[model], **wrong}
    assert all(f'value="{kept[name]}"' in page for name in ("name", "code") if kept.get(name))
    assert not model._default_manager.filter(paywall=paywall).exists()
    assert actions(paywall) == []


def test_a_second_code_of_the_same_name_is_told(site, paywall):
    made(site, Promo, paywall)
    answer = add(site, Promo, paywall)
    assert answer.status_code == 200
    assert "already" in answer.content.decode()


@pytest.mark.parametrize("model", SOLD)
def test_what_is_sold_is_found_and_never_changed(site, paywall, model):
    row = made(site, model, paywall)
    for text in (ids.encode("pw", paywall.pk), paywall.name, str(row)):
        page = read(site, url(model, "changelist"), q=text)
        assert url(model, "change", row.pk) in page
        assert not INLINE.search(page)
    for name in ("price_minor", "credit_nanos", "is_active", "credit"):
        assert f'name="{name}"' not in read(site, url(model, "change", row.pk))
    assert site.post(url(model, "change", row.pk), {"name": "other"}).status_code == 403
    assert site.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_filters_work(site, paywall):
    for model in (*SOLD, PaymentSettings, PlanSubscription):
        for each in admin.site._registry[model].list_filter:
            name = each[0] if isinstance(each, tuple) else each
            suffix = "__isempty" if isinstance(each, tuple) else "__exact"
            answer = site.get(url(model, "changelist"), {f"{name}{suffix}": "1"})
            assert answer.status_code == 200, (model, name)


def test_who_may_only_look_changes_nothing(client, paywall):
    staff = DeveloperFactory.create(is_staff=True)
    names = [model._meta.model_name for model in SENT]
    wanted = Permission.objects.filter(
        content_type__app_label="billing", codename__in=[f"view_{name}" for name in names]
    )
    staff.user_permissions.set(wanted)
    row = Promo.objects.create(paywall=paywall, code="SPRING-26", credit_nanos=1, most_uses=1)
    client.force_login(staff)
    for model in SENT:
        read(client, url(model, "changelist"))
        assert client.get(url(model, "add")).status_code == 403
    client.post(url(Promo, "changelist"), {"action": "stop", "_selected_action": [str(row.pk)]})
    row.refresh_from_db()
    assert row.is_active
