"""The stores' own pages where customers manage what they bought there."""

MANAGEMENT_URLS = {
    "app_store": "https://apps.apple.com/account/subscriptions",
    "mac_app_store": "https://apps.apple.com/account/subscriptions",
    "play_store": "https://play.google.com/store/account/subscriptions",
}
