"""Credit lines."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_wallet")]

    operations = [
        migrations.RunSQL(
            (SQL / "0007_credit_line.sql").read_text(),
            (SQL / "0007_credit_line.reverse.sql").read_text(),
        ),
    ]
