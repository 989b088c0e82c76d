"""What waits can be counted without reading what does not."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0022_first_answer")]

    operations = [
        migrations.CreateModel(
            name="DeliveryTotal",
            fields=[
                ("outcome", models.CharField(max_length=8, primary_key=True, serialize=False)),
                ("total", models.BigIntegerField(default=0)),
            ],
            options={"db_table": "billing_delivery_total"},
        ),
        migrations.AddIndex(
            "inboxevent",
            models.Index(
                condition=models.Q(("state", "quarantined")),
                fields=["id"],
                name="stripe_event_quarantined",
            ),
        ),
    ]
