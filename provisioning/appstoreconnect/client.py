"""The calls of Apple's provisioning API that a renewal needs, for both programs (App Store Connect API, Profiles).

There is no call that renews: a profile is made anew, read and deleted. Filters of Apple's match parts of words and
cursors break, so results are compared and put together here. When to call what is `provisioning.creating`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx

from provisioning.appstoreconnect.connection import Connection, Document, Exchange
from provisioning.appstoreconnect.errors import AppStoreConnectError, ErrorKind
from provisioning.appstoreconnect.rates import RateLimit
from provisioning.appstoreconnect.resources import (
    AppleBundleId,
    AppleCertificate,
    AppleDevice,
    AppleProfile,
    is_id,
    malformed,
    read_bundle_id,
    read_certificate,
    read_device,
    read_profile,
)
from provisioning.appstoreconnect.tokens import KeyMaterial

T = TypeVar("T", AppleProfile, AppleBundleId, AppleCertificate, AppleDevice)
_MOST_PAGES: Final = 500
_LIMIT: Final = "200"
_WITH: Final = {"include": "bundleId,certificates", "limit[certificates]": "50"}


class Client:
    """One key's view of its team. Raises AppStoreConnectError, and nothing else."""

    def __init__(
        self,
        key: KeyMaterial,
        *,
        clock: Callable[[], datetime],
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        proxy: str | None = None,
        timeout: float = 60,
        pause: Callable[[float], None] = lambda _seconds: None,
        on_rate: Callable[[RateLimit], None] = lambda _rate: None,
    ) -> None:
        """`base_url` is an address without /v1; `timeout` are seconds of silence.

        `pause` waits between tries of a GET (by default nothing does). `on_rate` hears of Apple's limit with every answer.
        """
        self._connection = Connection(
            key,
            base_url=base_url,
            transport=transport,
            proxy=proxy,
            timeout=timeout,
            clock=clock,
            pause=pause,
            on_rate=on_rate,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the sockets."""
        self._connection.close()

    @property
    def last_exchange(self) -> Exchange | None:
        """The last request and its answer, failed or not."""
        return self._connection.last_exchange

    def check(self) -> None:
        """The cheapest request that needs a working key, membership, agreement and role; raises when one is missing."""
        _entries(self._connection.get("profiles", {"limit": "1", "fields[profiles]": "name"}))

    def profiles(self, *, name: str = "") -> list[AppleProfile]:
        """All profiles, or those with exactly this name; Apple hides some expired ones here."""
        # A comma would separate two names; such a name is looked for among all.
        wanted = {"filter[name]": name} if name and "," not in name else {}
        found = self._list("profiles", wanted | _WITH, read_profile)
        return [profile for profile in found if profile.name == name or not name]

    def profile(self, identifier: str) -> AppleProfile:
        """One profile with its App ID and certificates; NOT_FOUND when it is gone."""
        return read_profile(self._connection.get(f"profiles/{_id(identifier)}", _WITH).get("data"))

    def profiles_of_bundle_id(self, identifier: str) -> list[AppleProfile]:
        """Every profile of an App ID (its resource id), expired ones as well; without certificate ids."""

        def read(resource: object) -> AppleProfile:
            return read_profile(resource, bundle_id_id=identifier)

        return self._list(f"bundleIds/{_id(identifier)}/profiles", {}, read, is_sortable=False)

    def bundle_ids(self, identifier: str) -> list[AppleBundleId]:
        """The App IDs with exactly this bundle identifier (several prefixes are possible); wildcards end with "*"."""
        found = self._list("bundleIds", {"filter[identifier]": identifier}, read_bundle_id)
        return [bundle_id for bundle_id in found if bundle_id.identifier == identifier]

    def certificates(self) -> list[AppleCertificate]:
        """All certificates of the team."""
        return self._list("certificates", {}, read_certificate)

    def devices(self) -> list[AppleDevice]:
        """All registered devices, disabled ones as well."""
        return self._list("devices", {}, read_device)

    def create_profile(
        self,
        name: str,
        profile_type: str,
        *,
        bundle_id: str,
        certificate_ids: Sequence[str],
        device_ids: Sequence[str] = (),
    ) -> AppleProfile:
        """POST once; ids are resource ids. After UNAVAILABLE look for the name before anything else."""
        relationships: Document = {
            "bundleId": {"data": {"type": "bundleIds", "id": _id(bundle_id)}},
            "certificates": {"data": [{"type": "certificates", "id": _id(one)} for one in certificate_ids]},
        }
        if device_ids:
            relationships["devices"] = {"data": [{"type": "devices", "id": _id(one)} for one in device_ids]}
        attributes = {"name": name, "profileType": profile_type}
        data = {"type": "profiles", "attributes": attributes, "relationships": relationships}
        return read_profile(self._connection.post("profiles", {"data": data}).get("data"), bundle_id_id=bundle_id)

    def delete_profile(self, identifier: str) -> None:
        """Delete a profile in Apple's portal; one that is gone is deleted. Devices keep what they have."""
        try:
            self._connection.delete(f"profiles/{_id(identifier)}")
        except AppStoreConnectError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise

    def _list(
        self, path: str, params: dict[str, str], read: Callable[[object], T], *, is_sortable: bool = True
    ) -> list[T]:
        """Every page. A cursor that Apple does not know any more is answered by the list's two ends."""
        query = {"limit": _LIMIT} | params
        try:
            resources = self._pages(path, query)
        except AppStoreConnectError as error:
            if not is_sortable or not error.is_broken_cursor:
                raise
            resources = self._both_ends(path, query)
        return list({found.id: found for found in map(read, resources)}.values())

    def _pages(self, path: str, query: dict[str, str]) -> list[Any]:
        document = self._connection.get(path, query)
        resources = _entries(document)
        seen: set[str] = set()
        while link := _next(document):
            if link in seen or len(seen) >= _MOST_PAGES:
                raise malformed("its pages have no end")
            seen.add(link)
            document = self._connection.get_link(link)
            resources += _entries(document)
        return resources

    def _both_ends(self, path: str, query: dict[str, str]) -> list[Any]:
        """The first page from the front and from the back: whole when they meet (bitrise's way)."""
        front = self._connection.get(path, query | {"sort": "id"})
        back = self._connection.get(path, query | {"sort": "-id"})
        ids = [{str(entry.get("id")) for entry in _entries(end) if isinstance(entry, dict)} for end in (front, back)]
        if _next(front) and not ids[0] & ids[1]:
            raise AppStoreConnectError(ErrorKind.UNAVAILABLE, "Apple's list is long and its paging is broken for now.")
        return _entries(front) + _entries(back)


def _entries(document: Document) -> list[Any]:
    data = document.get("data")
    if not isinstance(data, list):
        raise malformed("it holds no list")
    return list(data)


def _next(document: Document) -> str | None:
    links = document.get("links")
    link = links.get("next") if isinstance(links, dict) else None
    if link is not None and not isinstance(link, str):
        raise malformed("a link to the next page is no text")
    return link or None


def _id(identifier: str) -> str:
    if not is_id(identifier):
        raise AppStoreConnectError(ErrorKind.BUG, "A resource id of Apple's holds characters that no id has.")
    return identifier
