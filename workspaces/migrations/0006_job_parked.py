from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0005_job_first_ended")]

    operations = [
        migrations.AddField(
            model_name="indexjob",
            name="parked_at",
            field=models.DateTimeField(null=True),
        ),
    ]
