from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0004_job_turns")]

    operations = [
        migrations.AddIndex(
            model_name="indexjob",
            index=models.Index(
                condition=models.Q(generation=1, state="succeeded"),
                fields=["-finished_at"],
                name="job_first_ended",
            ),
        ),
    ]
