"""That a webhook was disabled is told by the sweep, not by the act that did it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0013_seal_second_factors")]

    operations = [
        migrations.AddField(
            model_name="webhook",
            name="owner_to_be_told",
            field=models.BooleanField(default=False),
        ),
    ]
