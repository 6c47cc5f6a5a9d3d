"""Keys, tokens, files and lists of devices stay where they belong: everything that is written or shown is read here.

A renewal of an ad hoc profile runs against the fake App Store Connect over real HTTP, with faults, from the key's upload on.
"""

import base64
import logging
import sys
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.views.debug import ExceptionReporter

from operations.models import Alert, AuditEvent
from provisioning import alerts, calendar, keys, lineages, renewals, tasks, uploading, vendor_mail
from provisioning.appstoreconnect import AppStoreConnectError
from provisioning.appstoreconnect.tokens import KeyMaterial, signer_of
from provisioning.models import (
    ApiKey,
    Lineage,
    Policy,
    ProvisioningProfile,
    Renewal,
    RenewalEvent,
    RenewalState,
    Source,
)
from simulator.appstoreconnect import AppStoreConnectServer
from simulator.provisioning_authority import make_authority
from tests.provisioning.conftest import read_by

pytestmark = pytest.mark.django_db
TEAM = "AB12CD34EF"
UDIDS = (
    "00008030-001A2B3C4D5E6F70",
    "f0e1d2c3b4a5968778695a4b3c2d1e0f00112233",
    "A1B2C3D4-0A0B-1111-2222-333344445555",
)


@pytest.fixture
def apple(settings, tmp_path):
    """A fake App Store Connect of today, for the pages know no other clock, with a profile that is due."""
    begin = timezone.now() - timedelta(days=340)
    authority = make_authority(begin)
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority.root.certificate.public_bytes(serialization.Encoding.PEM))
    settings.PROVISIONING_EXTRA_ROOTS = str(roots)
    with AppStoreConnectServer(timezone.now, authority=authority) as server:
        settings.APPSTORECONNECT_ENTERPRISE_URL = server.url()
        yield server


@pytest.fixture
def team(apple):
    begin = timezone.now() - timedelta(days=340)
    made = apple.api.add_team(TEAM)
    made.add_certificate(now=begin)
    made.add_bundle_id("com.example.pos", entitlements={"aps-environment": "production"})
    for udid in UDIDS:
        made.add_device(udid)
    made.create_profile(
        "POS", "IOS_APP_ADHOC", bundle_id=next(iter(made.bundle_ids)), certificates=tuple(made.certificates),
        devices=tuple(made.devices), now=begin,
    )  # fmt: skip
    return made


