"""Count local answers after a used-up quota."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0010_newest_first'),
        ('assistant', '0006_several_workspaces'),
    ]

    operations = [
        migrations.CreateModel(
            name='SpareCalls',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='spare_calls', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('hour_start', models.DateTimeField()),
                ('used', models.PositiveIntegerField(default=0)),
            ],
        ),
    ]
