"""Users' webhooks, and what is on its way to them."""

import accounts.models.webhook
import aiassist.lib.clock
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0010_newest_first'),
    ]

    operations = [
        migrations.CreateModel(
            name='Webhook',
            fields=[
                ('id', models.CharField(default=accounts.models.webhook.new_webhook_id, editable=False, max_length=40, primary_key=True, serialize=False)),
                ('url', models.CharField(max_length=500)),
                ('description', models.CharField(blank=True, default='', max_length=200)),
                ('event_types', models.JSONField(default=list)),
                ('sealed_secret', models.TextField()),
                ('previous_sealed_secret', models.TextField(blank=True, default='')),
                ('previous_secret_until', models.DateTimeField(null=True)),
                ('disabled_at', models.DateTimeField(null=True)),
                ('disabled_reason', models.CharField(blank=True, choices=[('by_user', 'By User'), ('gone', 'Gone'), ('failing', 'Failing'), ('overflowing', 'Overflowing')], default='', max_length=16)),
                ('not_before', models.DateTimeField(null=True)),
                ('failures', models.PositiveIntegerField(default=0)),
                ('last_success_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=aiassist.lib.clock.now)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='webhooks', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-created_at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('id', models.CharField(default=accounts.models.webhook.new_delivery_id, editable=False, max_length=40, primary_key=True, serialize=False)),
                ('event_id', models.CharField(max_length=40)),
                ('event_type', models.CharField(max_length=40)),
                ('data', models.JSONField()),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('delivered', 'Delivered'), ('failed', 'Failed')], default='waiting', max_length=10)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('next_at', models.DateTimeField(default=aiassist.lib.clock.now, null=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('response_status', models.PositiveSmallIntegerField(null=True)),
                ('took_ms', models.PositiveIntegerField(null=True)),
                ('outcome', models.CharField(blank=True, default='', max_length=40)),
                ('created_at', models.DateTimeField(default=aiassist.lib.clock.now)),
                ('finished_at', models.DateTimeField(null=True)),
                ('webhook', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='accounts.webhook')),
            ],
            options={
                'verbose_name_plural': 'webhook deliveries',
                'ordering': ['-created_at', '-id'],
            },
        ),
        migrations.AddIndex(
            model_name='webhook',
            index=models.Index(fields=['-created_at'], name='webhook_newest'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['webhook', '-created_at'], name='delivery_of_webhook'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['-created_at'], name='delivery_newest'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(condition=models.Q(('state', 'waiting')), fields=['webhook', 'next_at'], name='delivery_waiting'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=models.UniqueConstraint(fields=('webhook', 'event_id'), name='webhook_event_once'),
        ),
    ]
