"""`manage.py status [DEVICE]`: where each device stands, what is installed or waiting there, and why."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices.models import Device
from mdmportal.pages import status


class Command(BaseCommand):
    help = "Where each device stands. DEVICE is an enrollment id or a serial number."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("device", nargs="?")
        parser.add_argument("--json", action="store_true", help="a list with one object per device")

    def handle(self, *args: Any, **options: Any) -> None:
        devices = Device.objects.all()
        if options["device"] is not None:
            try:
                devices = devices.filter(pk=status.find_device(options["device"]).pk)
            except status.DeviceNotFound as error:
                raise CommandError(str(error)) from error
        rows = status.overview(devices)
        if options["json"]:
            self.stdout.write(json.dumps(list(rows), indent=2))
            return
        for row in rows:
            self.show(row, commands=options["device"] is not None)

    def show(self, row: dict[str, Any], *, commands: bool) -> None:
        title = row["serial"] or row["enrollment_id"] or "(unnamed)"
        self.stdout.write(f"{title}  {row['state']}  {row['state_reason']}".rstrip())
        for one in row["installations"]:
            until = f" (until {one['next_at']})" if one["next_at"] else ""
            self.stdout.write(f"    {one['bundle']} / {one['part']}: {one['state']}  {one['reason']}{until}".rstrip())
        for one in row["commands"] if commands else []:
            self.stdout.write(f"    {one['uuid']}  {one['request_type']}: {one['state']}")
