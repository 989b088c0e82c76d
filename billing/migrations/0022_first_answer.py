"""A repeated deposit is answered as it was the first time."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0021_stopped")]

    operations = [
        migrations.RunSQL(
            (SQL / "0022_first_answer.sql").read_text(),
            (SQL / "0022_first_answer.reverse.sql").read_text(),
        ),
    ]