@pytest.fixture
def ada():
    client = Client()
    client.force_login(get_user_model().objects.create(username="ada", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def key(ada, team):
    """Added by its page, as a person does."""
    known = team.add_key()
    data = {
        "program": "enterprise", "team_identifier": TEAM, "issuer_id": known.issuer_id,
        "file": SimpleUploadedFile(f"AuthKey_{known.key_id}.p8", known.pem),
    }  # fmt: skip
    ada.post(reverse("admin:provisioning_apikey_add"), data)
    return ApiKey.objects.get()


@pytest.fixture
def renewal(ada, apple, team, key):
    """Run to its end, past a lost answer, an agreement and a limit; a person looked at it in between."""
    (first,) = team.profiles.values()
    lineages.adopt(read_by(first.content), source=Source.UPLOAD, actor=None, now=timezone.now())
    Lineage.objects.update(policy=Policy.AUTO)
    tasks.check_api_keys()
    for call, fault in (
        ("GET", "agreement"), ("GET", "rate_limit"), ("GET", "unauthorized"), ("POST", "server_error_after"),
    ):  # fmt: skip
        apple.fail_next(call, "/bundleIds" if call == "GET" else "/profiles", fault)
    now = timezone.now()
    (pk,) = renewals.scan(now)
    for _ in range(60):
        renewals.advance(pk, now, client_for=lambda row: keys.client_for(row, now=timezone.now()))
        row = Renewal.objects.get(pk=pk)
        if row.finished_at or row.next_at is None:
            break
        now = max(now, row.next_at)
    ada.post(reverse("admin:provisioning_lineage_dry_run", args=[row.lineage_id]))
    alerts.warn(now)
    return row


def secrets_of(team):
    (known,) = team.keys.values()
    token = signer_of(KeyMaterial("enterprise", known.key_id, known.issuer_id, _stored_pem())).token(timezone.now())
    files = [base64.b64encode(one.content).decode() for one in team.profiles.values()]
    body = known.pem.decode().splitlines()
    return {
        "the key": body[1], "its frame": body[0], "a token": token, "a token's header": token.partition(".")[0],
        "a token's signature": token.rpartition(".")[2], "the word before a token": "Bearer ",
        **{f"UDID {udid}": udid for udid in UDIDS},
        **{f"UDID {udid} without dashes": udid.replace("-", "") for udid in UDIDS},
        **{f"file {number}": text[1000:1060] for number, text in enumerate(files)},
    }  # fmt: skip


def _stored_pem():
    return bytes(ApiKey.objects.get().private_key)


def assert_quiet(team, text):
    text = text.casefold()
    told = [name for name, secret in secrets_of(team).items() if secret.casefold() in text]
    assert told == []


def columns(model):
    """Every readable column of every row; what is encrypted at rest is not read."""
    names = [field.attname for field in model._meta.concrete_fields if not isinstance(field, models.BinaryField)]
    return str(list(model.objects.values_list(*names)))


def test_the_renewal_went_the_whole_way_past_its_faults(renewal, team):
    assert renewal.state == RenewalState.DONE, renewal.error
    assert len(team.profiles) == 2
    assert RenewalEvent.objects.count() > 5
    assert AuditEvent.objects.filter(action="api_key.add").exists()
    # What would be found, were it written anywhere.
    assert any(udid in lineages.read(ProvisioningProfile.objects.first()).devices for udid in UDIDS)


def test_no_log_record_tells_a_secret(caplog, request):
    # Louder than any configuration: the records of the HTTP library too.
    for name in ("", *logging.root.manager.loggerDict):
        caplog.set_level("DEBUG", logger=name)
    request.getfixturevalue("renewal")
    assert any(record.name.startswith("httpcore") for record in caplog.records)
    assert_quiet(request.getfixturevalue("team"), caplog.text + str([record.__dict__ for record in caplog.records]))


def test_no_row_outside_the_encrypted_columns_tells_a_secret(renewal, team):
    labels = ("provisioning", "operations")
    found = [model for label in labels for model in apps.get_app_config(label).get_models()]
    assert {RenewalEvent, AuditEvent, Alert, Renewal, ApiKey} <= set(found)
    assert_quiet(team, " ".join(columns(model) for model in found))
    assert_quiet(team, " ".join(repr(row) + str(row) for model in found for row in model.objects.all()))


def test_no_page_tells_a_secret(renewal, team, ada):
    pages = ["/admin/", reverse("admin:provisioning_lineage_dry_run", args=[renewal.lineage_id])]
    for model in admin.site._registry:
        if model._meta.app_label in {"provisioning", "operations"}:
            stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            pages.append(reverse(f"{stem}_changelist"))
            pages += [reverse(f"{stem}_change", args=[row.pk]) for row in model.objects.all()]
    shown = [ada.get(page, follow=True) for page in pages]
    assert {page.status_code for page in shown} == {200}
    assert_quiet(team, " ".join(page.content.decode() for page in shown))


def test_nothing_that_leaves_the_portal_tells_a_secret(renewal, team):
    file = lineages.read(ProvisioningProfile.objects.first())
    told = [
        calendar.feed(timezone.now(), host="mdm.example.com"), str(vendor_mail.write(renewal.lineage, file)),
        repr(file), repr(uploading.FoundProfile(file, uploading.Outcome.KNOWN)),
    ]  # fmt: skip
    assert_quiet(team, " ".join(told))


@pytest.mark.parametrize("debug", [False, True])
def test_no_error_report_tells_a_secret(renewal, team, settings, debug):
    """Frames of a failed request hold the key, the token and what Apple answered."""
    settings.DEBUG = debug
    key = ApiKey.objects.get()
    settings.APPSTORECONNECT_ENTERPRISE_URL = "http://127.0.0.1:9"
    try:
        with keys.client_for(key, now=timezone.now()) as client:
            client.create_profile("a", "IOS_APP_ADHOC", bundle_id="B", certificate_ids=["C"], device_ids=["D"])
    except AppStoreConnectError:
        reporter = ExceptionReporter(None, *sys.exc_info())
    assert_quiet(team, reporter.get_traceback_html() + reporter.get_traceback_text())
    file = lineages.read(ProvisioningProfile.objects.first())
    try:
        raise ValueError(repr(file))
    except ValueError:
        reporter = ExceptionReporter(None, *sys.exc_info())
    assert_quiet(team, reporter.get_traceback_html() + reporter.get_traceback_text())
