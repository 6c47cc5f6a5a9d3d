"""The fake App Store Connect without its network: requests in, replies out, for both of Apple's programs.

The program is the first part of a path (/enterprise/v1/profiles) where Apple has two hosts. Tokens, rate limit,
scripted faults and routes are here; a team's rules are in `appstoreconnect_team`.
"""

import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from simulator import appstoreconnect_documents as documents
from simulator.appstoreconnect_documents import Query, Resource
from simulator.appstoreconnect_faults import UNDONE, ApiError, Fault, Faults, broken_cursor, not_found
from simulator.appstoreconnect_team import Key, Profile, Team
from simulator.appstoreconnect_tokens import AUDIENCES, authenticate
from simulator.provisioning_authority import ProvisioningAuthority

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Request:
    """One request; `path` is without the program and without /v1, headers have lower-case names."""

    program: str
    method: str
    path: str
    parameters: dict[str, str]
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    base: str


@dataclass
class Reply:
    """What goes back; `fault` is what the network still has to spoil."""

    status: int
    document: Any = None
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    fault: Fault | None = None


@dataclass
class FakeApi:
    """All teams, and what was asked of them. Not for two threads at a time."""

    authority: ProvisioningAuthority = field(repr=False)
    clock: Callable[[], datetime]
    page_limit: int = 200
    rate_limit: int = 3600
    hides_expired: bool = True
    teams: dict[str, Team] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    # The last requests as (method, path), and how many there were by method and first part of the path.
    requests: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=10_000))
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    # Profiles that POSTs made, in order, lost answers and deleted ones as well.
    created: list[Profile] = field(default_factory=list)
    _used: dict[str, deque[datetime]] = field(default_factory=dict)

    def add_team(
        self, identifier: str, *, program: str = "enterprise", lifetime: timedelta = timedelta(days=365)
    ) -> Team:
        """A new team; the same identifier at the other program is another one."""
        team = Team(identifier, program, self.authority, lifetime)
        self.teams[f"{program} {identifier}"] = team
        return team

    def answer(self, request: Request) -> Reply:
        """The reply to one request, with the fault that the script has for it."""
        self.requests.append((request.method, request.path))
        self.counts[request.method, request.path.split("/")[1] if "/" in request.path else ""] += 1
        fault = self.faults.take(request.method, request.path, has_cursor="cursor" in request.parameters)
        headers: dict[str, str] = {}
        try:
            reply = self._allowed(request, fault, headers)
        except ApiError as error:
            reply = Reply(error.status, error.document())
            if error.retry_after:
                headers["Retry-After"] = error.retry_after
        reply.headers, reply.fault = headers, fault
        return reply

    def _allowed(self, request: Request, fault: Fault | None, headers: dict[str, str]) -> Reply:
        refusal = fault.refusal() if fault else None
        if refusal is not None:
            raise refusal
        if fault is not None and fault.name in UNDONE:
            return Reply(502)
        if request.headers.get("accept", "application/json") not in {"application/json", "*/*"}:
            return Reply(406, text="Not Acceptable")
        if request.program not in AUDIENCES:
            raise ApiError(404, "PATH_ERROR", "The URL path is not valid")
        now = self.clock()
        team, key = authenticate(
            request.headers.get("authorization", ""), self.teams.values(), program=request.program, now=now
        )
        headers["X-Rate-Limit"] = self._count(key, now)
        if fault is not None and fault.name == "broken_cursor":
            raise broken_cursor(request.parameters["cursor"])
        return self._route(request, team, fault)

    def _count(self, key: Key, now: datetime) -> str:
        used = self._used.setdefault(key.key_id, deque())
        while used and used[0] <= now - _HOUR:
            used.popleft()
        if len(used) >= self.rate_limit:
            raise ApiError(429, "RATE_LIMIT_EXCEEDED", "The request rate limit has been reached.")
        used.append(now)
        return f"user-hour-lim:{self.rate_limit};user-hour-rem:{self.rate_limit - len(used)};"

    def _route(self, request: Request, team: Team, fault: Fault | None) -> Reply:
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["profiles"]:
                return Reply(200, self._profiles(request, team, self._visible(team)))
            case "GET", ["profiles", identifier]:
                return Reply(200, self._profile(request, team, identifier))
            case "POST", ["profiles"]:
                return self._create(request, team, fault)
            case "DELETE", ["profiles", identifier]:
                if team.profiles.pop(identifier, None) is None:
                    raise not_found("profiles", identifier)
                return Reply(204)
            case "GET", ["bundleIds", identifier, "profiles"]:
                return Reply(200, self._profiles_of(request, team, identifier))
            case "GET", ["bundleIds" | "certificates" | "devices" as kind]:
                return Reply(200, self._query(request).page(kind, _resources(team, kind)))
        raise ApiError(404, "PATH_ERROR", "The URL path is not valid")

    def _visible(self, team: Team) -> list[Profile]:
        now = self.clock()
        return [one for one in team.profiles.values() if not self.hides_expired or one.expires_at > now]

    def _query(self, request: Request) -> Query:
        return Query(f"{request.base}{request.path}", request.parameters, self.page_limit)

    def _profiles(self, request: Request, team: Team, found: list[Profile]) -> Resource:
        include, fields = request.parameters.get("include", ""), request.parameters.get("fields[profiles]", "")
        resources = [documents.profile(one, request.base, with_data=bool(include), fields=fields) for one in found]
        page = self._query(request).page("profiles", resources)
        if include:
            page["included"] = documents.included(page, team, include)
        return page

    def _profile(self, request: Request, team: Team, identifier: str) -> Resource:
        if identifier not in team.profiles:
            raise not_found("profiles", identifier)
        include = request.parameters.get("include", "")
        page: Resource = {
            "data": documents.profile(team.profiles[identifier], request.base, with_data=bool(include)),
            "links": {"self": f"{request.base}{request.path}"},
        }
        if include:
            page["included"] = documents.included(page, team, include)
        return page

    def _profiles_of(self, request: Request, team: Team, identifier: str) -> Resource:
        """All of an App ID, expired ones as well; Apple knows no `include` and no `sort` here."""
        if identifier not in team.bundle_ids:
            raise not_found("bundleIds", identifier)
        illegal = sorted(set(request.parameters) - {"limit", "cursor", "fields[profiles]"})
        if illegal:
            raise ApiError(400, "PARAMETER_ERROR.ILLEGAL", f"'{illegal[0]}' is unknown", parameter=illegal[0])
        found = [one for one in team.profiles.values() if one.bundle_id_id == identifier]
        resources = [documents.profile(one, request.base, with_data=False) for one in found]
        return self._query(request).page("profiles", resources)

    def _create(self, request: Request, team: Team, fault: Fault | None) -> Reply:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "The content type is not supported.")
        name, profile_type, bundle_id, certificates, devices = _asked(request.body)
        now = self.clock()
        if fault is not None and fault.name == "foreign_name":
            team.take_name(name, now=now)
        made = team.create_profile(
            name, profile_type, bundle_id=bundle_id, certificates=certificates, devices=devices, now=now,
            alteration=fault.name if fault else "",
        )  # fmt: skip
        self.created.append(made)
        shown = documents.profile(made, request.base, with_data=False)
        return Reply(201, {"data": shown, "links": {"self": f"{request.base}/profiles"}})


