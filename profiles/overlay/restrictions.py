"""The overlay for Restrictions (com.apple.applicationaccess): about 190 keys in groups that people look for.

Every key stands in exactly one group; a test holds that against the catalogue. A title says what happens when the answer is yes.
"""

from collections.abc import Iterator

from profiles.overlay.facts import (
    Condition,
    Content,
    Group,
    Judged,
    KeyOverlay,
    PayloadOverlay,
    error,
    is_on,
    shown,
    warning,
    worded,
)

__all__ = ["OVERLAYS"]

_GROUPS = (
    Group("Device", (
        "allowCamera", "allowScreenShot", "allowEraseContentAndSettings", "allowPasscodeModification",
        "allowFingerprintForUnlock", "allowFingerprintModification", "enforcedFingerprintTimeout", "allowAutoUnlock",
        "allowAccountModification", "allowDeviceNameModification", "allowWallpaperModification",
        "allowNotificationsModification", "allowEnablingRestrictions", "allowUIConfigurationProfileInstallation",
        "allowUSBRestrictedMode", "allowHostPairing", "allowUnpairedExternalBootToRecovery", "forceEncryptedBackup",
        "forceAutomaticDateAndTime", "allowProximitySetupToNewDevice", "allowPairedWatch", "forceWatchWristDetection",
        "allowAutoDim", "allowSharedDeviceTemporarySession",
    )),
    Group("Lock screen", (
        "allowLockScreenControlCenter", "allowLockScreenNotificationsView", "allowLockScreenTodayView",
        "allowPassbookWhileLocked", "allowVoiceDialing",
    )),
    Group("Apps", (
        "allowAppInstallation", "allowUIAppInstallation", "allowMarketplaceAppInstallation",
        "allowWebDistributionAppInstallation", "allowAppRemoval", "allowSystemAppRemoval", "allowAutomaticAppDownloads",
        "allowInAppPurchases", "forceITunesStorePasswordEntry", "allowEnterpriseAppTrust", "allowAppClips",
        "allowAppsToBeHidden", "allowAppsToBeLocked", "allowListedAppBundleIDs", "blockedAppBundleIDs",
        "autonomousSingleAppModePermittedAppIDs", "whitelistedAppBundleIDs", "blacklistedAppBundleIDs",
    )),
    Group("Apple's apps", (
        "allowChat", "allowRCSMessaging", "allowVideoConferencing", "allowCallRecording", "allowLiveVoicemail",
        "allowiTunes", "allowMusicService", "allowRadioService", "allowNews", "allowPodcasts", "allowBookstore",
        "allowMailSummary", "allowMailPrivacyProtection", "allowFindMyDevice", "allowFindMyFriends",
        "allowFindMyFriendsModification",
    )),
    Group("Apple Intelligence", ("allowWritingTools", "allowGenmoji", "allowImagePlayground", "allowImageWand")),
    Group("Siri and dictation", (
        "allowAssistant", "allowAssistantWhileLocked", "allowAssistantUserGeneratedContent",
        "forceAssistantProfanityFilter", "allowDictation", "forceOnDeviceOnlyDictation", "forceOnDeviceOnlyTranslation",
        "allowSpotlightInternetResults",
    )),
    Group("iCloud", (
        "allowCloudBackup", "allowCloudDocumentSync", "allowCloudKeychainSync", "allowCloudPhotoLibrary",
        "allowPhotoStream", "allowSharedStream", "allowCloudPrivateRelay", "allowManagedAppsCloudSync",
        "allowEnterpriseBookBackup", "allowEnterpriseBookMetadataSync", "allowActivityContinuation",
        "allowCloudAddressBook", "allowCloudBookmarks", "allowCloudCalendar", "allowCloudDesktopAndDocuments",
        "allowCloudFreeform", "allowCloudMail", "allowCloudNotes", "allowCloudReminders",
    )),
    Group("Company data", (
        "allowOpenFromManagedToUnmanaged", "allowOpenFromUnmanagedToManaged", "requireManagedPasteboard",
        "forceAirDropUnmanaged", "allowManagedToWriteUnmanagedContacts", "allowUnmanagedToReadManagedContacts",
    )),
    Group("Sharing", (
        "allowAirDrop", "allowAirPlayIncomingRequests", "forceAirPlayIncomingRequestsPairingPassword",
        "forceAirPlayOutgoingRequestsPairingPassword", "allowAirPrint", "allowAirPrintCredentialsStorage",
        "allowAirPrintiBeaconDiscovery", "forceAirPrintTrustedTLSRequirement", "allowiPhoneMirroring",
        "allowiPhoneWidgetsOnMac", "allowUniversalControl", "allowFilesNetworkDriveAccess", "allowFilesUSBDriveAccess",
        "allowRemoteScreenObservation", "allowNFC",
    )),
    Group("Passwords", (
        "allowPasswordAutoFill", "forceAuthenticationBeforeAutoFill", "allowPasswordProximityRequests",
        "allowPasswordSharing",
    )),
    Group("Safari", (
        "allowSafari", "safariAllowAutoFill", "safariAllowJavaScript", "safariAllowPopups", "safariForceFraudWarning",
        "safariAcceptCookies",
    )),
    Group("Privacy and trust", (
        "allowDiagnosticSubmission", "allowDiagnosticSubmissionModification", "allowApplePersonalizedAdvertising",
        "forceLimitAdTracking", "allowUntrustedTLSPrompt", "allowOTAPKIUpdates",
    )),
    Group("Updates", (
        "forceDelayedSoftwareUpdates", "enforcedSoftwareUpdateDelay", "forceDelayedMajorSoftwareUpdates",
        "enforcedSoftwareUpdateMajorOSDeferredInstallDelay", "enforcedSoftwareUpdateMinorOSDeferredInstallDelay",
        "forceDelayedAppSoftwareUpdates", "enforcedSoftwareUpdateNonOSDeferredInstallDelay",
        "allowRapidSecurityResponseInstallation", "allowRapidSecurityResponseRemoval",
    )),
    Group("Network", (
        "forceWiFiToAllowedNetworksOnly", "forceWiFiWhitelisting", "forceWiFiPowerOn", "allowVPNCreation",
        "allowBluetoothModification", "allowPersonalHotspotModification", "allowAppCellularDataModification",
        "allowCellularPlanModification", "allowESIMModification", "allowESIMOutgoingTransfers",
        "forcePreserveESIMOnErase", "allowGlobalBackgroundFetchWhenRoaming",
    )),
    Group("Keyboard", (
        "allowAutoCorrection", "allowSpellCheck", "allowPredictiveKeyboard", "allowContinuousPathKeyboard",
        "allowKeyboardShortcuts", "allowDefinitionLookup", "allowPersonalizedHandwritingResults",
    )),
    Group("Media and ratings", (
        "allowExplicitContent", "allowBookstoreErotica", "ratingRegion", "ratingApps", "ratingMovies", "ratingTVShows",
    )),
    Group("Game Center", ("allowGameCenter", "allowAddingGameCenterFriends", "allowMultiplayerGaming")),
    Group("Classroom", (
        "forceClassroomAutomaticallyJoinClasses", "forceClassroomRequestPermissionToLeaveClasses",
        "forceClassroomUnpromptedAppAndDeviceLock", "forceClassroomUnpromptedScreenObservation",
    )),
    Group("Mac", (
        "allowLocalUserCreation", "allowStartupDiskModification", "allowTimeMachineBackup", "allowContentCaching",
        "allowiTunesFileSharing", "allowARDRemoteManagementModification", "allowBluetoothSharingModification",
        "allowFileSharingModification", "allowInternetSharingModification", "allowMediaSharingModification",
        "allowPrinterSharingModification", "allowRemoteAppleEventsModification", "forceBypassScreenCaptureAlert",
    )),
    Group("Apple TV", ("allowDeviceSleep", "allowAutomaticScreenSaver", "allowRemoteAppPairing")),
)  # fmt: skip

