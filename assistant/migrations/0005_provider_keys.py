"""Keep users' own keys for providers, sealed."""

import aiassist.lib.clock
import aiassist.lib.ids
import django.db.models.deletion
import functools
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('assistant', '0004_upstreams'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ProviderKey',
            fields=[
                ('id', models.CharField(default=functools.partial(aiassist.lib.ids.new_id, *('pkey',), **{}), editable=False, max_length=40, primary_key=True, serialize=False)),
                ('provider', models.CharField(max_length=20)),
                ('base_url', models.CharField(max_length=300)),
                ('sealed_key', models.TextField()),
                ('hint', models.CharField(max_length=8)),
                ('listed', models.JSONField(blank=True, default=list)),
                ('created_at', models.DateTimeField(default=aiassist.lib.clock.now)),
                ('replaced_at', models.DateTimeField(null=True)),
                ('tried_at', models.DateTimeField(null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='provider_keys', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-created_at'],
                'constraints': [models.UniqueConstraint(fields=('user', 'provider'), name='provider_key_once')],
            },
        ),
    ]
