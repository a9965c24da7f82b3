from django.db import migrations, models


class Migration(migrations.Migration):
    """A pause has a scope, not a kind. The table has a handful of rows."""

    dependencies = [("scheduling", "0011_source_and_api")]

    operations = [
        migrations.RemoveConstraint("pause", "pause_once"),
        migrations.RenameField("pause", "kind", "scope"),
        migrations.AddConstraint(
            "pause", models.UniqueConstraint(fields=["scope", "key"], name="pause_once")
        ),
        migrations.AlterModelOptions("pause", {"ordering": ["scope", "key"]}),
    ]