_TITLES = worded({
    "allowAccountModification": ("Allow changing accounts", "Add, remove and change mail, Apple and other accounts."),
    "allowActivityContinuation": ("Allow Handoff", "Go on with something on another device."),
    "allowAirDrop": "Allow AirDrop",
    "allowAirPrint": "Allow AirPrint",
    "allowAppCellularDataModification": "Allow choosing which apps use mobile data",
    "allowAppClips": "Allow App Clips",
    "allowAppInstallation": ("Allow installing and updating apps", "Off hides the App Store and stops users from installing or updating apps."),
    "allowUIAppInstallation": ("Allow App Store", "Off hides it; the portal can still install apps."),
    "allowMarketplaceAppInstallation": "Allow alternative app marketplaces (EU)",
    "allowWebDistributionAppInstallation": "Allow apps from websites (EU)",
    "allowAppRemoval": "Allow deleting apps",
    "allowSystemAppRemoval": "Allow deleting Apple's apps",
    "allowAssistant": "Allow Siri",
    "allowAssistantWhileLocked": "Allow Siri while locked",
    "allowAssistantUserGeneratedContent": "Allow answers from user-written sources in Siri",
    "allowAutoUnlock": "Allow unlocking with Apple Watch or iPhone",
    "allowAutomaticAppDownloads": "Allow downloading apps bought on other devices",
    "allowBluetoothModification": "Allow changing Bluetooth settings",
    "allowCamera": ("Allow camera", "Off also takes FaceTime away."),
    "allowCellularPlanModification": "Allow changing the mobile plan",
    "allowChat": "Allow iMessage",
    "allowCloudBackup": "Allow iCloud backup",
    "allowCloudDocumentSync": "Allow documents and data in iCloud",
    "allowCloudKeychainSync": "Allow iCloud Keychain",
    "allowCloudPhotoLibrary": "Allow iCloud Photos",
    "allowCloudPrivateRelay": "Allow iCloud Private Relay",
    "allowCloudDesktopAndDocuments": "Allow Desktop and Documents in iCloud",
    "allowDeviceNameModification": "Allow renaming the device",
    "allowDiagnosticSubmission": "Allow sending diagnostics to Apple",
    "allowDictation": "Allow dictation",
    "allowEnablingRestrictions": "Allow Screen Time restrictions set by the user",
    "allowEnterpriseAppTrust": ("Allow trusting enterprise developers by hand", "Apps that the portal installs are trusted anyway."),
    "allowEraseContentAndSettings": "Allow erasing the device",
    "allowESIMModification": "Allow adding or removing an eSIM",
    "allowExplicitContent": "Allow explicit music, podcasts and news",
    "allowFilesNetworkDriveAccess": "Allow network drives in Files",
    "allowFilesUSBDriveAccess": "Allow USB drives in Files",
    "allowFindMyDevice": "Allow Find My: devices",
    "allowFindMyFriends": "Allow Find My: people",
    "allowFingerprintForUnlock": "Allow unlocking with Face ID or Touch ID",
    "allowFingerprintModification": "Allow adding faces and fingerprints",
    "allowGameCenter": "Allow Game Center",
    "allowHostPairing": ("Allow pairing with computers", "Off leaves only the computer that supervises the device."),
    "allowInAppPurchases": "Allow in-app purchases",
    "allowiPhoneMirroring": "Allow iPhone Mirroring",
    "allowiTunes": "Allow Music and the iTunes Store",
    "allowListedAppBundleIDs": ("Only these apps", "Bundle IDs. Everything else disappears, except Phone and Settings."),
    "allowListedAppBundleIDs.appAllowlistedBundleID": "Bundle ID",
    "blockedAppBundleIDs": ("Not these apps", "Bundle IDs of apps that disappear."),
    "blockedAppBundleIDs.appBlockedBundleID": "Bundle ID",
    "whitelistedAppBundleIDs": ("Only these apps (old)", "For systems before iOS 15."),
    "blacklistedAppBundleIDs": ("Not these apps (old)", "For systems before iOS 15."),
    "autonomousSingleAppModePermittedAppIDs": "Apps that may enter Single App Mode by themselves",
    "allowLocalUserCreation": "Allow creating users",
    "allowLockScreenControlCenter": "Allow Control Center",
    "allowLockScreenNotificationsView": "Allow notification history",
    "allowLockScreenTodayView": "Allow widgets",
    "allowPassbookWhileLocked": "Allow Wallet notifications",
    "allowVoiceDialing": "Allow voice dialing",
    "allowManagedAppsCloudSync": "Allow managed apps to use iCloud",
    "allowMusicService": "Allow Apple Music",
    "allowNotificationsModification": "Allow changing notification settings",
    "allowOpenFromManagedToUnmanaged": ("Allow company data in private apps", "Off keeps documents of managed apps and accounts in managed ones."),
    "allowOpenFromUnmanagedToManaged": ("Allow private data in company apps", ""),
    "allowOTAPKIUpdates": "Allow certificate trust updates over the air",
    "allowPairedWatch": "Allow pairing an Apple Watch",
    "allowPasscodeModification": ("Allow changing the passcode", "With a passcode policy leave it allowed, or nobody can follow the policy."),
    "allowPasswordAutoFill": "Allow filling in passwords",
    "allowPasswordProximityRequests": "Allow asking nearby devices for passwords",
    "allowPasswordSharing": "Allow sharing passwords",
    "allowPersonalHotspotModification": "Allow changing the personal hotspot",
    "allowProximitySetupToNewDevice": "Allow setting up a nearby new device",
    "allowRapidSecurityResponseInstallation": "Allow installing rapid security responses",
    "allowRapidSecurityResponseRemoval": "Allow removing rapid security responses",
    "allowRemoteScreenObservation": "Allow watching the screen from afar",
    "allowSafari": "Allow Safari",
    "allowScreenShot": "Allow screenshots and screen recording",
    "allowSharedStream": "Allow shared albums",
    "allowSpotlightInternetResults": "Allow web results in search",
    "allowUIConfigurationProfileInstallation": ("Allow installing profiles by hand", "The portal can still install profiles."),
    "allowUniversalControl": "Allow Universal Control",
    "allowUnmanagedToReadManagedContacts": ("Allow private apps to read company contacts", "Counts only while company data stays in company apps."),
    "allowManagedToWriteUnmanagedContacts": ("Allow company apps to write private contacts", "Counts only while company data stays in company apps."),
    "allowUnpairedExternalBootToRecovery": "Allow recovery mode from an unknown computer",
    "allowUntrustedTLSPrompt": ("Allow users to accept unknown TLS certificates", ""),
    "allowUSBRestrictedMode": ("Allow USB restricted mode", "Off lets accessories connect while the device is locked."),
    "allowVideoConferencing": "Allow FaceTime",
    "allowVPNCreation": "Allow adding VPNs by hand",
    "allowWallpaperModification": "Allow changing the wallpaper",
    "allowWritingTools": "Allow Writing Tools",
    "allowGenmoji": "Allow Genmoji",
    "allowImagePlayground": "Allow Image Playground",
    "enforcedFingerprintTimeout": ("Seconds until a password is needed instead of Touch ID", ""),
    "enforcedSoftwareUpdateDelay": ("Days to hide updates", "Counted from Apple's release. Apple's limit is 90."),
    "enforcedSoftwareUpdateMajorOSDeferredInstallDelay": "Days to hide major macOS updates",
    "enforcedSoftwareUpdateMinorOSDeferredInstallDelay": "Days to hide minor macOS updates",
    "enforcedSoftwareUpdateNonOSDeferredInstallDelay": "Days to hide other macOS updates",
    "forceAirDropUnmanaged": "Treat AirDrop as a private app",
    "forceAuthenticationBeforeAutoFill": "Face ID or Touch ID before filling in passwords",
    "forceAutomaticDateAndTime": "Set date and time automatically",
    "forceDelayedAppSoftwareUpdates": "Hide other macOS updates for a while",
    "forceDelayedMajorSoftwareUpdates": "Hide major macOS updates for a while",
    "forceDelayedSoftwareUpdates": "Hide system updates for a while",
    "forceEncryptedBackup": "Encrypt backups on computers",
    "forceLimitAdTracking": "Limit ad tracking",
    "forceOnDeviceOnlyDictation": "Dictation without servers",
    "forceOnDeviceOnlyTranslation": "Translation without servers",
    "forcePreserveESIMOnErase": "Keep the eSIM when the device erases itself",
    "forceWiFiPowerOn": "Keep Wi-Fi on",
    "forceWiFiToAllowedNetworksOnly": ("Join only Wi-Fi networks from profiles", "Without such a network the device loses the portal."),
    "forceWiFiWhitelisting": ("Join only Wi-Fi networks from profiles (old)", "For systems before iOS 14.5."),
    "ratingRegion": ("Ratings of", "The country by whose ratings films and shows are judged."),
    "requireManagedPasteboard": ("Copy and paste keeps to these rules", "Company data cannot be pasted into private apps either."),
    "safariAllowAutoFill": "Allow filling in forms",
    "safariAllowJavaScript": "Allow JavaScript",
    "safariAllowPopups": "Allow pop-up windows",
    "safariForceFraudWarning": "Warn of fraudulent websites",
})  # fmt: skip


