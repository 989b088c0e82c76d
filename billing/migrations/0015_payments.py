import config.kit.clock
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0014_told'),
    ]

    operations = [
        migrations.AddField(
            model_name='order',
            name='paid_minor',
            field=models.BigIntegerField(help_text='what was taken, with tax and coupons', null=True),
        ),
        migrations.AddField(
            model_name='order',
            name='warned_at',
            field=models.DateTimeField(help_text='the bank suspects fraud', null=True),
        ),
        migrations.AddField(
            model_name='paymentsettings',
            name='promotion_codes',
            field=models.BooleanField(default=False, help_text="Stripe's promotion codes lower the price, not the credit"),
        ),
        migrations.AddField(
            model_name='stripeaccount',
            name='paced_until',
            field=models.DateTimeField(default=config.kit.clock.now, help_text='calls are spread: pace.py'),
        ),
        migrations.AddField(
            model_name='reversal',
            name='booked_bonus_nanos',
            field=models.BigIntegerField(default=0, help_text="of these: a pack's bonus"),
        ),
    ]
