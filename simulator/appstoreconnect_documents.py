"""The JSON documents of the fake App Store Connect: resources, filters, sorting, pages.

Filters match parts of words and relationship counts are garbage, as Apple's are; a careful client must not mind.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from simulator.appstoreconnect_faults import ApiError, broken_cursor
from simulator.appstoreconnect_team import BundleId, Certificate, Device, Profile, Team

Resource = dict[str, Any]
_ATTRIBUTE_OF_FILTER: Final = {
    "profiles": {"name", "id", "profileType", "profileState"},
    "bundleIds": {"identifier", "platform", "seedId", "name", "id"},
    "certificates": {"serialNumber", "certificateType", "displayName", "id"},
    "devices": {"udid", "status", "name", "platform", "id"},
}
_EXACT: Final = frozenset({"id", "profileType", "profileState", "platform", "certificateType", "status"})


@dataclass(frozen=True)
class Query:
    """A list request: its address without the query, its parameters, and the most entries the server gives."""

    url: str
    parameters: dict[str, str]
    page_limit: int

    def page(self, kind: str, resources: Sequence[Resource]) -> Resource:
        """One page of the resources that the filters leave. ApiError for parameters that Apple does not know."""
        kept = _sorted([one for one in resources if self._keeps(kind, one)], self.parameters.get("sort", ""))
        limit = min(_number(self.parameters.get("limit", "20"), "limit"), self.page_limit)
        start = _start(self.parameters.get("cursor", ""))
        paging: dict[str, Any] = {"total": len(kept), "limit": limit}
        links = {"self": self.link()}
        if start + limit < len(kept):
            cursor = _cursor(start + limit)
            paging["nextCursor"] = cursor
            links["next"] = self.link(cursor=cursor)
        return {"data": kept[start : start + limit], "links": links, "meta": {"paging": paging}}

    def link(self, **more: str) -> str:
        """This request's address, with some parameters changed."""
        return f"{self.url}?{urlencode({**self.parameters, **more})}"

    def _keeps(self, kind: str, resource: Resource) -> bool:
        for name, value in self.parameters.items():
            if not name.startswith("filter["):
                continue
            attribute = name[7:-1]
            if attribute not in _ATTRIBUTE_OF_FILTER[kind]:
                raise ApiError(400, "PARAMETER_ERROR.ILLEGAL", f"'{name}' is not a valid filter", parameter=name)
            actual = str(resource["id"] if attribute == "id" else resource["attributes"].get(attribute))
            wanted = value.split(",")
            hit = actual in wanted if attribute in _EXACT else any(part in actual for part in wanted)
            if not hit:
                return False
        return True


def profile(found: Profile, base: str, *, with_data: bool, fields: str = "") -> Resource:
    """A resource of type profiles; without `include` its relationships are links and wrong counts only."""
    attributes = {
        "name": found.name,
        "platform": "MAC_OS" if found.type.startswith("MAC") else "IOS",
        "profileType": found.type,
        "profileState": found.state,
        "profileContent": base64.b64encode(found.content).decode() if found.content else None,
        "uuid": found.uuid,
        "createdDate": moment(found.created_at),
        "expirationDate": moment(found.expires_at),
    }
    if fields:
        attributes = {name: value for name, value in attributes.items() if name in fields.split(",")}
    itself = f"{base}/profiles/{found.id}"
    relationships: Resource = {
        "bundleId": {"links": _links(itself, "bundleId")},
        "certificates": {
            "meta": {"paging": {"total": 0, "limit": 2147483647}},
            "links": _links(itself, "certificates"),
        },
        "devices": {"meta": {"paging": {"total": 0, "limit": 2147483647}}, "links": _links(itself, "devices")},
    }
    if with_data:
        relationships["bundleId"]["data"] = {"type": "bundleIds", "id": found.bundle_id_id}
        relationships["certificates"]["data"] = [
            {"type": "certificates", "id": identifier} for identifier in found.certificate_ids
        ]
    return {
        "type": "profiles",
        "id": found.id,
        "attributes": attributes,
        "relationships": relationships,
        "links": {"self": itself},
    }


def bundle_id(found: BundleId) -> Resource:
    attributes = {
        "name": found.name,
        "identifier": found.identifier,
        "platform": found.platform,
        "seedId": found.seed_id,
    }
    return {"type": "bundleIds", "id": found.id, "attributes": attributes}


def certificate(found: Certificate) -> Resource:
    attributes = {
        "serialNumber": found.issued.serial_number,
        "certificateContent": base64.b64encode(found.issued.der).decode(),
        "displayName": found.name,
        "name": f"iOS Distribution: {found.name}",
        "platform": "IOS",
        "expirationDate": moment(found.issued.certificate.not_valid_after_utc),
        "certificateType": found.type,
        "activated": None,
    }
    return {"type": "certificates", "id": found.id, "attributes": attributes}


def device(found: Device) -> Resource:
    attributes = {
        "name": found.name,
        "platform": found.platform,
        "udid": found.udid,
        "deviceClass": "IPHONE",
        "status": found.status,
        "model": None,
        "addedDate": None,
    }
    return {"type": "devices", "id": found.id, "attributes": attributes}


def included(page: Resource, team: Team, include: str) -> list[Resource]:
    """The resources that a page of profiles refers to."""
    wanted = include.split(",")
    app_ids: dict[str, Resource] = {}
    certificates: dict[str, Resource] = {}
    entries = page["data"] if isinstance(page["data"], list) else [page["data"]]
    for entry in entries:
        found = team.profiles[entry["id"]]
        if "bundleId" in wanted and found.bundle_id_id in team.bundle_ids:
            app_ids[found.bundle_id_id] = bundle_id(team.bundle_ids[found.bundle_id_id])
        if "certificates" in wanted:
            certificates |= {one: certificate(team.certificates[one]) for one in found.certificate_ids}
    return [*app_ids.values(), *certificates.values()]


def moment(value: datetime) -> str:
    """Apple's way of writing a time: 2026-05-05T11:32:52.000+0000."""
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000+0000"


def _links(itself: str, name: str) -> Resource:
    return {"self": f"{itself}/relationships/{name}", "related": f"{itself}/{name}"}


def _sorted(resources: list[Resource], order: str) -> list[Resource]:
    attribute = order.removeprefix("-")
    if not attribute:
        return resources
    return sorted(
        resources,
        key=lambda one: str(one["id"] if attribute == "id" else one["attributes"].get(attribute)),
        reverse=order.startswith("-"),
    )


def _cursor(start: int) -> str:
    return f"Ag.{base64.urlsafe_b64encode(str(start).encode()).decode()}"


def _start(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor.removeprefix("Ag.")))
    except ValueError:
        raise broken_cursor(cursor) from None


def _number(text: str, name: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 200:
        raise ApiError(400, "PARAMETER_ERROR.INVALID", f"'{name}' is not between 1 and 200", parameter=name)
    return int(text)
