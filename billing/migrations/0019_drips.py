"""Yearly plans whose credit comes month by month, one order a cycle, and tries of wrong codes."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q

AMOUNTS = Q(
    month_nanos__gt=0,
    given__lte=F("months"),
    given_nanos__lte=F("month_nanos") * F("months"),
)


class Migration(migrations.Migration):
    """Their tables, and what must hold of them."""

    dependencies = [("billing", "0018_low_balance")]

    operations = [
        migrations.AlterModelOptions(
            "paymentsettings", {"verbose_name_plural": "payment settings"}
        ),
        migrations.AlterModelOptions("promo", {"verbose_name": "promotion code"}),
        migrations.RemoveField("plansubscription", "drip_from"),
        migrations.RemoveField("plansubscription", "drip_next_at"),
        migrations.AddField(
            "plansubscription",
            "ended_at",
            models.DateTimeField(help_text="when it was over, not its last cycle", null=True),
        ),
        migrations.CreateModel(
            "Drip",
            [
                (
                    "order",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="drip",
                        serialize=False,
                        to="billing.order",
                    ),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                (
                    "until",
                    models.DateTimeField(
                        help_text="no month begins then or later: earlier if it is ended"
                    ),
                ),
                ("month_nanos", models.BigIntegerField()),
                ("months", models.PositiveSmallIntegerField()),
                ("resets", models.BooleanField(help_text="what is left ends with the month")),
                (
                    "given",
                    models.PositiveSmallIntegerField(default=0, help_text="months so far"),
                ),
                ("given_nanos", models.BigIntegerField(default=0)),
                (
                    "next_at",
                    models.DateTimeField(
                        help_text="when to look again; empty: it rests", null=True
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="drips",
                        to="billing.plansubscription",
                    ),
                ),
            ],
            options={
                "db_table": "billing_drip",
                "indexes": [
                    models.Index(
                        fields=["next_at"], condition=Q(next_at__isnull=False), name="drip_due"
                    )
                ],
                "constraints": [models.CheckConstraint(condition=AMOUNTS, name="drip_amounts")],
            },
        ),
        migrations.CreateModel(
            "PromoTries",
            [
                ("subject", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "spent_until",
                    models.DateTimeField(help_text="each try moves it on: see promo_tries.py"),
                ),
            ],
            options={"db_table": "billing_promo_tries"},
        ),
        migrations.AddConstraint(
            "order",
            models.UniqueConstraint(
                fields=["paywall", "invoice_id"],
                condition=Q(kind="plan", session_id=None),
                name="order_cycle_once",
            ),
        ),
        migrations.AddConstraint(
            "plan",
            models.CheckConstraint(
                condition=Q(drips=False) | Q(interval="year"), name="plan_drips_of_a_year"
            ),
        ),
    ]
