"""Let the admin show the newest of many without sorting all."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_idempotent_calls")]

    operations = [
        migrations.AddIndex(
            model_name="apikey",
            index=models.Index(fields=["-created_at"], name="api_key_newest"),
        ),
        migrations.AddIndex(
            model_name="tokenfamily",
            index=models.Index(fields=["-created_at"], name="token_family_newest"),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(fields=["-date_joined"], name="user_newest"),
        ),
    ]
