"""Have the roll-up read the whole ledger once more: it has new tables to fill.

Until it has run, a minute later, pages add up the ledger itself.
"""

from django.db import migrations


def forget_the_mark(apps, schema_editor):
    apps.get_model("billing", "RollupMark").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_totals_of_days")]
    operations = [migrations.RunPython(forget_the_mark, migrations.RunPython.noop)]
