"""`manage.py up`: the portal, its worker and its beat in one terminal; Ctrl-C stops all."""

import json
import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from certificates.encryption import EncryptionError
from mdmportal import processes, start
from mdmportal.supervisor import Supervisor


class Command(BaseCommand):
    help = "Run the portal, its worker and its beat in one terminal. Configured by the environment: see .env.example."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="say that it is up as one line of JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        os.umask(0o077)  # the database file holds what the devices entrusted to us
        now = timezone.now()
        try:
            if not settings.DEMO:
                start.refuse_demo_data(settings.DATA_DIR)
            start.occupy(settings.DATA_DIR)
            start.prepare_database(now)
            start.collect_static_files()
        except (start.StartError, EncryptionError) as error:
            raise CommandError(str(error)) from error
        if settings.PORTAL_TLS and not settings.PORTAL_TLS_CERT:
            chain, key = start.server_certificate(settings, now)
            os.environ.update(PORTAL_TLS_CERT=str(chain), PORTAL_TLS_KEY=str(key))
        administrator = start.has_administrator()
        start.before_children()

        def announce() -> None:
            if options["json"]:
                self.line(json.dumps({"url": f"{settings.PORTAL_URL}/admin/", "has_administrator": administrator}))
                return
            self.stdout.write(f"\nMDM Portal is up: {settings.PORTAL_URL}/admin/")
            if not administrator:
                self.stdout.write("No administrator yet. In another terminal: manage.py create_admin")
            self.stdout.flush()

        Supervisor(processes.portal(settings), write=self.line, announce=announce).run()

    def line(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
