from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0013_staff_see_refusals")]

    operations = [
        migrations.AddField(
            model_name="tier",
            name="monthly_price_usd_micros",
            field=models.PositiveBigIntegerField(
                blank=True, null=True, verbose_name="monthly price"
            ),
        ),
    ]
