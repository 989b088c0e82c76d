"""Shared mode: wallets of people pay, and charges are shared."""

from pathlib import Path

from django.db import migrations, models

import config.kit.clock

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0023_backlog"),
        ("ledger", "0012_shared"),
        ("paywalls", "0006_grants"),
    ]

    operations = [
        migrations.CreateModel(
            name="PlatformFee",
            fields=[
                ("number", models.PositiveIntegerField(primary_key=True, serialize=False)),
                ("ppm", models.PositiveIntegerField(help_text="millionths of the charge")),
                ("valid_from", models.DateTimeField(db_index=True)),
                ("actor", models.CharField(max_length=100)),
                (
                    "created_at",
                    models.DateTimeField(default=config.kit.clock.now, editable=False),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ppm__lte", 1000000)), name="fee_at_most_all"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Split",
            fields=[
                (
                    "transaction_id",
                    models.UUIDField(editable=False, primary_key=True, serialize=False),
                ),
                ("paywall_id", models.UUIDField()),
                ("user_id", models.UUIDField()),
                ("grant_id", models.UUIDField(help_text="under which it was allowed")),
                ("fee_number", models.IntegerField(help_text="0: no fee was ever set")),
                ("fee_ppm", models.IntegerField()),
                ("built_in", models.BooleanField()),
                ("cost", models.BigIntegerField(help_text="the provider's")),
                ("fee", models.BigIntegerField(help_text="the platform's")),
                (
                    "earned",
                    models.BigIntegerField(
                        help_text="the developer's; below 0 where the cost was higher"
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="split",
            index=models.Index(fields=["user_id", "transaction_id"], name="split_of_user"),
        ),
        *(
            migrations.RunSQL(
                (SQL / f"0024_{name}.sql").read_text(),
                (SQL / f"0024_{name}.reverse.sql").read_text(),
            )
            for name in ("splits", "grants", "settle", "shared", "reap")
        ),
    ]
