"""A developer team in Apple's portal, in memory, with the calls of the client; faults are scripted.

The real HTTP server is `simulator.appstoreconnect`; this one lets a test say to the letter what happens at which call.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

from protocol.mobileprovision import read_provisioning_profile
from provisioning.appstoreconnect import (
    AppleBundleId,
    AppleCertificate,
    AppleDevice,
    AppleProfile,
    AppStoreConnectError,
    ErrorKind,
    Exchange,
)
from tests.protocol.provisioning_files import TEAM, apple, developer, roots

KINDS = {"IOS_APP_INHOUSE": "in_house", "IOS_APP_ADHOC": "ad_hoc", "IOS_APP_DEVELOPMENT": "development"}


class WorkerKilledError(Exception):
    """The worker was killed here."""


class FakeApple:
    """`fail(call, fault)` scripts the next call: an exception is raised instead, a function gets the result."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.profiles_made: dict[str, AppleProfile] = {}
        self.hidden: set[str] = set()
        self.invisible: set[str] = set()
        self.bundle_identifiers = {"com.example.pos": TEAM}
        self.certificates_known = [developer()]
        self.devices_known: dict[str, str] = {}
        self.lifetime = timedelta(days=365)
        self.changes: dict[str, object] = {}
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, deque[object]] = {}
        self.last_exchange: Exchange | None = None
        self.numbers = count(1)

    def __enter__(self) -> FakeApple:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def client_for(self, _key: object) -> FakeApple:
        return self

    def fail(self, call: str, *faults: object) -> None:
        self.faults.setdefault(call, deque()).extend(faults)

    def refuse(self, call: str, kind: ErrorKind, times: int = 1) -> None:
        self.fail(call, *[AppStoreConnectError(kind, f"Apple says {kind.value}.", status=400) for _ in range(times)])

    @property
    def posts(self) -> int:
        return self.calls["create_profile"]

    @property
    def made(self) -> int:
        return len(self.profiles_made)

    def _call(self, name: str, result: Callable[[], object]) -> object:
        self.calls[name] += 1
        fault = self.faults[name].popleft() if self.faults.get(name) else None
        self.last_exchange = Exchange("GET", name, 200, 5, remaining=3000)
        if isinstance(fault, BaseException):
            raise fault
        found = result()
        return fault(found) if callable(fault) else found

    def profiles(self, *, name: str = ""):
        def result():
            return [one for one in self._visible() if one.id not in self.hidden and name in {"", one.name}]

        return self._call("profiles", result)

    def profiles_of_bundle_id(self, identifier: str):
        return self._call(
            "profiles_of_bundle_id", lambda: [one for one in self._visible() if one.bundle_id_id == identifier]
        )

    def profile(self, identifier: str):
        return self._call("profile", lambda: self.profiles_made[identifier])

    def bundle_ids(self, identifier: str):
        seeds = {identifier: self.bundle_identifiers[identifier]} if identifier in self.bundle_identifiers else {}
        return self._call(
            "bundle_ids", lambda: [AppleBundleId(f"B{name}", name, seed, "IOS", name) for name, seed in seeds.items()]
        )

    def certificates(self):
        return self._call("certificates", lambda: [
            AppleCertificate(f"C{one.serial_number}", one.serial_number, one.der, "IOS_DISTRIBUTION",
                             one.certificate.not_valid_after_utc, "Example Ltd")
            for one in self.certificates_known
        ])  # fmt: skip

    def devices(self):
        return self._call(
            "devices", lambda: [AppleDevice(f"D{udid}", udid, status) for udid, status in self.devices_known.items()]
        )

    def create_profile(self, name, profile_type, *, bundle_id, certificate_ids, device_ids=()):
        def result():
            if any(one.name == name for one in self.profiles_made.values()):
                raise AppStoreConnectError(ErrorKind.NAME_TAKEN, "The name is taken.", status=409)
            return self.add(
                name, profile_type, bundle_id=bundle_id, certificate_ids=certificate_ids,
                devices=[one.removeprefix("D") for one in device_ids],
            )  # fmt: skip

        return self._call("create_profile", result)

    def delete_profile(self, identifier: str) -> None:
        self._call("delete_profile", lambda: self.profiles_made.pop(identifier, None))

    def check(self) -> None:
        self._call("check", lambda: None)

    def add(
        self,
        name,
        profile_type="IOS_APP_INHOUSE",
        *,
        bundle_id="Bcom.example.pos",
        certificate_ids=None,
        devices=(),
        **changes,
    ):
        known = {f"C{one.serial_number}": one for one in self.certificates_known}
        chosen = [known[one] for one in (known if certificate_ids is None else certificate_ids)]
        data = apple().profile(**{
            "name": name, "team": TEAM, "bundle_identifier": bundle_id.removeprefix("B"), "certificates": chosen,
            "now": self.clock(), "kind": KINDS.get(profile_type, "app_store"), "devices": devices,
            "days": self.lifetime / timedelta(days=1), **self.changes, **changes,
        })  # fmt: skip
        file = read_provisioning_profile(data, roots=roots())
        made = AppleProfile(
            id=f"P{next(self.numbers)}", name=name, type=profile_type, state="ACTIVE", content=data, uuid=file.uuid,
            created_at=file.created_at, expires_at=file.expires_at, bundle_id_id=bundle_id,
            certificate_ids=tuple(f"C{one.serial_number}" for one in chosen),
        )  # fmt: skip
        self.profiles_made[made.id] = made
        return made

    def _visible(self) -> list[AppleProfile]:
        return [one for one in self.profiles_made.values() if one.id not in self.invisible]
