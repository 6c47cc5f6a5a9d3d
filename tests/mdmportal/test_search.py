"""Search and navigation: what somebody may see is found, and nothing else."""

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from devices.models import Device
from tests.mdmportal.admin_rows import HOSTILE, administrator, furnish, reader

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(now):
    return furnish(now)


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def root(rows):
    return signed_in(administrator())


@pytest.fixture
def newcomer(rows):
    return signed_in(get_user_model().objects.create(username="newcomer", is_staff=True))


def results(client, words):
    answer = client.get(reverse("palette"), {"q": words})
    assert answer.status_code == 200
    return answer.json()["results"]


def test_a_device_is_found_by_the_beginning_of_its_serial_number(root, rows):
    (one,) = [found for found in results(root, "c02h") if found["kind"] == "Device"]
    assert one["url"] == reverse("device_page", args=[rows.device.pk])
    assert "C02HOSTILE" in one["label"]


def test_pages_are_found_by_a_part_of_their_name(root):
    assert [one["label"] for one in results(root, "audit")] == ["Audit log"]
    assert "Invite devices" in [one["label"] for one in results(root, "")]


def test_a_bundle_is_found(root, rows):
    rows.bundle.name = "Corporate VPN"
    rows.bundle.save()
    found = {one["label"]: one["url"] for one in results(root, "corporate")}
    assert found == {"Corporate VPN": reverse("admin:profiles_bundle_change", args=[rows.bundle.pk])}


def test_a_payload_key_is_found_with_the_bundle_that_has_the_payload(root, rows):
    rows.bundle.name = "Office"
    rows.bundle.save()
    kinds = {one["label"]: one["kind"] for one in results(root, "VPNType")}
    assert any("(VPNType)" in label and kind.endswith(", in Office") for label, kind in kinds.items())
    assert any("in no bundle yet" in one["kind"] for one in results(root, "allowCamera"))


def test_one_kind_does_not_crowd_out_the_others(root, rows, now):
    Device.objects.bulk_create([Device(udid=f"U{n}", name=f"camera {n}", created_at=now) for n in range(40)])
    kinds = {one["kind"].split()[0] for one in results(root, "camera")}
    assert {"Device", "Key"} <= kinds
    assert len(results(root, "camera")) <= 12


@pytest.mark.parametrize("words", ["", "C02", "audit", "VPN", "e"])
def test_what_somebody_may_not_see_is_not_found(newcomer, words):
    allowed = {reverse("admin:index"), reverse("records"), reverse("admin:password_change")}
    assert {one["url"] for one in results(newcomer, words)} <= allowed


def test_a_stranger_finds_nothing(rows):
    assert Client().get(reverse("palette"), {"q": "C02"}).status_code == 302


@pytest.mark.parametrize("words", ["%", "_", "'", "\0", "\0C02", HOSTILE, "x" * 10_000, "🙂"])
def test_any_words_are_a_search(root, words):
    results(root, words)
    html = root.get(reverse("search"), {"q": words}).content.decode()
    assert "<script>alert" not in html


def test_a_search_costs_a_fixed_number_of_statements(root, now):
    Device.objects.bulk_create([Device(udid=f"U{n}", name=f"vpn {n}", created_at=now) for n in range(60)])
    with CaptureQueriesContext(connection) as queries:
        results(root, "vpn")
    assert len(queries) <= 8, [query["sql"] for query in queries]


def test_the_navigation_says_what_is_to_be_done(root):
    html = root.get(reverse("records")).content.decode()
    navigation = html.split('id="portal-navigation"')[1].split("</nav>")[0]
    assert "1 devices with a failure" in navigation
    assert "1 open alerts" in navigation
    assert 'aria-current="page"' in navigation


def test_a_page_below_is_marked_as_well(root, rows):
    html = root.get(reverse("device_page", args=[rows.device.pk])).content.decode()
    devices = f'<a href="{reverse("admin:devices_device_changelist")}" aria-current="true"'
    assert devices in html


def test_the_navigation_leaves_out_what_somebody_may_not_see(newcomer):
    html = newcomer.get(reverse("admin:index")).content.decode()
    navigation = html.split('id="portal-navigation"')[1].split("</nav>")[0]
    assert "Dashboard" in navigation
    assert "Devices" not in navigation
    assert "Trust" not in navigation


def test_a_reader_has_no_acts_in_the_rows(rows):
    html = signed_in(reader()).get(reverse("admin:devices_device_changelist")).content.decode()
    assert "row_action" not in html
    assert "portal-row" not in html


def test_a_row_menu_acts_on_its_row_alone(root, rows, now):
    Device.objects.create(udid="OTHER", name="other", created_at=now)
    page = reverse("admin:devices_device_changelist")
    assert f'name="row_action" value="lock:{rows.device.pk}"' in root.get(page).content.decode()
    html = root.post(page, {"row_action": f"lock:{rows.device.pk}"}).content.decode()
    assert "Type 1 to confirm." in html
    assert f'value="{rows.device.pk}"' in html
    assert "other" not in html.split('id="content"')[1].split("</ul>")[0]


@pytest.mark.parametrize("value", ["", "lock", "lock:", "lock:x", "nonsense:1", ":", "lock:1:2", f"lock:{'9' * 30}"])
def test_a_row_act_that_makes_no_sense_does_nothing(root, value):
    answer = root.post(reverse("admin:devices_device_changelist"), {"row_action": value})
    assert answer.status_code in {200, 302}
    assert b"Type " not in answer.content


def test_cells_carry_their_column_for_phones(root):
    html = root.get(reverse("admin:devices_device_changelist")).content.decode()
    assert '<td data-label="Serial number" class="field-serial_number' in html


def test_an_empty_list_says_what_the_thing_is_and_a_search_without_result_leads_back(root, rows):
    page = reverse("admin:operations_alert_changelist")
    assert "Nothing matches." in root.get(page, {"q": "nothing is called that"}).content.decode()
    rows.alert.delete()
    assert "All quiet" in root.get(page).content.decode()
