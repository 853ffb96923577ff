"""Keep answers of calls made under an Idempotency-Key."""

import aiassist.lib.clock
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0008_provider_keys_mark'),
    ]

    operations = [
        migrations.CreateModel(
            name='IdempotentCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64)),
                ('fingerprint', models.CharField(max_length=64)),
                ('run', models.CharField(max_length=32)),
                ('state', models.CharField(choices=[('running', 'Running'), ('done', 'Done'), ('lost', 'Lost')], max_length=10)),
                ('status', models.PositiveSmallIntegerField(default=0)),
                ('answer', models.TextField(blank=True, default='')),
                ('created_at', models.DateTimeField(default=aiassist.lib.clock.now)),
                ('expires_at', models.DateTimeField()),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='idempotent_calls', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(fields=['expires_at'], name='idempotent_by_expiry')],
                'constraints': [models.UniqueConstraint(fields=('user', 'digest'), name='idempotency_key_once')],
            },
        ),
    ]
