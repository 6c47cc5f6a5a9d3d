"""Platforms are called as Apple writes them."""

from django.db import migrations, models

PLATFORMS = ["iOS", "iPadOS", "macOS", "tvOS", "watchOS", "visionOS"]


class Migration(migrations.Migration):
    dependencies = [("devices", "0003_all_group")]

    operations = [
        migrations.AlterField(
            model_name="device",
            name="platform",
            field=models.CharField(
                blank=True,
                choices=[*((name, name) for name in PLATFORMS), ("", "not known yet")],
                default="",
                max_length=16,
            ),
        ),
    ]
