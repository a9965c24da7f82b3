from django.db import migrations, models


class Migration(migrations.Migration):
    """The status of a refusal, for who reads results later. Older processes leave it empty."""

    dependencies = [("scheduling", "0013_job_timeout")]

    operations = [
        migrations.AddField(
            "job",
            "error_status",
            models.SmallIntegerField(help_text="HTTP status of the endpoint's refusal", null=True),
        ),
    ]
