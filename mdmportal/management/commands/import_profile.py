"""`manage.py import_profile FILE`: the payloads of a .mobileconfig become part of a bundle's draft."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from profiles.composing import import_file
from profiles.errors import ProfilesError
from profiles.models import Role
from protocol.errors import MobileconfigError


class Command(BaseCommand):
    help = "Import a configuration profile. Without --into a new bundle is made of it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--name", help="the new bundle's name (default: the profile's display name)")
        parser.add_argument("--role", choices=Role.values, help="of all its payloads (default: by payload type)")
        parser.add_argument("--into", metavar="BUNDLE", help="add to this bundle; made when it does not exist")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = {key: options[key] for key in ("name", "role", "into")}
        try:
            data = options["file"].read_bytes()
            bundle, payloads = import_file(data, **chosen, actor=None, now=timezone.now())
        except (MobileconfigError, ProfilesError, OSError) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        names = ("name", "payload_type", "payload_identifier", "role")
        answer = [{name: str(getattr(payload, name)) for name in names} for payload in payloads]
        if options["json"]:
            self.stdout.write(json.dumps({"bundle": bundle.name, "payloads": answer}))
            return
        lines = [f"  {payload['payload_type']} ({payload['role']})" for payload in answer]
        self.stdout.write("\n".join([bundle.name, *lines]))
