from datetime import datetime, timedelta

import pytest

from certificates.models import Challenge
from devices import groups, invitations
from devices.errors import GroupNotFound, InvitationRefused
from devices.models import DeviceGroup, Invitation, Membership
from tests.devices.enrolling import device, downloaded, enroll, invitation, our_topic

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def test_an_invitation_is_found_by_its_token_only_and_the_token_is_not_stored(now: datetime) -> None:
    made, token = invitations.invite(groups=[], uses=1, lifetime=HOUR, now=now)
    assert invitations.find(token, now) == made
    assert invitations.find(token + "x", now) is None
    assert invitations.find("\ud800", now) is None
    stored = Invitation.objects.values().get()
    assert token.encode() not in b" ".join(str(value).encode() for value in stored.values())
    assert len(token) >= 32


@pytest.mark.parametrize("end", ["over", "revoked", "used up"])
def test_a_link_that_is_over_revoked_or_used_up_finds_nothing(now: datetime, end: str) -> None:
    made, token = invitations.invite(groups=[], uses=1, lifetime=HOUR, now=now)
    later = now + HOUR if end == "over" else now
    if end == "revoked":
        assert invitations.revoke(made, now)
        assert not invitations.revoke(made, now)
    if end == "used up":
        Invitation.objects.update(used_count=1)
    assert invitations.find(token, later) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"uses": 0},
        {"uses": -1},
        {"uses": 10**9},
        {"lifetime": timedelta(0)},
        {"serial_number": "S" * 65},
        {"note": "n" * 256},
    ],
)
def test_an_invitation_that_makes_no_sense_is_refused(now: datetime, wrong: dict[str, object]) -> None:
    asked = {"groups": [], "uses": 1, "lifetime": HOUR, "now": now, **wrong}
    with pytest.raises(InvitationRefused):
        invitations.invite(**asked)  # type: ignore[arg-type]
    assert not Invitation.objects.exists()


def test_each_download_gets_a_challenge_of_its_own_and_counts_no_use(now: datetime) -> None:
    made = invitation(now)
    assert invitations.download(made, now) != invitations.download(made, now)
    made.refresh_from_db()
    assert (Challenge.objects.count(), made.used_count, made.downloads.count()) == (2, 0, 2)


def test_a_certificate_leads_back_to_its_invitation(now: datetime) -> None:
    made = invitation(now)
    origin = invitations.origin(downloaded(made, now))
    assert origin is not None
    assert (origin.invitation, origin.renews) == (made, None)


def test_the_group_all_is_made_once(now: datetime) -> None:
    assert groups.ensure_all_group(now) == groups.ensure_all_group(now) == groups.get_group("all")
    DeviceGroup.objects.all().delete()
    assert groups.ensure_all_group(now).is_all


def test_an_unknown_group_is_named(now: datetime) -> None:
    with pytest.raises(GroupNotFound, match='"nobody"'):
        groups.get_group("nobody")


def test_devices_are_put_into_a_group_and_taken_out(now: datetime) -> None:
    our_topic(now)
    group = DeviceGroup.objects.create(name="staff", created_at=now)
    devices = [enroll(now, identity=device(udid))[0].enrollment.device for udid in ("A", "B")]
    groups.add_devices(group, devices, now=now)
    groups.add_devices(group, devices, now=now)
    assert Membership.objects.count() == 2
    assert groups.remove_devices(group, devices[:1]) == 1
    assert list(group.devices.all()) == devices[1:]


def test_group_ids_take_two_statements_whatever_the_number(now: datetime, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    our_topic(now)
    group = DeviceGroup.objects.create(name="staff", created_at=now)
    devices = [enroll(now, identity=device(f"D{number}"))[0].enrollment.device for number in range(20)]
    groups.add_devices(group, devices[:10], now=now)
    everyone = groups.get_group("all").pk
    with django_assert_num_queries(2):
        found = groups.group_ids_by_device([known.pk for known in devices])
    assert found[devices[0].pk] == {group.pk, everyone}
    assert found[devices[19].pk] == {everyone}


def test_a_device_that_is_not_enrolled_is_not_in_all(now: datetime) -> None:
    our_topic(now)
    known = enroll(now)[0].enrollment.device
    known.state = known.State.UNENROLLED
    known.save()
    assert groups.group_ids_by_device([known.pk]) == {known.pk: set()}
