"""Let a place of a model be one that speaks OpenAI's responses."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('assistant', '0007_spare_calls'),
    ]

    operations = [
        migrations.AlterField(
            model_name='upstream',
            name='provider',
            field=models.CharField(choices=[('openai', 'OpenAI, or compatible'), ('openai-responses', "OpenAI's responses (/v1/responses)"), ('anthropic', 'Anthropic'), ('google', 'Google'), ('ollama', 'Ollama')], max_length=20, verbose_name='wire format'),
        ),
    ]
