"""Every page of the admin opens, for whom it should, with hostile rows in it and within its number of statements."""

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from certificates.encryption import EncryptedField
from devices.models import Device
from operations.models import Alert
from profiles.models import Installation, Secret
from tests.mdmportal.admin_rows import HOSTILE, PASSWORD, SECRET_FORMS, administrator, furnish, reader

pytestmark = pytest.mark.django_db

LIST_STATEMENTS = 12
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
LABELS = [model._meta.label for model in MODELS]
OUR_APPS = {"certificates", "devices", "operations", "profiles", "provisioning"}


@pytest.fixture
def rows(now):
    return furnish(now)


@pytest.fixture
def root(rows):
    client = Client()
    client.force_login(administrator())
    return client


@pytest.fixture
def looker(rows):
    client = Client()
    client.force_login(reader())
    return client


def own_pages(rows):
    return [
        reverse("admin:index"),
        reverse("device_page", args=[rows.device.pk]),
        reverse("search") + "?q=C02",
        reverse("records"),
        reverse("admin:app_list", args=["devices"]),
        reverse("invite"),
        reverse("push_certificate"),
        reverse("admin:profiles_bundle_import", args=[rows.bundle.pk]),
        reverse("admin:profiles_bundle_assign", args=[rows.bundle.pk]),
        reverse("admin:profiles_bundle_assign", args=[rows.bundle.pk]) + f"?group={rows.group.pk}",
        reverse("admin:profiles_bundle_publish", args=[rows.bundle.pk]),
        reverse("admin:provisioning_lineage_upload"),
        reverse("admin:provisioning_lineage_settings", args=[rows.lineage.pk]),
        reverse("admin:provisioning_lineage_renew", args=[rows.lineage.pk]),
        reverse("admin:provisioning_lineage_dry_run", args=[rows.lineage.pk]),
        reverse("admin:provisioning_lineage_retire", args=[rows.lineage.pk]),
        reverse("admin:provisioning_lineage_assign", args=[rows.lineage.pk]),
        reverse("admin:provisioning_lineage_assign", args=[rows.lineage.pk]) + f"?group={rows.group.pk}",
        reverse("admin:provisioning_renewal_cancel", args=[rows.renewal.pk]),
        reverse("admin:provisioning_apikey_forget", args=[rows.api_key.pk]),
        reverse("admin:provisioning_enterpriseapp_install", args=[rows.app.pk]),
    ]


def addresses(model, page, pk=None):
    options = model._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_{page}", args=[pk] if pk else [])


def every_page(rows):
    pages = own_pages(rows)
    for model in MODELS:
        pages.append(addresses(model, "changelist"))
        pages += [addresses(model, page, obj.pk) for obj in model.objects.all()[:3] for page in ("change", "history")]
    return pages


def assert_harmless(response):
    """No markup from a device, no inline script or style, nothing secret."""
    assert response["Content-Security-Policy"].startswith("default-src 'self'; script-src 'self'; style-src 'self'")
    html = response.content.decode()
    assert HOSTILE not in html
    assert "<script>alert" not in html
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", html), "inline script"
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"", html), "inline style or handler"
    for form in SECRET_FORMS:
        assert form not in html


@pytest.mark.parametrize("model", MODELS, ids=LABELS)
def test_a_list_opens_within_its_statements(root, model):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = root.get(addresses(model, "changelist"))
    assert response.status_code == 200
    assert_harmless(response)
    assert len(queries) <= LIST_STATEMENTS, [query["sql"] for query in queries]


@pytest.mark.parametrize("model", MODELS, ids=LABELS)
def test_a_search_for_anything_opens(root, model):
    for word in ("x", HOSTILE, "%", "'"):
        assert root.get(addresses(model, "changelist"), {"q": word}).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=LABELS)
def test_one_row_opens(root, model):
    for obj in model.objects.all()[:3]:
        for page in ("change", "history"):
            response = root.get(addresses(model, page, obj.pk))
            assert response.status_code == 200
            assert_harmless(response)


@pytest.mark.parametrize("model", MODELS, ids=LABELS)
def test_the_page_to_add_opens_where_people_may_add(root, model):
    expected = {
        "provisioning.ApiKey",
        "devices.DeviceGroup",
        "profiles.Bundle",
        "profiles.Secret",
        "auth.User",
        "auth.Group",
    }
    response = root.get(addresses(model, "add"))
    assert response.status_code == (200 if model._meta.label in expected else 403)


@pytest.mark.parametrize("model", [model for model in MODELS if model._meta.app_label in OUR_APPS], ids=str)
def test_a_list_does_not_decrypt(root, model):
    with CaptureQueriesContext(connection) as queries:
        root.get(addresses(model, "changelist"))
    # The list of secrets says who names them, which only the drafts tell.
    assert decrypted(queries) <= ({'"profiles_payload"."content"'} if model is Secret else set())


