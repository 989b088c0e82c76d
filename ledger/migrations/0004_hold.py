"""Holds: place, settle, renew."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("ledger", "0003_post")]

    operations = [
        migrations.RunSQL(
            (SQL / "0004_hold.sql").read_text(),
            (SQL / "0004_hold.reverse.sql").read_text(),
        ),
    ]
