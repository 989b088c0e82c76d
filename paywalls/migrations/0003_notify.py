"""Announces configuration changes on the channel `paywalls_config`.

Other apps' triggers use the same function, `paywalls_notify_config()`: see its SQL file.
"""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parents[1] / "sql"


class Migration(migrations.Migration):
    dependencies = [("paywalls", "0002_guards")]

    operations = [
        migrations.RunSQL(
            (SQL / "0003_notify.sql").read_text(), (SQL / "0003_notify.reverse.sql").read_text()
        ),
    ]
