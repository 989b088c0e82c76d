"""What came too late is written off once."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0011_moments")]

    operations = [
        migrations.RunSQL(
            (SQL / "0012_writeoff_once.sql").read_text(),
            (SQL / "0012_writeoff_once.reverse.sql").read_text(),
        ),
    ]
