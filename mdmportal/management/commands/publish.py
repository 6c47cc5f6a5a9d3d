"""`manage.py publish BUNDLE`: the draft becomes the next revision, and the fleet follows."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from profiles import acts
from profiles.composing import find_bundle
from profiles.errors import ProfilesError


class Command(BaseCommand):
    help = "Publish a bundle. Devices get what changed, as soon as the worker has planned them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("bundle")
        parser.add_argument("--reason", default="", help="kept in the audit")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            bundle = find_bundle(options["bundle"])
            revision = acts.publish(bundle, reason=options["reason"], actor=None, now=timezone.now())
        except ProfilesError as error:
            raise CommandError(str(error)) from error
        profiles = list(revision.profiles.values("part", "identifier", "uuid"))
        answer = {"bundle": bundle.name, "revision": revision.number, "profiles": profiles}
        self.stdout.write(json.dumps(answer) if options["json"] else str(revision))
