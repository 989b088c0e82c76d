"""Accounts, transactions and lots."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_guards")]

    operations = [
        migrations.RunSQL(
            (SQL / "0003_post.sql").read_text(),
            (SQL / "0003_post.reverse.sql").read_text(),
        ),
    ]
