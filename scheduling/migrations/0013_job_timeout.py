from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0012_pause_scope")]

    # Processes of the previous version go on inserting jobs without it.
    operations = [
        migrations.AddField(
            "job",
            "timeout_seconds",
            models.FloatField(
                help_text="from submit, or from when it was due, to its deadline", null=True
            ),
        ),
    ]
