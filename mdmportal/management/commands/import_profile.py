"""`manage.py import_profile FILE`: the payloads of a .mobileconfig become part of a bundle's draft, with a report."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from profiles import catalogue
from profiles.composing import Imported, import_exactly, import_file
from profiles.errors import ProfilesError
from profiles.inspecting import ImportReport, inspect
from profiles.models import Bundle, Role
from protocol.errors import MobileconfigError
from protocol.mobileconfig import read_file


class Command(BaseCommand):
    help = "Import a configuration profile (XML, binary, PEM, Base64 or signed). Without --into a new bundle is made."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--name", help="the new bundle's name (default: the profile's display name)")
        parser.add_argument("--role", choices=Role.values, help="of all its payloads (default: by payload type)")
        parser.add_argument("--into", metavar="BUNDLE", help="add to this bundle; made when it does not exist")
        parser.add_argument("--exact", action="store_true", help="deliver the signed file byte for byte")
        parser.add_argument("--bare", action="store_true", help="put a profile around a payload that stands alone")
        parser.add_argument("--check", action="store_true", help="only report, write nothing")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        try:
            read = read_file(options["file"].read_bytes(), accept_bare=options["bare"])
            report = inspect(read, catalogue=catalogue.current(), now=now)
            bundle, imported = None, Imported(())
            if options["exact"] and not options["check"]:
                into = Bundle.objects.filter(name=options["into"]).first() if options["into"] else None
                name = (options["into"] or options["name"] or report.name)[:100]
                bundle = import_exactly(into, read, name=name, actor=None, now=now)
            elif not options["check"]:
                chosen = {key: options[key] for key in ("name", "role", "into")}
                bundle, imported = import_file(read, **chosen, actor=None, now=now)
        except (MobileconfigError, ProfilesError, OSError) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        self.stdout.write(_as_json(bundle, imported, report) if options["json"] else _as_text(bundle, imported, report))


def _as_json(bundle: Bundle | None, imported: Imported, report: ImportReport) -> str:
    names = ("name", "payload_type", "payload_identifier", "role")
    payloads = [{name: str(getattr(payload, name)) for name in names} for payload in imported.payloads]
    stored = [{"key": key, "secret": name} for key, name in imported.secrets]
    answer = {"bundle": bundle.name if bundle else None, "payloads": payloads, "secrets": stored}
    return json.dumps({**answer, "report": report.as_json()})


def _as_text(bundle: Bundle | None, imported: Imported, report: ImportReport) -> str:
    lines = [bundle.name if bundle else "Nothing was written.", f"  {report.summary}"]
    lines += [f"  Signed by {report.signer.subject}. {report.signer.sentence}"] if report.signer else []
    lines += [f"  {sentence}" for sentence in (*report.mended, *report.warnings)]
    for payload in report.payloads:
        lines.append(f"  {payload.payload_type} ({payload.role}): {payload.known} keys known")
        lines += [f"    kept as it is: {path}" for path in payload.kept]
        lines += [f"    {sentence}" for sentence in (*payload.deprecated, *payload.problems)]
    lines += [f"  {key} is stored as the secret {name}" for key, name in imported.secrets]
    return "\n".join(lines)