def _resources(team: Team, kind: str) -> list[Resource]:
    if kind == "bundleIds":
        return [documents.bundle_id(one) for one in team.bundle_ids.values()]
    if kind == "certificates":
        return [documents.certificate(one) for one in team.certificates.values() if not one.is_revoked]
    return [documents.device(one) for one in team.devices.values()]


def _asked(body: bytes) -> tuple[str, str, str, tuple[str, ...], tuple[str, ...]]:
    """Name, type, App ID, certificates and devices of a POST. ApiError for any other shape."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {
            "data": {
                "type": "profiles",
                "attributes": {"name": str(name), "profileType": str(profile_type), **rest},
                "relationships": {
                    "bundleId": {"data": {"type": "bundleIds", "id": str(bundle_id)}},
                    "certificates": {"data": list(certificates)},
                    **others,
                },
            }
        }:
            for unknown in rest:
                text = f"The attribute '{unknown}' is unknown."
                raise ApiError(409, "ENTITY_ERROR.ATTRIBUTE.UNKNOWN", text, pointer="/data/attributes")
            devices = _devices(others)
            return name, profile_type, bundle_id, _ids("certificates", certificates), devices
    raise ApiError(422, "ENTITY_UNPROCESSABLE", "The request entity could not be processed.")


def _devices(relationships: dict[Any, Any]) -> tuple[str, ...]:
    match relationships:
        case {"devices": {"data": list(entries)}}:
            return _ids("devices", entries)
    return ()


def _ids(kind: str, entries: list[Any]) -> tuple[str, ...]:
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("type") != kind or not isinstance(entry.get("id"), str):
            raise ApiError(422, "ENTITY_UNPROCESSABLE", "The request entity could not be processed.")
    return tuple(entry["id"] for entry in entries)
