"""Let the quota row count calls that Redis was granted ahead."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_guard_usage_records")]

    operations = [
        migrations.AddField(
            model_name="quota",
            name="lease",
            field=models.CharField(blank=True, default="", max_length=40),
        ),
        migrations.AddField(
            model_name="quota",
            name="losses",
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="quota",
            name="version",
            field=models.PositiveBigIntegerField(default=0),
        ),
    ]
