"""What credits are called, and their rate, stand in the price version alone."""

from django.db import migrations


class Migration(migrations.Migration):
    """Removes the copies that nothing reads."""

    dependencies = [("billing", "0016_narrow")]

    operations = [
        migrations.RemoveField("paymentsettings", "credit_name"),
        migrations.RemoveField("paymentsettings", "credits_per_unit"),
    ]
