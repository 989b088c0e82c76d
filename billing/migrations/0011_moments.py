"""What money and configuration tell of."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_events")]

    operations = [
        migrations.RunSQL(
            (SQL / "0011_moments.sql").read_text(),
            (SQL / "0011_moments.reverse.sql").read_text(),
        ),
    ]
