"""Let the admin show the newest of many without sorting all."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("workspaces", "0006_job_parked"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="workspace",
            index=models.Index(fields=["-created_at"], name="workspace_newest"),
        ),
        migrations.AddIndex(
            model_name="indexjob",
            index=models.Index(fields=["-created_at"], name="job_newest"),
        ),
    ]
