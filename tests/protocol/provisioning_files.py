"""A fake Apple and the files it signs, made once per process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from protocol.cms import sign
from protocol.mobileprovision import APPLE_ROOTS
from protocol.plist import dumps
from simulator.provisioning_authority import SIGNING_TIME, der_time, make_authority, profile_values

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEAM = "AB12CD34EF"


@cache
def apple():
    return make_authority(NOW)


@cache
def developer(name="Example Ltd", days=3 * 365):
    return apple().developer_certificate(name, team=TEAM, now=NOW, days=days)


def roots():
    return APPLE_ROOTS.with_certificates([apple().root.certificate])


def in_house(**changes):
    return apple().profile(**{
        "name": "POS In-House", "team": TEAM, "bundle_identifier": "com.example.pos", "certificates": [developer()],
        "now": NOW, **changes,
    })  # fmt: skip


def values(**changes):
    return profile_values(**{
        "name": "POS", "team": TEAM, "bundle_identifier": "com.example.pos", "certificates": [developer()], "now": NOW,
        "kind": "in_house", "days": 365, "devices": (), "entitlements": None, "uuid": None, "prefix": None,
        "platforms": ("iOS",), **changes,
    })  # fmt: skip


def signed_by(issued, chain, *, at=NOW, digest="sha1", content=None):
    """A profile signed by somebody else than the fake Apple's signer."""
    return sign(
        content or dumps(values()),
        issued.certificate,
        private_key=issued.key,
        digest=digest,
        chain=chain,
        attributes={SIGNING_TIME: der_time(at)},
    )


@cache
def forger():
    """Names and markers as Apple's, under a root of its own."""
    return make_authority(NOW, name="Example Forger")


@cache
def samples():
    """File name -> bytes, and whether it is genuine: what our reader and openssl have to agree on."""
    genuine = in_house()
    edited = genuine.replace(b"POS In-House", b"POS in-House")
    forged = forger()
    late = NOW + timedelta(days=900)
    chain = [apple().intermediate.certificate, apple().root.certificate]
    middle = len(genuine) // 2
    return {
        "genuine": (genuine, True),
        "sha256": (apple().sign(values(), at=NOW, digest="sha256"), True),
        "ad hoc": (in_house(kind="ad_hoc", devices=["00008030-001A2B3C4D5E6F70"]), True),
        "mac": (in_house(platforms=["OSX"], kind="development", devices=["A" * 40]), True),
        "without root": (signed_by(apple().signer, chain[:1]), True),
        "without der form": (in_house(der_form=False), True),
        "edited": (edited, False),
        "forged": (forged.profile(name="a", team=TEAM, bundle_identifier="b", certificates=[developer()], now=NOW), False),
        "forger's chain under our root's name": (signed_by(forged.signer, chain), False),
        "no chain": (signed_by(apple().signer, []), False),
        "leaf as issuer": (signed_by(developer(), [apple().signer.certificate, *chain[1:]]), False),
        "truncated": (genuine[:-40], False),
        "flipped signature": (genuine[:-20] + bytes([genuine[-20] ^ 1]) + genuine[-19:], False),
        "flipped content": (genuine[:middle] + bytes([genuine[middle] ^ 1]) + genuine[middle + 1 :], False),
        "late": (signed_by(apple().signer, chain, at=late), None),
    }  # fmt: skip
