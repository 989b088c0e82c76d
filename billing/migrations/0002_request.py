"""The request log, partitioned by month."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunSQL(
            (SQL / "0002_request.sql").read_text(),
            (SQL / "0002_request.reverse.sql").read_text(),
        ),
    ]
