"""`manage.py assign BUNDLE GROUP`: who gets a bundle."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from devices.errors import DeviceError
from devices.groups import get_group
from profiles import acts
from profiles.composing import find_bundle
from profiles.errors import ProfilesError


class Command(BaseCommand):
    help = "Assign a bundle to a group (`all` is everyone), exclude a group from it, or take that back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("bundle")
        parser.add_argument("group")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--exclude", action="store_true", help="not for this group, whatever else says so")
        how.add_argument("--remove", action="store_true", help="take the assignment or exclusion back")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        now, excluded, removed = timezone.now(), options["exclude"], options["remove"]
        try:
            bundle, group = find_bundle(options["bundle"]), get_group(options["group"])
        except (ProfilesError, DeviceError) as error:
            raise CommandError(str(error)) from error
        if not removed:
            acts.assign(bundle, group, excluded=excluded, reason="", actor=None, now=now)
        elif not acts.unassign(bundle.assignments.filter(group=group), reason="", actor=None, now=now):
            raise CommandError(f'"{bundle}" is not assigned to "{group}".')
        how = "no longer" if removed else "not" if excluded else "now"
        answer = {"bundle": bundle.name, "group": group.name, "excluded": excluded, "removed": removed}
        self.stdout.write(json.dumps(answer) if options["json"] else f"{bundle} is {how} for {group}")
