"""One row of everything that the admin shows, with hostile names, and with secrets that no page may show."""

import hashlib
from datetime import timedelta
from types import SimpleNamespace

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission

from certificates.models import CertificateAuthority, IssuedCertificate, PushCertificate
from devices.models import (
    BulkCommand,
    Command,
    Device,
    DeviceGroup,
    Enrollment,
    EscrowedSecret,
    Identity,
    Inventory,
    Invitation,
    Membership,
    UnmatchedReport,
    Verdict,
)
from operations import audit
from operations.models import Alert, Operation
from profiles.models import Assignment, Bundle, Installation, Payload, Profile, Revision, Secret
from protocol.plist import dumps
from provisioning.models import (
    ApiKey,
    AppBundle,
    AppVersion,
    DeveloperTeam,
    EnterpriseApp,
    Lineage,
    LineageAssignment,
    ListedProvisioningProfile,
    ProvisioningInstallation,
    ProvisioningProfile,
    Renewal,
)

HOSTILE = '<script>alert("1")</script>'
# Everything that must stay out of every page, in whatever form a page could show it.
SECRET = "s3cr3t-marker"
SECRET_BYTES = SECRET.encode()
SECRET_FORMS = (SECRET, SECRET_BYTES.hex(), "czNjcjN0LW1hcmtlc")
# What only those may see who compose bundles.
PASSWORD = "payload-password-marker"


def furnish(now) -> SimpleNamespace:
    """The rows, by name."""
    _, certificate = _certificates(now)
    device = Device.objects.create(
        udid=f"UDID{HOSTILE}", serial_number="C02HOSTILE", name=HOSTILE, model_name=HOSTILE, platform="iOS",
        created_at=now, state="enrolled", state_reason=HOSTILE, waiting_count=1, failed_count=1, last_seen_at=now,
        identity_expires_at=now + timedelta(days=30),
    )  # fmt: skip
    group = DeviceGroup.objects.create(name=HOSTILE, created_at=now)
    Membership.objects.create(group=group, device=device, added_at=now)
    enrollment = Enrollment.objects.create(
        device=device, kind="device", enrollment_id=f"UDID{HOSTILE}", state="enrolled", authenticated_at=now,
        enrolled_at=now, topic="com.apple.mgmt.example", push_magic=SECRET, token=SECRET_BYTES, push_state="ok",
    )  # fmt: skip
    Identity.objects.create(
        enrollment=enrollment, certificate=certificate, sha256=certificate.sha256, not_after=certificate.not_after,
        bound_at=now,
    )  # fmt: skip
    EscrowedSecret.objects.create(
        enrollment=enrollment, kind="unlock_token", version=1, value=SECRET_BYTES, stored_at=now
    )
    invitation = Invitation.objects.create(
        token_sha256=SECRET_BYTES, note=HOSTILE, created_at=now, expires_at=now + timedelta(hours=1)
    )
    invitation.groups.add(group)
    rows = SimpleNamespace(device=device, group=group, enrollment=enrollment, invitation=invitation)
    _records(rows, now)
    _bundle(rows, now)
    _provisioning(rows, now)
    rows.alert = Alert.objects.create(key="k", title=HOSTILE, text=HOSTILE, raised_at=now)
    items = {device.pk: HOSTILE}
    rows.operation = Operation.objects.begin("command.DeviceLock", title=HOSTILE, items=items, actor=None, now=now)
    rows.operation.items.get().fail(HOSTILE)
    rows.operation.tally(now)
    BulkCommand.objects.create(
        operation=rows.operation, request_type="DeviceLock", params=dumps({"PIN": SECRET}), reason=HOSTILE
    )
    rows.event = audit.record(None, "device.lock", subject=device, now=now, reason=HOSTILE, details={"why": HOSTILE})
    rows.role = Group.objects.create(name=HOSTILE)
    return rows


def _certificates(now):
    later = now + timedelta(days=30)
    authority = CertificateAuthority.objects.create(
        name=f"ca {HOSTILE}", certificate_der=b"x", private_key_pem=SECRET_BYTES, created_at=now, not_after=later
    )
    certificate = IssuedCertificate.objects.create(
        authority=authority, sha256=hashlib.sha256(b"1").digest(), serial_number="1", subject=HOSTILE,
        public_key_sha256=b"1", certificate_der=b"x", private_key_pem=SECRET_BYTES, not_before=now, not_after=later,
        issued_at=now,
    )  # fmt: skip
    PushCertificate.objects.create(
        topic="com.apple.mgmt.example", subject=HOSTILE, sha256=b"2", certificate_pem="x",
        private_key_pem=SECRET_BYTES, not_before=now, not_after=later, uploaded_at=now,
    )  # fmt: skip
    return authority, certificate


def _records(rows, now):
    chain = [{"code": 1, "domain": HOSTILE, "description": HOSTILE}]
    rows.command = Command.objects.create(
        uuid="UUID-1", enrollment=rows.enrollment, request_type="DeviceLock", params=dumps({"PIN": SECRET}),
        created_at=now, result=SECRET_BYTES, error_chain=chain, origin=HOSTILE,
    )  # fmt: skip
    Inventory.objects.create(
        enrollment=rows.enrollment, kind="SecurityInfo", content=SECRET_BYTES, asked_at=now, reported_at=now
    )
    Verdict.objects.create(enrollment=rows.enrollment, requirement_key="bundle:1", reasons=[HOSTILE])
    UnmatchedReport.objects.create(
        received_at=now, enrollment=rows.enrollment, reason=HOSTILE, command_uuid=HOSTILE, raw=SECRET_BYTES
    )


