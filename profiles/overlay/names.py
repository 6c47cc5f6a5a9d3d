"""Labels made from key names, for keys without a title: "allowAirDrop" becomes "Allow AirDrop".

A label is a guess in sentence case; titles written in the overlay and Apple's own, where loaded, come before it.
"""

import re
from functools import cache

__all__ = ["derived"]

# As key names spell it, and as people do. Only what the rules below would get wrong.
_NAMES = {
    "ACMESubject": "subject", "AirDrop": "AirDrop", "AirPlay": "AirPlay", "AirPort": "AirPort", "AirPrint": "AirPrint",
    "APNs": "APNs", "AppleEvents": "Apple events", "AppleID": "Apple Account", "AppStore": "App Store",
    "ARDRemote": "Remote Desktop", "AutoFill": "AutoFill", "Autologin": "automatic login", "CalDAV": "CalDAV",
    "CardDAV": "CardDAV", "CarPlay": "CarPlay", "CheckIn": "check-in", "DDNS": "dynamic DNS", "DiffieHellman": "Diffie-Hellman",
    "dNSName": "DNS name", "dontAllow": "do not allow", "EAPFAST": "EAP-FAST", "EAPSIM": "EAP-SIM", "EnergySaver": "Energy Saver",
    "ESIM": "eSIM", "FaceTime": "FaceTime", "FileVault": "FileVault", "FireWall": "firewall", "GameCenter": "Game Center",
    "HTTP2": "HTTP/2", "HTTP3": "HTTP/3", "iBeacon": "iBeacon", "iChat": "iChat", "iCloud": "iCloud", "IDs": "IDs", "IKEv2": "IKEv2",
    "iPhone": "iPhone", "IPSec": "IPsec", "IPv4": "IPv4", "IPv6": "IPv6", "iTunes": "iTunes", "ITunes": "iTunes",
    "JavaScript": "JavaScript", "KDCs": "KDCs", "LoginWindow": "login window", "Loginwindow": "login window", "MACAddress": "MAC address",
    "MACRandomization": "MAC randomization", "MacOS": "macOS", "MailDrop": "Mail Drop", "MCCAndMNCs": "MCC and MNC codes", "MCCAndMNC": "MCC and MNC code",
    "MSCHAPv2": "MSCHAPv2", "ntPrincipalName": "NT principal name", "OAuth": "OAuth", "OIs": "OIs", "OTAPKI": "over-the-air PKI",
    "PACURL": "PAC URL", "PlatformSSO": "Platform SSO", "PPPoE": "PPPoE", "PreRelease": "pre-release", "QoS": "QoS", "RANDs": "RANDs",
    "rfc822Name": "RFC 822 name", "ScreenShot": "screenshot", "SetupAssistant": "Setup Assistant", "SMIME": "S/MIME",
    "TimeMachine": "Time Machine", "TouchID": "Touch ID", "TrueTone": "True Tone", "TVs": "TVs", "URLs": "URLs", "UserName": "user name",
    "Username": "user name", "username": "user name", "UUIDs": "UUIDs", "VoiceOver": "VoiceOver", "VPNUUID": "VPN", "WebClip": "Web Clip",
    "WiFi": "Wi-Fi", "XAuth": "XAuth", "XProtect": "XProtect",
}  # fmt: skip
# Words by their lower-case form; everything else is written small, and runs of capitals stay.
_WORDS = {
    "apn": "APN", "apple": "Apple", "bd": "BD", "bluetooth": "Bluetooth", "cd": "CD", "classroom": "Classroom", "dns": "DNS",
    "dvd": "DVD", "ethernet": "Ethernet", "finder": "Finder", "genmoji": "Genmoji", "guid": "GUID", "id": "ID", "kerberos": "Kerberos",
    "lan": "LAN", "mac": "Mac", "mcx": "MCX", "max": "maximum", "min": "minimum", "os": "OS", "pin": "PIN", "pw": "password",
    "req": "required", "safari": "Safari", "san": "SAN", "siri": "Siri", "spotlight": "Spotlight", "ssid": "SSID", "str": "",
    "url": "URL", "uuid": "UUID", "vpn": "VPN",
}  # fmt: skip
_KNOWN = re.compile("(" + "|".join(sorted(_NAMES, key=len, reverse=True)) + ")(?![a-z])")
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
# An array's item, named after its array.
_ITEM = re.compile(r"(?<=\w)(?:Items?|Element|InnerArray|Dict)$")
# People pick a payload by its name; that the key holds its UUID is how the device is told.
_REFERENCE = re.compile(r"(?:(?<=Certificate)|(?<=certificate)|(?<=Anchor))UUIDs?$")
_BEGIN_SMALL = ("eSIM", "iBeacon", "iChat", "iCloud", "iPhone", "iTunes", "macOS")


@cache
def derived(name: str) -> str:
    """A label in sentence case made from one key name; the name itself where nothing can be made of it."""
    if name == "ANY":
        return "Any key"
    stem = name.rsplit(".", 1)[-1] if name.startswith("com.apple.") else name
    of_array = _ITEM.search(stem)
    stem = _ITEM.sub("", stem)
    stem = _REFERENCE.sub("", stem.removeprefix("Payload") or stem)
    words = _words(stem)
    if of_array and words:
        words[-1] = _singular(words[-1])
    label = " ".join(words) or name
    return label if label.startswith(_BEGIN_SMALL) else label[:1].upper() + label[1:]


def _words(stem: str) -> list[str]:
    words: list[str] = []
    for number, part in enumerate(_KNOWN.split(stem)):
        # The split alternates between what stands between known names and the names.
        words += [_NAMES[part]] if number % 2 else [_word(found) for found in _PARTS.findall(part)]
    return [word for word in words if word]


def _word(part: str) -> str:
    if part.isupper() and len(part) > 1 and part != "STR":
        return part
    return _WORDS.get(part.lower(), part.lower())


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ss", "us", "is", "OS", "DNS")):
        return word
    return word[:-2] if word.endswith(("sses", "xes", "tches")) else word.removesuffix("s")
