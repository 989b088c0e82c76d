"""Balances of accounts that no request may lock."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_hold")]

    operations = [
        migrations.RunSQL(
            (SQL / "0005_rollup.sql").read_text(),
            (SQL / "0005_rollup.reverse.sql").read_text(),
        ),
    ]
