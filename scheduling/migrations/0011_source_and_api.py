from django.db import migrations, models

APIS = [("chat", "chat"), ("completion", "completion"), ("embedding", "embedding")]
SOURCES = [("openai", "openai"), ("message", "message")]


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0010_job_api")]

    operations = [
        migrations.AlterField(
            "job", "api", models.CharField("API", choices=APIS, default="chat", max_length=12)
        ),
        migrations.AlterField(
            "job",
            "source",
            models.CharField(
                choices=SOURCES,
                default="openai",
                help_text="the door it came by",
                max_length=12,
            ),
        ),
    ]