def _bundle(rows, now):
    bundle = Bundle.objects.create(name=HOSTILE, identifier="mdmportal.bundle.x", created_at=now)
    content = {"PayloadType": "com.apple.vpn.managed", "PayloadIdentifier": "p.1", "PayloadUUID": "U-1", "P": PASSWORD}
    rows.payload = Payload.objects.create(
        bundle=bundle, position=1, role="capability", name=HOSTILE, payload_type="com.apple.vpn.managed",
        payload_identifier="p.1", payload_uuid="U-1", content=dumps(content),
    )  # fmt: skip
    rows.revision = Revision.objects.create(bundle=bundle, number=1, delivery_rule="together", published_at=now)
    profile = {"PayloadType": "Configuration", "PayloadIdentifier": "mdmportal.bundle.x", "PayloadContent": [content]}
    rows.profile = Profile.objects.create(
        revision=rows.revision, part="whole", identifier="mdmportal.bundle.x", uuid="U-2", display_name=HOSTILE,
        payload_types=[HOSTILE], content=dumps(profile), signed=SECRET_BYTES,
    )  # fmt: skip
    rows.secret = Secret.objects.create(
        name="wifi", value=SECRET_BYTES, length=13, note=HOSTILE, created_at=now, changed_at=now
    )
    bundle.current_revision = rows.revision
    bundle.save()
    rows.bundle = bundle
    rows.assignment = Assignment.objects.create(bundle=bundle, group=rows.group, created_at=now)
    rows.installation = Installation.objects.create(
        enrollment=rows.enrollment, bundle=bundle, part="whole", profile=rows.profile, payload_uuid="U-2",
        state="failed", reason=HOSTILE, created_at=now, changed_at=now,
    )  # fmt: skip


def _provisioning(rows, now):
    team = DeveloperTeam.objects.create(identifier="AB12CD34EF", name=HOSTILE, created_at=now)
    rows.api_key = ApiKey.objects.create(
        team=team, program="enterprise", key_id="2X9R4HXF34", issuer_id="i", private_key=SECRET_BYTES, error=HOSTILE,
        state="failing", added_at=now,
    )  # fmt: skip
    rows.lineage = Lineage.objects.create(
        team=team, application_identifier=HOSTILE, kind="in_house", platform="iOS", name=HOSTILE, policy="manual",
        api_key=rows.api_key, canary_group=rows.group, created_at=now,
    )  # fmt: skip
    LineageAssignment.objects.create(lineage=rows.lineage, group=rows.group, created_at=now)
    certificate = {"common_name": HOSTILE, "serial_number": HOSTILE, "not_after": now.isoformat(), "sha256": "0"}
    old, new = (
        ProvisioningProfile.objects.create(
            lineage=rows.lineage, uuid=HOSTILE, uuid_key=f"u{days}", name=HOSTILE, sha256=str(days), data=SECRET_BYTES,
            created_at=now, expires_at=now + timedelta(days=days), effective_end=now + timedelta(days=days),
            certificates=[certificate], source="api", added_at=now,
        )
        for days in (30, 300)
    )  # fmt: skip
    Lineage.objects.filter(pk=rows.lineage.pk).update(current=old, effective_end=old.effective_end, renew_at=now)
    finding = {"severity": "error", "key": HOSTILE, "sentence": HOSTILE}
    rows.renewal = Renewal.objects.create(
        lineage=rows.lineage, old_profile=old, new_profile=new, state="blocked", blocked_state="canary", error=HOSTILE,
        findings=[finding], wave=1, started_at=now,
    )  # fmt: skip
    rows.renewal.events.create(at=now, state="canary", sentence=HOSTILE, details={HOSTILE: HOSTILE})
    ProvisioningInstallation.objects.create(
        enrollment=rows.enrollment, lineage=rows.lineage, profile=new, state="failed", reason=HOSTILE, wave=1,
        created_at=now, changed_at=now,
    )  # fmt: skip
    ListedProvisioningProfile.objects.create(
        enrollment=rows.enrollment, uuid=HOSTILE, uuid_key="u30", name=HOSTILE, asked_at=now, reported_at=now
    )
    rows.app = EnterpriseApp.objects.create(name=HOSTILE, bundle_identifier="com.example.pos", created_at=now)
    version = AppVersion.objects.create(
        app=rows.app, version="1", short_version=HOSTILE, file="apps/none.ipa", size=1, sha256="0", uploaded_at=now
    )
    AppBundle.objects.create(
        version=version, path=HOSTILE, bundle_identifier=HOSTILE, profile=old, lineage=rows.lineage
    )


def reader():
    """A member of staff who may look at everything and touch nothing."""
    user = get_user_model().objects.create(username="reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    return user


def administrator():
    return get_user_model().objects.create(username="root", is_staff=True, is_superuser=True)
