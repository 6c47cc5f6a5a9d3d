"""The dry run of one lineage: what a renewal would ask of Apple and get, found by asking Apple without changing anything."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from portal_ui.admin import ModelAdmin
from provisioning import keys, lineages, rehearsal
from provisioning.admin.frame import RUN, get_lineage, render
from provisioning.appstoreconnect import AppStoreConnectError
from provisioning.errors import ProvisioningRefused
from provisioning.models import Lineage
from provisioning.rehearsal import DryRun

_NO_KEY = "There is no API key for this team and program: add one, or upload each new file."


def dry_run_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET says what will be asked; POST asks Apple, which may take a few seconds, and shows the answers."""
    lineage = get_lineage(admin, request, pk, right=RUN)
    found, refusal = _ask_apple(lineage) if request.method == "POST" else (None, "")
    return render(admin, request, "dry_run.html", title="Dry run", lineage=lineage, found=found, refusal=refusal)


def _ask_apple(lineage: Lineage) -> tuple[DryRun | None, str]:
    key, now = lineages.key_for(lineage), timezone.now()
    if key is None:
        return None, _NO_KEY
    try:
        with keys.client_for(key, now=now) as client:
            return rehearsal.dry_run(lineage, now, client), ""
    except AppStoreConnectError as error:
        return None, error.sentence
    except ProvisioningRefused as error:
        return None, error.reason
