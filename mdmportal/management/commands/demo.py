"""`manage.py demo`: the portal with a simulated fleet, in one terminal, on 127.0.0.1 and a data folder of its own.

manage.py has made its environment (`mdmportal.demo.environment`) before Django read the settings.
"""

import json
import os
import secrets
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from certificates.encryption import EncryptionError
from mdmportal import processes, start
from mdmportal.demo import preparation, provisioning
from mdmportal.supervisor import Supervisor

# What 25 devices say several times a second, and nobody wants to watch; a log file gets it.
COMMONPLACE = (": Acknowledged",)


class Command(BaseCommand):
    help = "Run the portal with simulated devices and a fake Apple, to look at. Ctrl-C stops all."
    # They ask for files that this command makes first.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--devices", type=int, default=25, metavar="N")
        parser.add_argument("--json", action="store_true", help="say that it is up as one line of JSON")
        parser.add_argument("--fresh", action="store_true", help="forget the last run")

    def handle(self, *args: Any, **options: Any) -> None:
        os.umask(0o077)
        now, password, devices = timezone.now(), secrets.token_urlsafe(9), options["devices"]
        if devices < 0:
            raise CommandError("--devices: a number from 0 up.")
        try:
            preparation.refuse_real_database()
            start.occupy(settings.DATA_DIR)
            start.prepare_database(now)
            url = preparation.prepare(settings, now=now, password=password, devices=devices)
        except (start.StartError, EncryptionError) as error:
            raise CommandError(str(error)) from error
        self.check()
        fleet = preparation.fleet(
            settings,
            url=url,
            devices=devices,
            apns_port=os.environ["PORTAL_DEMO_APNS_PORT"],
            control_port=os.environ["PORTAL_DEMO_CONTROL_PORT"],
        )
        apple = provisioning.fake_apple(settings, port=os.environ["PORTAL_DEMO_APPSTORECONNECT_PORT"])
        start.before_children()

        def announce() -> None:
            if options["json"]:
                url = f"{settings.PORTAL_URL}/admin/"
                self.line(json.dumps({"url": url, "name": "admin", "password": password, "devices": devices}))
                return
            self.line(
                f"\n  MDM Portal demo with {devices} simulated devices\n\n"
                f"  URL:      {settings.PORTAL_URL}/admin/\n  Name:     admin\n  Password: {password}\n\n"
                f"  In another terminal: PORTAL_DATA_DIR={settings.DATA_DIR} {sys.executable} manage.py status\n"
                "  Ctrl-C stops everything; the next `make demo` goes on from here.\n"
            )

        Supervisor([*processes.portal(settings), fleet, apple], write=self.line, announce=announce).run()

    def line(self, text: str) -> None:
        if text.endswith(COMMONPLACE) and self.stdout.isatty():
            return
        self.stdout.write(text)
        self.stdout.flush()
