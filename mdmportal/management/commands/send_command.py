"""`manage.py send_command DEVICE REQUEST_TYPE`: one MDM command for one device."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from devices.errors import CommandRefused
from mdmportal.pages import status
from mdmportal.pages.sending import send_from_command_line
from protocol import plist
from protocol.errors import PlistError


class Command(BaseCommand):
    help = "Queue one MDM command. DEVICE is an enrollment id or a serial number; REQUEST_TYPE is Apple's word."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("device")
        parser.add_argument("request_type")
        parser.add_argument("--params", type=Path, metavar="FILE.plist", help="the command's keys, as a property list")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            params = plist.loads_dict(options["params"].read_bytes()) if options["params"] else {}
            enrollment = status.find_enrollment(options["device"])
            command = send_from_command_line(enrollment, options["request_type"], params=params, now=timezone.now())
        except (PlistError, OSError) as error:
            raise CommandError(f"--params: {error}") from error
        except (status.DeviceNotFound, CommandRefused) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps({"uuid": command.uuid}) if options["json"] else command.uuid)
