"""`manage.py invite`: a link with which devices enroll."""

import json
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from devices import acts
from devices.errors import DeviceError
from devices.groups import get_group


class Command(BaseCommand):
    help = "Make a link with which devices enroll; it is shown once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--group", action="append", default=[], help="put the devices there; may be repeated")
        parser.add_argument("--uses", type=int, default=1, help="how many devices (default 1)")
        parser.add_argument("--hours", type=int, help="how long the link is good (default 24)")
        parser.add_argument("--serial", default="", help="only this device")
        parser.add_argument("--note", default="")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        hours = options["hours"]
        try:
            invitation, token = acts.invite(
                groups=[get_group(name) for name in options["group"]],
                uses=options["uses"],
                lifetime=settings.INVITATION_LIFETIME if hours is None else timedelta(hours=hours),
                serial_number=options["serial"],
                note=options["note"],
                actor=None,
                now=timezone.now(),
            )
        except (DeviceError, OverflowError) as error:
            raise CommandError(str(error)) from error
        url = f"{settings.PORTAL_URL}/enroll/{token}/"
        answer = {"url": url, "profile_url": f"{url}profile", "expires_at": invitation.expires_at.isoformat()}
        if options["json"]:
            self.stdout.write(json.dumps(answer))
            return
        self.stdout.write(f"{url}\n  for {invitation.uses} device(s), until {invitation.expires_at:%Y-%m-%d %H:%M} UTC")