def only_some_apps_or_not_some(content: Content) -> Iterator[Judged]:
    """An app on both lists would have to be there and not there."""
    for allow, block in (
        ("allowListedAppBundleIDs", "blockedAppBundleIDs"),
        ("whitelistedAppBundleIDs", "blacklistedAppBundleIDs"),
    ):
        allowed, blocked = content.get(allow), content.get(block)
        if isinstance(allowed, list) and isinstance(blocked, list) and any(app in blocked for app in allowed):
            yield error("names an app that is also among the blocked ones.", allow)


def a_switch_has_its_delay(content: Content) -> Iterator[Judged]:
    """Days without the switch hide nothing."""
    for delay, switches in (
        ("enforcedSoftwareUpdateDelay", ("forceDelayedSoftwareUpdates", "forceDelayedAppSoftwareUpdates")),
        ("enforcedSoftwareUpdateMajorOSDeferredInstallDelay", ("forceDelayedMajorSoftwareUpdates",)),
        ("enforcedSoftwareUpdateMinorOSDeferredInstallDelay", ("forceDelayedSoftwareUpdates",)),
        ("enforcedSoftwareUpdateNonOSDeferredInstallDelay", ("forceDelayedAppSoftwareUpdates",)),
    ):
        if delay in content and not any(is_on(content, switch) for switch in switches):
            yield warning("has no effect: updates are not hidden.", delay)


