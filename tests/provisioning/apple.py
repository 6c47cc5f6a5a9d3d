"""A fake Apple for the tests of the API: real HTTP on the loopback address, with an authority that is made once."""

from datetime import datetime, timedelta
from functools import cache

from provisioning.appstoreconnect import Client, KeyMaterial
from simulator.appstoreconnect import AppStoreConnectServer
from simulator.appstoreconnect_team import BundleId, Certificate, Key, Profile, Team
from simulator.provisioning_authority import Issued, ProvisioningAuthority, make_authority

TEAM = "AB12CD34EF"
BUNDLE = "com.example.pos"


@cache
def fake_authority(year: int) -> ProvisioningAuthority:
    """RSA keys take long to make: one fake Apple for all tests of a process."""
    return make_authority(datetime.fromisoformat(f"{year}-06-01T00:00:00+00:00"))


@cache
def distribution_certificate(year: int) -> Issued:
    """The certificate that the team signs its apps with, good for three years from 1 June."""
    begin = datetime.fromisoformat(f"{year}-06-01T00:00:00+00:00")
    return fake_authority(year).developer_certificate("Example Ltd", team=TEAM, now=begin)


class Clock:
    """A moment that tests move."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **amount: float) -> None:
        self.now += timedelta(**amount)


class FakeApple:
    """One enterprise team with a key, an App ID, a certificate and its present profile, behind a real server."""

    def __init__(self, clock: Clock) -> None:
        year = clock.now.year
        self.clock = clock
        self.server = AppStoreConnectServer(clock, authority=fake_authority(year))
        self.api = self.server.api
        self.team: Team = self.api.add_team(TEAM)
        self.key: Key = self.team.add_key()
        self.bundle_id: BundleId = self.team.add_bundle_id(
            BUNDLE,
            entitlements={"aps-environment": "production", "com.apple.developer.nfc.readersession.formats": ["TAG"]},
        )
        self.certificate: Certificate = self.team.add_certificate(now=clock.now, issued=distribution_certificate(year))
        self.old: Profile = self.create("POS In-House 2026", now=clock.now - timedelta(days=320))

    def create(self, name: str, *, now: datetime | None = None) -> Profile:
        """A profile made in Apple's portal by hand."""
        return self.team.create_profile(
            name, bundle_id=self.bundle_id.id, certificates=(self.certificate.id,), now=now or self.clock.now
        )

    def material(self, key: Key | None = None, *, program: str = "enterprise") -> KeyMaterial:
        """What the portal knows of a key."""
        key = key or self.key
        return KeyMaterial(program, key.key_id, key.issuer_id, key.pem)

    def client(self, material: KeyMaterial | None = None, **options: object) -> Client:
        """A client of this server; close it."""
        options = {"clock": self.clock, "timeout": 5.0, **options}
        return Client(material or self.material(), base_url=self.server.url(), **options)

    def posts(self) -> int:
        """How many POSTs of a profile arrived, answered or not."""
        return self.api.counts["POST", "profiles"]