def test_a_devices_page_does_not_decrypt(root, rows):
    with CaptureQueriesContext(connection) as queries:
        root.get(reverse("device_page", args=[Device.objects.first().pk]))
    assert not decrypted(queries)


def decrypted(queries):
    """The encrypted columns, of whatever model, that were read."""
    columns = [
        f'"{one._meta.db_table}"."{field.column}"'
        for one in apps.get_models()
        for field in one._meta.concrete_fields
        if isinstance(field, EncryptedField)
    ]
    return {column for column in columns for query in queries if column in query["sql"].partition(" FROM ")[0]}


def test_the_pages_of_several_apps_open(root, rows):
    for page in own_pages(rows):
        with CaptureQueriesContext(connection) as queries:
            response = root.get(page)
        assert response.status_code == 200, page
        assert_harmless(response)
        # Publishing looks at the draft, what was published, and everybody who gets or loses it.
        assert len(queries) <= (30 if page.endswith("/publish/") else 20), page


def test_a_reader_sees_every_fact_and_no_secret(looker, rows):
    refused = set(own_pages(rows)[5:])
    for page in every_page(rows):
        response = looker.get(page)
        assert response.status_code == (403 if page in refused else 200), page
        if page not in refused:
            assert_harmless(response)
            assert PASSWORD not in response.content.decode(), page


def test_a_reader_can_add_and_change_nothing(looker, rows):
    for model in MODELS:
        assert looker.get(addresses(model, "add")).status_code == 403
        for obj in model.objects.all()[:1]:
            assert looker.post(addresses(model, "change", obj.pk), {}).status_code == 403
            assert looker.post(addresses(model, "delete", obj.pk), {"post": "yes"}).status_code == 403


def test_a_reader_is_offered_no_act(looker, rows):
    html = looker.get(reverse("device_page", args=[rows.device.pk])).content.decode()
    assert "<button" not in html.split('id="content"')[1]
    for model in MODELS:
        page = looker.get(addresses(model, "changelist")).content.decode()
        offered = (
            set(re.findall(r'<option value="(\w+)">', page.split('name="action"')[1]))
            if 'name="action"' in page
            else set()
        )
        assert offered <= {"check_chain"}, model


def test_a_stranger_is_sent_to_sign_in(rows):
    for page in every_page(rows):
        response = Client().get(page)
        assert response.status_code == 302, page
        assert response["Location"].startswith("/admin/login/")


def test_a_page_of_a_row_that_is_not_there_is_no_failure(root):
    assert root.get(reverse("device_page", args=[999])).status_code == 404
    assert root.get("/admin/profiles/bundle/999/publish/").status_code in {403, 404}


def test_the_dashboard_counts_and_leads_to_what_it_counts(root, rows):
    html = root.get(reverse("admin:index")).content.decode()
    assert re.search(r"<h2>Devices</h2><p[^>]*><a[^>]*>1</a>", html)
    assert re.search(r"<h2>Devices with a failure</h2><p[^>]*><a[^>]*>1</a>", html)
    assert "1 device has a failure." in html
    assert "1 installation failed or went missing." in html
    assert "Push certificate com.apple.mgmt.example" in html
    links = set(re.findall(r'<a href="(/[^"]*)"', html.split('id="content"')[1]))
    assert len(links) >= 8
    for link in links:
        assert root.get(link.replace("&amp;", "&")).status_code == 200, link


def test_a_quiet_dashboard_says_so(looker, rows):
    Alert.objects.update(resolved_at=rows.device.created_at)
    Device.objects.update(failed_count=0)
    Installation.objects.update(state="installed")
    assert "All quiet." in looker.get(reverse("admin:index")).content.decode()


def test_who_may_see_nothing_gets_an_empty_dashboard(rows):
    client = Client()
    client.force_login(get_user_model().objects.create(username="newcomer", is_staff=True))
    html = client.get(reverse("admin:index")).content.decode()
    assert "Needs attention" in html
    assert "<h2>Devices" not in html
    assert "Push certificate" not in html
    assert 'href="/admin/devices/device/"' not in html


def test_a_list_costs_the_same_with_many_rows(root, rows, now):
    from devices.models import Command, Device, Enrollment

    devices = Device.objects.bulk_create([Device(udid=f"U{n}", name=f"d{n}", created_at=now) for n in range(60)])
    Enrollment.objects.bulk_create(
        [
            Enrollment(device=device, kind="device", enrollment_id=device.udid, authenticated_at=now)
            for device in devices
        ]
    )
    Command.objects.bulk_create(
        [
            Command(uuid=f"c{number}", enrollment=one, request_type="ProfileList", created_at=now)
            for number, one in enumerate(Enrollment.objects.all())
        ]
    )
    for model in (Device, Enrollment, Command):
        with CaptureQueriesContext(connection) as queries:
            assert root.get(addresses(model, "changelist")).status_code == 200
        assert len(queries) <= LIST_STATEMENTS
