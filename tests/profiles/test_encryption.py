"""Profiles encrypted to the device that gets them: its key opens the payloads, nobody else's does."""

import shutil
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certificates.authority import issue_identity
from devices.identities import bind
from profiles import rendering
from profiles.errors import DeliveryError
from profiles.models import Part, Profile
from protocol import cms
from protocol.errors import PlistError, SignatureError
from protocol.plist import dumps, loads, loads_dict
from simulator.profiles import read_profile
from tests.certificates.requests import device_key
from tests.profiles.fleet import VPN, bundle_of, payload
from tests.protocol.keyring import openssl

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse"


@pytest.fixture
def profile(clock) -> Profile:
    """A profile whose payload holds a password in clear, as the portal keeps it (encrypted at rest)."""
    bundle = bundle_of(payload(VPN, Password=PASSWORD, Name="{{ device.name }}"), now=clock())
    revision = bundle.revisions.create(number=1, delivery_rule=bundle.delivery_rule, published_at=clock())
    content = {
        "PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "com.example.v", "PayloadUUID": "U",
        "PayloadContent": [loads_dict(bytes(row.content)) for row in bundle.payloads.all()],
    }  # fmt: skip
    return Profile.objects.create(
        revision=revision, part=Part.WHOLE, identifier="com.example.v", uuid="U", variables=["device.name"],
        encrypt_to_device=True, content=dumps(content), signed=b"",
    )  # fmt: skip


@pytest.fixture
def identified(device, signing, clock):
    """A device with an identity of ours, and a name."""
    device.enrollment.device.name = "Phone"
    issued = issue_identity(signing, device_key().public_key(), common_name="device", now=clock.now)
    bind(issued, device.enrollment, now=clock.now)
    return device.enrollment, issued.certificate


def outside(data: bytes) -> dict:
    content, _signer = cms.verify_attached(data)
    return loads_dict(content)


def test_the_payloads_are_an_array_that_the_devices_key_opens(profile, identified, clock):
    enrollment, certificate = identified
    data = rendering.render(profile, enrollment, clock.now)
    assert PASSWORD.encode() not in data
    shell = outside(data)
    assert shell["IsEncrypted"] is True
    assert "PayloadContent" not in shell
    payloads, cipher = cms.decrypt(shell["EncryptedPayloadContent"], certificate, private_key=device_key())
    assert (cipher, loads(payloads)[0]["Password"]) == ("aes256", PASSWORD)
    installed = read_profile(data, identity=(certificate, device_key()))
    assert installed.payloads[0]["Name"] == "Phone"
    assert installed.uuid == rendering.device_uuid("U", {"device.name": "Phone"})


def test_another_devices_key_does_not_open_them(profile, identified, clock):
    enrollment, certificate = identified
    envelope = outside(rendering.render(profile, enrollment, clock.now))["EncryptedPayloadContent"]
    # A wrong key gives random bytes (RFC 3218), and one time in 256 these end like padding.
    with pytest.raises((SignatureError, PlistError)):
        loads(cms.decrypt(envelope, certificate, private_key=device_key(2))[0])


def test_the_newest_identity_is_the_recipient(profile, identified, signing, clock):
    enrollment, _ = identified
    renewed = issue_identity(signing, device_key(2).public_key(), common_name="new", now=clock())
    bind(renewed, enrollment, now=clock())
    data = rendering.render(profile, enrollment, clock.now)
    assert read_profile(data, identity=(renewed.certificate, device_key(2))).encrypted


def test_without_an_rsa_identity_in_force_nothing_is_delivered_in_clear(profile, identified, signing, clock):
    enrollment, _ = identified
    key = ec.generate_private_key(ec.SECP256R1())
    bind(issue_identity(signing, key.public_key(), common_name="ec", now=clock()), enrollment, now=clock())
    with pytest.raises(DeliveryError, match="RSA"):
        rendering.render(profile, enrollment, clock.now)
    with pytest.raises(DeliveryError, match="identity"):
        rendering.render(profile, enrollment, clock.now + timedelta(days=3650))


@pytest.mark.foreign
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_decrypts_a_delivered_profile_with_the_devices_key(profile, identified, clock, tmp_path):
    enrollment, certificate = identified
    (tmp_path / "certificate").write_bytes(certificate.public_bytes(Encoding.PEM))
    key = device_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key").write_bytes(key)
    envelope = outside(rendering.render(profile, enrollment, clock.now))["EncryptedPayloadContent"]
    clear = openssl(
        *(
            "cms",
            "-decrypt",
            "-inform",
            "DER",
            "-binary",
            "-recip",
            tmp_path / "certificate",
            "-inkey",
            tmp_path / "key",
        ),
        data=envelope,
    )
    assert loads(clear)[0]["Password"] == PASSWORD
