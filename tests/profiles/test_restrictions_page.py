"""The budget of the largest page: Restrictions opens small and at once, with everything that its first view loads.

Counted are the page itself and the scripts, styles and pictures it names, each compressed as the portal serves them.
"""

import gzip
import os
import re
import time
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from profiles import catalogue, schema_releases
from profiles.models import Bundle
from protocol.schema import packaged
from protocol.schema.archive import read_folder
from tests.mdmportal.admin_rows import administrator
from tests.profiles.fleet import bundle_of, payload
from tests.profiles.forms.test_every_key import filled

pytestmark = pytest.mark.django_db
RESTRICTIONS = "com.apple.applicationaccess"
EVERYTHING = {key.name: filled(key) for key in packaged().payloads[RESTRICTIONS].keys}
BUDGET = 150_000
SECONDS = 0.5
STATEMENTS = 20


@pytest.fixture
def bundle() -> Bundle:
    return bundle_of(payload(RESTRICTIONS, **EVERYTHING), now=timezone.now())


@pytest.fixture
def client() -> Client:
    one = Client()
    one.force_login(administrator())
    return one


def addresses(bundle: Bundle) -> list[str]:
    """A new payload, and one with every key set."""
    base = f"/admin/profiles/bundle/{bundle.pk}/payloads"
    return [f"{base}/add/{RESTRICTIONS}/", f"{base}/{bundle.payloads.get().pk}/"]


def squeezed(data: bytes) -> int:
    return len(gzip.compress(data, 6))


def loaded(client: Client, address: str) -> dict[str, int]:
    """Bytes over the wire of a page and of what it loads, by name."""
    html = client.get(address).content
    names = set(re.findall(r'(?:href|src)="/static/([^"]+\.(?:css|js|svg|png|woff2?))"', html.decode()))
    return {"page": squeezed(html), **{name: squeezed(Path(finders.find(name)).read_bytes()) for name in names}}


def test_the_page_of_restrictions_and_all_it_loads_stay_within_the_budget(client, bundle):
    for address in addresses(bundle):
        sizes = loaded(client, address)
        assert {"profiles/forms.css", "profiles/forms.js", "profiles/compose.js"} <= set(sizes)
        assert sum(sizes.values()) < BUDGET, sizes


@pytest.fixture
def apples_words():
    """Apple's help texts, as somebody who loads a release gets them."""
    folder = os.environ.get("APPLE_SCHEMA_DIR")
    if not folder:
        pytest.skip("APPLE_SCHEMA_DIR names no checkout of Apple's schema")
    release = schema_releases.load(read_folder(Path(folder)), name="Today", actor=None, now=timezone.now())
    catalogue._release.cache_clear()
    schema_releases.activate(release, reason="", actor=None, now=timezone.now())
    yield
    catalogue._release.cache_clear()


def test_apples_own_help_texts_fit_into_the_budget(client, bundle, apples_words):
    for address in addresses(bundle):
        sizes = loaded(client, address)
        assert sizes["page"] > 20_000, "Apple's words are not there"
        assert sum(sizes.values()) < BUDGET, sizes
        started = time.perf_counter()
        client.get(address)
        assert time.perf_counter() - started < SECONDS


def test_the_page_of_restrictions_opens_at_once(client, bundle):
    for address in addresses(bundle):
        client.get(address)  # the words of the schema are put together once in a process
        took = []
        for _ in range(3):
            with CaptureQueriesContext(connection) as statements:
                started = time.perf_counter()
                assert client.get(address).status_code == 200
                took.append(time.perf_counter() - started)
            assert len(statements) <= STATEMENTS
        assert min(took) < SECONDS


def test_what_holds_for_the_whole_payload_is_said_once(client, bundle):
    facts = packaged().payloads["com.apple.vpn.managed"]
    assert facts.platforms["iOS"].user_enrollment == "forbidden"
    html = client.get(f"/admin/profiles/bundle/{bundle.pk}/payloads/add/{facts.variant}/").content.decode()
    assert html.count("not in User Enrollment") == 1
    assert '<span class="portal-tag">iOS 4.0+</span>' in html
