"""Remember the last block of calls that was granted, and when."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_subscription_reason")]

    operations = [
        migrations.AddField(
            model_name="quota",
            name="block",
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="quota",
            name="block_at",
            field=models.DateTimeField(null=True),
        ),
    ]
