"""A paywall's days and best users, added up by a worker; sums without an end."""

from pathlib import Path

from django.db import migrations, models

import config.kit.fields

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_credit_line"), ("paywalls", "0003_notify")]

    operations = [
        migrations.AlterField(
            model_name="daily",
            name="charged",
            field=config.kit.fields.SumField(decimal_places=0, max_digits=38),
        ),
        migrations.AlterField(
            model_name="daily",
            name="provider_cost",
            field=config.kit.fields.SumField(decimal_places=0, max_digits=38),
        ),
        migrations.RemoveIndex(model_name="daily", name="daily_of_paywall"),
        migrations.AddIndex(
            model_name="daily",
            index=models.Index(fields=["day", "paywall_id"], name="daily_of_day"),
        ),
        migrations.CreateModel(
            name="PaywallDay",
            fields=[
                ("pk", models.CompositePrimaryKey("paywall_id", "livemode", "day", "model", blank=True, editable=False, primary_key=True, serialize=False)),
                ("paywall_id", models.UUIDField()),
                ("livemode", models.BooleanField()),
                ("day", models.DateField(help_text="in the paywall's time zone")),
                ("model", models.CharField(max_length=300)),
                ("requests", models.BigIntegerField()),
                ("failures", models.BigIntegerField()),
                ("prompt_tokens", models.BigIntegerField()),
                ("completion_tokens", models.BigIntegerField()),
                ("charged", config.kit.fields.SumField(decimal_places=0, max_digits=38)),
                ("provider_cost", config.kit.fields.SumField(decimal_places=0, max_digits=38)),
            ],
        ),
        migrations.CreateModel(
            name="Ranking",
            fields=[
                ("pk", models.CompositePrimaryKey("paywall_id", "livemode", "days", blank=True, editable=False, primary_key=True, serialize=False)),
                ("paywall_id", models.UUIDField()),
                ("livemode", models.BooleanField()),
                ("days", models.SmallIntegerField()),
                ("active_users", models.BigIntegerField()),
                ("top", models.JSONField(help_text="[[user, nanos, requests], …]")),
                ("ranked_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Rollup",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("rolled_at", models.DateTimeField()),
            ],
        ),
        migrations.RunSQL(
            (SQL / "0008_analytics.sql").read_text(),
            (SQL / "0008_analytics.reverse.sql").read_text(),
        ),
    ]
