"""Reserving for the request path."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0002_request"),
        ("ledger", "0005_rollup"),
        ("paywalls", "0003_notify"),
    ]

    operations = [
        migrations.RunSQL(
            (SQL / "0003_reserve.sql").read_text(),
            (SQL / "0003_reserve.reverse.sql").read_text(),
        ),
    ]
