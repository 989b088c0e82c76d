"""Refunds give back what was taken."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("ledger", "0009_checkpoint")]

    operations = [
        migrations.RunSQL(
            (SQL / "0010_give_back.sql").read_text(),
            (SQL / "0010_give_back.reverse.sql").read_text(),
        ),
    ]
