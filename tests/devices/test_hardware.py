import pytest

from devices.hardware import platform_of


@pytest.mark.parametrize(
    ("names", "platform"),
    [
        (("iPhone15,2",), "iOS"),
        (("iPod9,1",), "iOS"),
        (("iPad14,1",), "iPadOS"),
        (("Mac14,2",), "macOS"),
        (("MacBookPro18,3",), "macOS"),
        (("iMac21,1",), "macOS"),
        (("VirtualMac2,1",), "macOS"),
        ((None, "MacBook Pro"), "macOS"),
        (("AppleTV11,1",), "tvOS"),
        ((None, "Apple TV"), "tvOS"),
        (("Watch6,1",), "watchOS"),
        (("RealityDevice14,1",), "visionOS"),
        (("Toaster1,1", "iPad"), "iPadOS"),
        (("", None), ""),
        (("My iPhone",), ""),
    ],
)
def test_the_platform_follows_from_what_a_device_says(names: tuple[str | None, ...], platform: str) -> None:
    assert platform_of(*names) == platform
