"""The group `all` always exists."""

from django.db import migrations
from django.utils import timezone


def make_all_group(apps, schema_editor):
    apps.get_model("devices", "DeviceGroup").objects.get_or_create(
        name="all", defaults={"description": "Every enrolled device.", "created_at": timezone.now()}
    )


class Migration(migrations.Migration):
    dependencies = [("devices", "0002_device_permissions")]

    operations = [migrations.RunPython(make_all_group, migrations.RunPython.noop)]
