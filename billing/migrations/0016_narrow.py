"""Money stays with its paywall, and refunds give back what was taken."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_payments"), ("ledger", "0010_give_back")]

    operations = [
        migrations.RunSQL(
            (SQL / "0016_narrow.sql").read_text(),
            (SQL / "0016_narrow.reverse.sql").read_text(),
        ),
    ]
