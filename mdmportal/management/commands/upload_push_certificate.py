"""`manage.py upload_push_certificate`: take in the MDM push certificate from files."""

import getpass
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from certificates.push_certificates import PushCertificateError
from mdmportal.pages import push_certificate


class Command(BaseCommand):
    help = "Take in the MDM push certificate: a PEM pair, or a PKCS#12 file that also holds the key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--certificate", type=Path, required=True, metavar="FILE")
        parser.add_argument("--key", type=Path, metavar="FILE")
        parser.add_argument("--password", action="store_true", help="ask for the key's password")
        parser.add_argument("--accept-loss", type=int, metavar="N", help="devices you agree to lose to another topic")
        parser.add_argument("--reason", default="")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            said = {
                "certificate": options["certificate"].read_bytes(),
                "key": options["key"].read_bytes() if options["key"] else b"",
                "password": getpass.getpass("Password of the key: ") if options["password"] else "",
                "accepted_loss": options["accept_loss"],
                "reason": options["reason"],
            }
            stored = push_certificate.store(said, actor=None, now=timezone.now())
        except (OSError, PushCertificateError) as error:
            raise CommandError(str(error)) from error
        answer = {"topic": stored.topic, "not_after": stored.not_after.isoformat()}
        said_so = f"Pushes go out under {stored.topic} until {stored.not_after:%Y-%m-%d}."
        self.stdout.write(json.dumps(answer) if options["json"] else said_so)
