"""Mark who has provider keys of their own."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_audit_forgets_addresses'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='has_provider_keys',
            field=models.BooleanField(default=False, editable=False),
        ),
    ]
