"""Renewals against the fake App Store Connect over real HTTP: every fault that it knows, at every call that we make."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from django.db import connection

from operations.models import Alert
from provisioning import keys, lineages, renewals
from provisioning.models import ApiKey, KeyState, Lineage, Policy, Program, Renewal, RenewalEvent, RenewalState, Source
from simulator.appstoreconnect_faults import ALTERATIONS, NAMES
from tests.provisioning.apple import TEAM, Clock, FakeApple
from tests.provisioning.conftest import read_by

State = RenewalState
REJECTED = {"dropped_entitlement", "other_certificate", "other_app_id", "no_der_form", "short"}
UNUSABLE = {"invalid", "no_content"}


@pytest.fixture
def apple(now, settings, tmp_path):
    made = FakeApple(Clock(now))
    with made.server:
        roots = tmp_path / "roots.pem"
        roots.write_bytes(made.team.authority.root.certificate.public_bytes(Encoding.PEM))
        settings.PROVISIONING_EXTRA_ROOTS = str(roots)
        settings.APPSTORECONNECT_ENTERPRISE_URL = made.server.url()
        yield made


@pytest.fixture
def renewal(db, apple):
    apple.team.profiles.clear()
    first = apple.create("POS In-House")
    old = lineages.adopt(read_by(first.content), source=Source.UPLOAD, actor=None, now=apple.clock.now)
    Lineage.objects.update(policy=Policy.AUTO)
    ApiKey.objects.create(
        team=old.lineage.team, program=Program.ENTERPRISE, key_id=apple.key.key_id, issuer_id=apple.key.issuer_id,
        private_key=apple.key.pem, added_at=apple.clock.now,
    )  # fmt: skip
    apple.clock.now = max(old.lineage.renew_at, apple.clock.now)
    (pk,) = renewals.scan(apple.clock.now)
    return Renewal.objects.get(pk=pk)


def client_for(apple):
    def make(key):
        client = keys.client_for(key, now=apple.clock.now)
        client._connection._http.timeout = 1
        return client

    return make


def settle(renewal, apple):
    """Advance whenever the renewal asks for it, and let somebody press "try again" a few times."""
    pressed = 0
    for _ in range(80):
        renewals.advance(renewal.pk, apple.clock.now, client_for=client_for(apple))
        renewal.refresh_from_db()
        if renewal.finished_at:
            return renewal.state
        if renewal.state == State.BLOCKED:
            assert Alert.objects.filter(resolved_at=None).count() == 1
            if pressed == 5:
                return renewal.state
            renewals.retry(renewal, by=None, now=apple.clock.now)
            pressed += 1
        else:
            apple.clock.now = max(renewal.next_at, apple.clock.now)
    raise AssertionError(f"still {renewal.state}: {renewal.error}")


def ours(apple):
    return [profile for profile in apple.team.profiles.values() if profile.bundle_id_id == apple.bundle_id.id][1:]


@pytest.mark.parametrize("fault", sorted(NAMES))
def test_whatever_happens_at_the_post_one_profile_is_made(renewal, apple, fault):
    apple.server.fail_next("POST", "/profiles", fault, seconds=2)
    state = settle(renewal, apple)
    expected = State.REJECTED if fault in REJECTED else State.BLOCKED if fault in UNUSABLE else State.DONE
    assert state == expected, renewal.error
    assert len(ours(apple)) == 1
    current = Lineage.objects.get(pk=renewal.lineage_id).current
    assert current == (renewal.new_profile if state == State.DONE else renewal.old_profile)


@pytest.mark.parametrize("fault", sorted(NAMES - set(ALTERATIONS) - {"foreign_name", "slow"}))
def test_whatever_happens_at_a_look_one_profile_is_made(renewal, apple, fault):
    apple.server.fail_next("GET", "/bundleIds", fault, times=4)
    assert settle(renewal, apple) == State.DONE, renewal.error
    assert len(ours(apple)) == 1


def test_nothing_of_the_key_and_no_content_is_told(renewal, apple, caplog):
    caplog.set_level("DEBUG")
    apple.server.fail_next("POST", "/profiles", "server_error_after")
    apple.server.fail_next("GET", "/bundleIds", "agreement")
    settle(renewal, apple)
    rows = [*RenewalEvent.objects.values_list("sentence", "details"), *Alert.objects.values_list("title", "text")]
    text = str(rows) + caplog.text
    for secret in ("eyJ", "Bearer", "PRIVATE KEY", "MII", apple.key.issuer_id):
        assert secret not in text
    assert TEAM in str(renewal.lineage.application_identifier)


def test_a_revoked_key_blocks_with_the_manual_way_open(renewal, apple):
    apple.team.keys.clear()
    renewals.advance(renewal.pk, apple.clock.now, client_for=client_for(apple))
    renewal.refresh_from_db()
    assert (renewal.state, renewal.error_kind) == (State.BLOCKED, "key")
    by_hand = apple.create("By hand", now=apple.clock.now)
    taken = renewals.upload(read_by(by_hand.content), by=None, now=apple.clock.now + timedelta(hours=1))
    assert (taken.pk, taken.state) == (renewal.pk, State.FETCHED)


def test_a_key_that_cannot_be_decrypted_blocks_in_words(renewal, apple):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE provisioning_apikey SET private_key = %s", [b"gone"])
    renewals.advance(renewal.pk, apple.clock.now, client_for=client_for(apple))
    renewal.refresh_from_db()
    assert (renewal.state, renewal.error_kind) == (State.BLOCKED, "key")
    assert "cannot be decrypted" in renewal.error
    assert ApiKey.objects.defer("private_key").get().state == KeyState.FAILING


def test_an_old_profile_that_cannot_be_decrypted_blocks_in_words(renewal, apple):
    lineages._parsed.clear()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE provisioning_provisioningprofile SET data = %s", [b"gone"])
    renewals.advance(renewal.pk, apple.clock.now, client_for=client_for(apple))
    renewal.refresh_from_db()
    assert renewal.state == State.BLOCKED
    assert "cannot be decrypted" in renewal.error
