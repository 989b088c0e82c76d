"""Open holds by their id.

Plans that were made while few holds were open prefer this small index, for the hold that a request
ends, to the primary key's. By account they read all open holds to find it.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0007_settle_again")]

    operations = [
        migrations.AddIndex(
            model_name="hold",
            index=models.Index(condition=models.Q(("state", 0)), fields=["id"], name="open_hold"),
        ),
        migrations.RemoveIndex(model_name="hold", name="hold_open"),
    ]