def what_is_off_needs_no_detail(content: Content) -> Iterator[Judged]:
    """Details of something that is switched off altogether: one of the two is a mistake."""
    for whole, details in (
        ("allowAssistant", ("allowAssistantWhileLocked", "allowAssistantUserGeneratedContent")),
        ("allowSafari", ("safariAllowAutoFill", "safariAllowJavaScript", "safariAllowPopups")),
        ("allowGameCenter", ("allowAddingGameCenterFriends", "allowMultiplayerGaming")),
        ("allowCamera", ("allowVideoConferencing",)),
        ("allowPasswordAutoFill", ("forceAuthenticationBeforeAutoFill",)),
    ):
        if not is_on(content, whole, default=True):
            for detail in details:
                if is_on(content, detail):
                    yield warning(f"contradicts {whole}, which switches all of it off.", detail)


def contacts_rules_need_separation(content: Content) -> Iterator[Judged]:
    """Apple ignores them while company data may go anywhere."""
    if is_on(content, "allowOpenFromManagedToUnmanaged", default=True):
        for key in ("allowUnmanagedToReadManagedContacts", "allowManagedToWriteUnmanagedContacts"):
            if key in content:
                yield warning("has no effect while company data may be opened in private apps.", key)


def only_known_networks_may_strand_a_device(content: Content) -> Iterator[Judged]:
    """A device whose only network is not from a profile loses the portal, and with it the way back."""
    for key in ("forceWiFiToAllowedNetworksOnly", "forceWiFiWhitelisting"):
        if is_on(content, key):
            yield warning("cuts off devices that have no Wi-Fi network from a profile.", key)


