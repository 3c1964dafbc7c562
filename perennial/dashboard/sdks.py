"""The lines to paste into an app so that its unmodified SDK talks to this installation, and what goes wrong on the way there.

Where the address goes and what follows it differs by SDK; the facts are those of purchases-js 1.63, purchases-ios 5, purchases-android 10.
"""

from perennial.base.value import replace, value


@value
class Snippet:
    """`code` is complete but for the import of the package; `traps` are sentences."""

    slug: str
    name: str
    package: str
    code: str
    traps: tuple[str, ...]


_NO_PATH = "The address may have no path: everything after the host is dropped."
_UNVERIFIED = "Entitlement verification must be off: the SDK only trusts its vendor's signing key, and answers here are signed with ours."


def snippets(base_url: str, key: str) -> list[Snippet]:
    """For the Test Store's key: it works in every SDK without a store account."""
    base_url = base_url.rstrip("/")
    emulator = base_url.replace("127.0.0.1", "10.0.2.2").replace("localhost", "10.0.2.2")
    return [replace(sdk, code=sdk.code.format(url=base_url, emulator=emulator, key=key)) for sdk in _SDKS]


_JS = """\
import {{ Purchases }} from "@revenuecat/purchases-js";

const purchases = Purchases.configure({{
  apiKey: "{key}",
  appUserId: "ada",
  httpConfig: {{ proxyURL: "{url}", eventsURL: "{url}" }},
}});
console.log(await purchases.getCustomerInfo());
"""

_SWIFT = """\
import RevenueCat

Purchases.proxyURL = URL(string: "{url}")!
Purchases.configure(with: Configuration.Builder(withAPIKey: "{key}")
    .with(appUserID: "ada")
    .with(entitlementVerificationMode: .disabled)
    .build())
"""

_KOTLIN = """\
import com.revenuecat.purchases.*
import java.net.URL

Purchases.proxyURL = URL("{emulator}")
Purchases.configure(
    PurchasesConfiguration.Builder(context, "{key}")
        .appUserID("ada")
        .entitlementVerificationMode(EntitlementVerificationMode.DISABLED)
        .build()
)
"""

_FLUTTER = """\
import 'dart:io' show Platform;
import 'package:purchases_flutter/purchases_flutter.dart';

await Purchases.setProxyURL(Platform.isAndroid ? '{emulator}' : '{url}');
await Purchases.configure(PurchasesConfiguration('{key}')
  ..appUserID = 'ada'
  ..entitlementVerificationMode = EntitlementVerificationMode.disabled);
"""

_REACT_NATIVE = """\
import {{ Platform }} from "react-native";
import Purchases from "react-native-purchases";

await Purchases.setProxyURL(Platform.OS === "android" ? "{emulator}" : "{url}");
Purchases.configure({{
  apiKey: "{key}",
  appUserID: "ada",
  entitlementVerificationMode: Purchases.ENTITLEMENT_VERIFICATION_MODE.DISABLED,
}});
"""

_OF_HYBRIDS = (
    "setProxyURL comes before configure, and is awaited.",
    _NO_PATH,
    _UNVERIFIED,
    "Plain http: the same settings as for Swift and Kotlin.",
)

_SDKS = (
    Snippet(
        slug="js",
        name="JavaScript",
        package="@revenuecat/purchases-js",
        code=_JS,
        traps=(
            "No slash at the end of proxyURL: the SDK refuses it.",
            "eventsURL must be set too, or usage events go to the vendor. It works but is missing from the types: TypeScript wants a cast.",
        ),
    ),
    Snippet(
        slug="swift",
        name="Swift",
        package="purchases-ios",
        code=_SWIFT,
        traps=(
            _NO_PATH,
            _UNVERIFIED,
            "Plain http needs NSAppTransportSecurity → NSAllowsLocalNetworking in Info.plist. A release build refuses a test_ key.",
        ),
    ),
    Snippet(
        slug="kotlin",
        name="Kotlin",
        package="com.revenuecat.purchases:purchases",
        code=_KOTLIN,
        traps=(
            "10.0.2.2 is this machine as the Android emulator sees it; on a phone: adb reverse, and 127.0.0.1.",
            'Plain http needs android:usesCleartextTraffic="true" in the debug manifest. A release build refuses a test_ key.',
            _NO_PATH,
            _UNVERIFIED,
        ),
    ),
    Snippet(
        slug="flutter",
        name="Flutter",
        package="purchases_flutter",
        code=_FLUTTER,
        traps=_OF_HYBRIDS,
    ),
    Snippet(
        slug="react-native",
        name="React Native",
        package="react-native-purchases",
        code=_REACT_NATIVE,
        traps=_OF_HYBRIDS,
    ),
)
