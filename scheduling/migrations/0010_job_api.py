from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0009_affinity_and_fallback")]

    operations = [
        migrations.RenameField("job", "kind", "api"),
        migrations.AlterField(
            "job", "api", models.CharField("API", default="chat", max_length=12)
        ),
    ]