def _keys() -> dict[str, KeyOverlay]:
    keys = dict(_TITLES)
    keys["ratingRegion"] = KeyOverlay(
        title=keys["ratingRegion"].title,
        help=keys["ratingRegion"].help,
        values={
            "us": "United States", "au": "Australia", "ca": "Canada", "de": "Germany", "fr": "France", "ie": "Ireland",
            "jp": "Japan", "nz": "New Zealand", "gb": "United Kingdom",
        },
    )  # fmt: skip
    keys["safariAcceptCookies"] = KeyOverlay(
        title="Cookies",
        values={
            0.0: "Block all", 1.0: "Block cross-site tracking", 1.5: "Block cross-site tracking (1.5)",
            2.0: "Leave it to the user",
        },
    )  # fmt: skip
    for name, what, levels in (
        ("ratingApps", "Apps", "0 none, 100 4+, 200 9+, 300 12+, 600 17+, 1000 all."),
        ("ratingMovies", "Movies", "In US terms: 0 none, 100 G, 200 PG, 300 PG-13, 400 R, 500 NC-17, 1000 all."),
        ("ratingTVShows", "TV shows", "In US terms: 0 none, 100 Y, 200 Y7, 300 G, 400 PG, 500 14, 600 MA, 1000 all."),
    ):
        keys[name] = KeyOverlay(title=f"{what} up to", help=levels)
    for whole, details in (
        ("allowAssistant", ("allowAssistantWhileLocked", "allowAssistantUserGeneratedContent")),
        ("allowSafari", ("safariAllowAutoFill", "safariAllowJavaScript", "safariAllowPopups", "safariForceFraudWarning", "safariAcceptCookies")),
        ("allowGameCenter", ("allowAddingGameCenterFriends", "allowMultiplayerGaming")),
    ):  # fmt: skip
        keys = shown(keys, Condition(whole, (1,), unset=True), only=details)
    return keys


_RESTRICTIONS = PayloadOverlay(
    groups=_GROUPS,
    keys=_keys(),
    rules=(
        only_some_apps_or_not_some,
        a_switch_has_its_delay,
        what_is_off_needs_no_detail,
        contacts_rules_need_separation,
        only_known_networks_may_strand_a_device,
    ),
)

OVERLAYS = {"com.apple.applicationaccess": _RESTRICTIONS}
