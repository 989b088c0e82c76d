"""Low balances are told; people may agree to automatic top-ups with a saved card."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

import config.kit.ids

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0017_credits_once"), ("paywalls", "0003_notify")]

    operations = [
        migrations.AlterField(
            "paymentsettings",
            "low_balance_nanos",
            models.BigIntegerField(
                blank=True,
                help_text="a balance that falls below it is told; empty: none is",
                null=True,
            ),
        ),
        migrations.AddField(
            "paymentsettings",
            "low_balance_mail",
            models.BooleanField(default=True, help_text="to the owners, once a day"),
        ),
        migrations.AddField(
            "paymentsettings", "notices_mailed_at", models.DateTimeField(editable=False, null=True)
        ),
        migrations.AddField(
            "paymentsettings",
            "refills",
            models.BooleanField(
                default=False, help_text="people may save a card for automatic top-ups"
            ),
        ),
        migrations.RemoveField("customer", "refill_below_nanos"),
        migrations.RemoveField("customer", "refill_nanos"),
        migrations.RemoveField("customer", "refill_month_most_nanos"),
        migrations.RemoveField("customer", "consented_at"),
        migrations.RemoveField("customer", "consent"),
        migrations.RemoveField("customer", "refill_trouble"),
        migrations.AddField(
            "customer",
            "card_brand",
            models.CharField(blank=True, default="", help_text="visa, …", max_length=32),
            preserve_default=False,
        ),
        migrations.AddField(
            "customer",
            "card_last_four",
            models.CharField(blank=True, default="", max_length=4),
            preserve_default=False,
        ),
        migrations.CreateModel(
            "RefillAgreement",
            fields=[
                ("id", models.UUIDField(default=config.kit.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("below_nanos", models.BigIntegerField()),
                ("amount_nanos", models.BigIntegerField()),
                ("month_most_nanos", models.BigIntegerField(help_text="all top-ups of a calendar month together")),
                ("words", models.TextField(help_text="as they stood on the page")),
                ("wording", models.PositiveSmallIntegerField(help_text="version of the words")),
                ("page", models.CharField(help_text="on which they stood: pay or wallet", max_length=8)),
                ("address", models.GenericIPAddressField(help_text="forgotten with the user", null=True)),
                ("agreed_at", models.DateTimeField()),
                ("status", models.CharField(choices=[("waiting", "waiting for a card"), ("on", "on"), ("off", "off")], default="waiting", max_length=8)),
                ("trouble", models.CharField(blank=True, help_text="why it ended, if it was not the person's own wish", max_length=200)),
                ("told_at", models.DateTimeField(help_text="when the owners were told of the trouble", null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("declines", models.PositiveSmallIntegerField(default=0, help_text="in a row")),
                ("due_at", models.DateTimeField(help_text="when a worker looks; null: nothing to do", null=True)),
                ("leased_until", models.DateTimeField(help_text="a worker is at it", null=True)),
                ("session_id", models.CharField(blank=True, help_text="cs_… that saves the card", max_length=255)),
                ("customer", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="agreements", to="billing.customer")),
            ],
            options={
                "db_table": "billing_refill_agreement",
                "constraints": [
                    models.UniqueConstraint(condition=models.Q(("status", "off"), _negated=True), fields=("customer",), name="refill_agreed_once"),
                    models.CheckConstraint(condition=models.Q(("amount_nanos__gt", 0), ("below_nanos__gt", 0), ("month_most_nanos__gte", models.F("amount_nanos"))), name="refill_amounts"),
                ],
                "indexes": [
                    models.Index(condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="refill_due"),
                    models.Index(condition=models.Q(("leased_until__isnull", False)), fields=["leased_until"], name="refill_leased"),
                ],
            },
        ),
        migrations.CreateModel(
            "LowBalance",
            fields=[
                ("user", models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name="low_balance", serialize=False, to="paywalls.enduser")),
                ("level_nanos", models.BigIntegerField(help_text="when it was seen")),
                ("threshold_nanos", models.BigIntegerField()),
                ("since", models.DateTimeField()),
                ("mailed_at", models.DateTimeField(null=True)),
                ("paywall", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="low_balances", to="paywalls.paywall")),
            ],
            options={
                "db_table": "billing_low_balance",
                "indexes": [models.Index(condition=models.Q(("mailed_at__isnull", True)), fields=["paywall"], name="low_not_mailed")],
            },
        ),
        migrations.CreateModel(
            "LowWatch",
            fields=[
                ("id", models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ("watched_upto", models.BigIntegerField()),
            ],
            options={"db_table": "billing_low_watch"},
        ),
        migrations.AddField(
            "order",
            "agreement",
            models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="orders", to="billing.refillagreement"),
        ),
        migrations.AddField(
            "order", "saves_card", models.BooleanField(default=False, help_text="for automatic top-ups")
        ),
        migrations.RemoveConstraint("order", "order_open_once"),
        migrations.AddConstraint(
            "order",
            models.UniqueConstraint(
                condition=models.Q(("kind__in", ["topup", "pack", "plan"]), ("status", "open")),
                fields=("account", "user", "kind", "price_minor", "pack", "plan", "saves_card"),
                name="order_open_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            "order",
            models.UniqueConstraint(
                condition=models.Q(("kind", "refill"), ("status__in", ["open", "pending"])),
                fields=("user",),
                name="refill_open_once",
            ),
        ),
        migrations.RunSQL(
            (SQL / "0018_low_balance.sql").read_text(),
            (SQL / "0018_low_balance.reverse.sql").read_text(),
        ),
    ]
