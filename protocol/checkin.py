"""The check-in messages, both ways: what a device sends to CheckInURL.

Keys after Apple's schema, mdm/checkin/*.yaml; `parse_checkin` reads them,
`to_plist` writes them as a device would. What a message means for an
enrollment (pending, enrolled, gone) is decided by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from protocol.errors import MessageError
from protocol.identity import EnrollmentIdentity, identify
from protocol.plist import PlistValue, dumps, loads_dict
from protocol.reading import MessageReader

__all__ = [
    "Authenticate",
    "CheckOut",
    "CheckinMessage",
    "DeclarativeManagement",
    "GetBootstrapToken",
    "GetToken",
    "SetBootstrapToken",
    "TokenUpdate",
    "UserAuthenticate",
    "bootstrap_token_response",
    "parse_checkin",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """What all check-in messages share. `raw` is the whole message as sent, which may hold secrets."""

    message_type: ClassVar[str]
    identity: EnrollmentIdentity
    raw: dict[str, PlistValue] = field(default_factory=dict, repr=False, compare=False)
    ignored: tuple[str, ...] = field(default=(), compare=False)

    def to_plist(self) -> bytes:
        """The message as a device sends it: keys that are None stay out."""
        message: dict[str, PlistValue | None] = {
            "MessageType": self.message_type,
            **self.identity.keys(),
            **self._keys(),
        }
        return dumps({key: value for key, value in message.items() if value is not None})

    def _keys(self) -> Mapping[str, PlistValue | None]:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticate(_Message):
    """The first message while the MDM payload installs; the device is not enrolled yet."""

    message_type: ClassVar[str] = "Authenticate"
    topic: str
    serial_number: str | None = None
    device_name: str | None = None
    model: str | None = None
    model_name: str | None = None
    product_name: str | None = None
    os_version: str | None = None
    build_version: str | None = None
    imei: str | None = None
    meid: str | None = None

    def _keys(self) -> Mapping[str, PlistValue | None]:
        return {
            "Topic": self.topic,
            "SerialNumber": self.serial_number,
            "DeviceName": self.device_name,
            "Model": self.model,
            "ModelName": self.model_name,
            "ProductName": self.product_name,
            "OSVersion": self.os_version,
            "BuildVersion": self.build_version,
            "IMEI": self.imei,
            "MEID": self.meid,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUpdate(_Message):
    """The message that completes an enrollment, and later brings new push tokens."""

    message_type: ClassVar[str] = "TokenUpdate"
    topic: str
    push_magic: str = field(repr=False)
    token: bytes = field(repr=False)
    unlock_token: bytes | None = field(default=None, repr=False)
    awaiting_configuration: bool | None = None
    not_on_console: bool = False

    def _keys(self) -> Mapping[str, PlistValue | None]:
        return {
            "Topic": self.topic,
            "PushMagic": self.push_magic,
            "Token": self.token,
            "UnlockToken": self.unlock_token,
            "AwaitingConfiguration": self.awaiting_configuration,
            "NotOnConsole": self.not_on_console or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOut(_Message):
    """The single, best-effort farewell of a device whose enrollment profile was removed."""

    message_type: ClassVar[str] = "CheckOut"
    topic: str

    def _keys(self) -> Mapping[str, PlistValue | None]:
        return {"Topic": self.topic}


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBootstrapToken(_Message):
    """A Mac hands over its bootstrap token; no bytes mean that the stored one is to be deleted."""

    message_type: ClassVar[str] = "SetBootstrapToken"
    bootstrap_token: bytes = field(default=b"", repr=False)
    awaiting_configuration: bool | None = None

    def _keys(self) -> Mapping[str, PlistValue | None]:
        return {"BootstrapToken": self.bootstrap_token, "AwaitingConfiguration": self.awaiting_configuration}


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBootstrapToken(_Message):
    """A Mac asks for its bootstrap token; answered by `bootstrap_token_response`."""

    message_type: ClassVar[str] = "GetBootstrapToken"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAuthenticate(_Message):
    """A network user logs in on a Mac; `digest_response` is there in the second message only."""

    message_type: ClassVar[str] = "UserAuthenticate"
    digest_response: str | None = field(default=None, repr=False)

    def _keys(self) -> Mapping[str, PlistValue | None]:
        return {"DigestResponse": self.digest_response}


@dataclass(frozen=True, slots=True, kw_only=True)
class GetToken(_Message):
    """A device asks for a token of a service, such as "com.apple.maid"."""

    message_type: ClassVar[str] = "GetToken"
    service_type: str
    parameters: dict[str, PlistValue] = field(default_factory=dict, repr=False)

    def _keys(self) -> Mapping[str, PlistValue | None]:
        return {"TokenServiceType": self.service_type, "TokenParameters": self.parameters or None}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclarativeManagement(_Message):
    """A declarative management request; `data` is JSON, as sent."""

    message_type: ClassVar[str] = "DeclarativeManagement"
    endpoint: str
    data: bytes | None = field(default=None, repr=False)

    def _keys(self) -> Mapping[str, PlistValue | None]:
        return {"Endpoint": self.endpoint, "Data": self.data}


CheckinMessage: TypeAlias = (
    Authenticate
    | TokenUpdate
    | CheckOut
    | SetBootstrapToken
    | GetBootstrapToken
    | UserAuthenticate
    | GetToken
    | DeclarativeManagement
)


def parse_checkin(body: bytes) -> CheckinMessage:
    """Read a check-in body, XML or binary.

    Optional keys of a wrong type come out as None and are named in `ignored`. Raises PlistError, or
    MessageError for an unknown MessageType, a missing identity or a required key missing or wrong.
    """
    raw = loads_dict(body)
    message_type = raw.get("MessageType")
    parse = _PARSERS.get(message_type) if isinstance(message_type, str) else None
    if parse is None:
        raise MessageError("MessageType is missing or not one that Apple documents")
    return parse(identify(raw), raw)


def bootstrap_token_response(token: bytes | None) -> bytes:
    """The answer to GetBootstrapToken; no stored token is a success without bytes, never an HTTP error."""
    return dumps({"BootstrapToken": token or b""})


def _authenticate(identity: EnrollmentIdentity, raw: dict[str, PlistValue]) -> Authenticate:
    read = MessageReader(raw)
    return Authenticate(
        identity=identity,
        topic=read.text("Topic"),
        serial_number=read.optional_text("SerialNumber"),
        device_name=read.optional_text("DeviceName"),
        model=read.optional_text("Model"),
        model_name=read.optional_text("ModelName"),
        product_name=read.optional_text("ProductName"),
        os_version=read.optional_text("OSVersion"),
        build_version=read.optional_text("BuildVersion"),
        imei=read.optional_text("IMEI"),
        meid=read.optional_text("MEID"),
        raw=raw,
        ignored=read.ignored,
    )


def _token_update(identity: EnrollmentIdentity, raw: dict[str, PlistValue]) -> TokenUpdate:
    read = MessageReader(raw)
    return TokenUpdate(
        identity=identity,
        topic=read.text("Topic"),
        push_magic=read.text("PushMagic"),
        token=read.data("Token"),
        # Empty says nothing: only a token with bytes may ever replace a stored one.
        unlock_token=read.optional_data("UnlockToken") or None,
        awaiting_configuration=read.optional_bool("AwaitingConfiguration"),
        not_on_console=read.optional_bool("NotOnConsole") or False,
        raw=raw,
        ignored=read.ignored,
    )


def _check_out(identity: EnrollmentIdentity, raw: dict[str, PlistValue]) -> CheckOut:
    return CheckOut(identity=identity, topic=MessageReader(raw).text("Topic"), raw=raw)


def _set_bootstrap_token(identity: EnrollmentIdentity, raw: dict[str, PlistValue]) -> SetBootstrapToken:
    read = MessageReader(raw)
    # A wrong type must not pass for "delete".
    token = raw.get("BootstrapToken", b"")
    if not isinstance(token, bytes):
        raise MessageError("BootstrapToken is no data")
    awaiting = read.optional_bool("AwaitingConfiguration")
    return SetBootstrapToken(
        identity=identity, bootstrap_token=token, awaiting_configuration=awaiting, raw=raw, ignored=read.ignored
    )


def _get_bootstrap_token(identity: EnrollmentIdentity, raw: dict[str, PlistValue]) -> GetBootstrapToken:
    return GetBootstrapToken(identity=identity, raw=raw)


def _user_authenticate(identity: EnrollmentIdentity, raw: dict[str, PlistValue]) -> UserAuthenticate:
    # Computed from a password and longer than any identifier, so read without the reader's bound.
    digest = raw.get("DigestResponse")
    return UserAuthenticate(identity=identity, digest_response=digest if isinstance(digest, str) else None, raw=raw)


def _get_token(identity: EnrollmentIdentity, raw: dict[str, PlistValue]) -> GetToken:
    read = MessageReader(raw)
    service_type, parameters = read.text("TokenServiceType"), read.optional_dict("TokenParameters")
    return GetToken(identity=identity, service_type=service_type, parameters=parameters, raw=raw, ignored=read.ignored)


def _declarative_management(identity: EnrollmentIdentity, raw: dict[str, PlistValue]) -> DeclarativeManagement:
    read = MessageReader(raw)
    endpoint, data = read.text("Endpoint"), read.optional_data("Data")
    return DeclarativeManagement(identity=identity, endpoint=endpoint, data=data, raw=raw, ignored=read.ignored)


_PARSERS: Mapping[str, Callable[[EnrollmentIdentity, dict[str, PlistValue]], CheckinMessage]] = {
    "Authenticate": _authenticate,
    "TokenUpdate": _token_update,
    "CheckOut": _check_out,
    "SetBootstrapToken": _set_bootstrap_token,
    "GetBootstrapToken": _get_bootstrap_token,
    "UserAuthenticate": _user_authenticate,
    "GetToken": _get_token,
    "DeclarativeManagement": _declarative_management,
}
