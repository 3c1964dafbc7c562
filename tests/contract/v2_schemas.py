"""The vendor's objects as its reference documents them, field by field, in a notation of our own, and whether an answer is one.

`name` is always there, `name?` may be left out; `:str`, `:int`, `:num`, `:bool`, `:object` say what it is, `:a|b` one of these words,
`:[x]` a list, `:list(x)` a page of them, `:(x)` an object of that schema; a `?` at the end: or null. What follows `+` is ours.
"""

import re
from typing import Any

_STORES = "amazon|app_store|mac_app_store|play_store|promotional|stripe|rc_billing|external|roku|paddle|paypal|galaxy|test_store"

SCHEMAS: dict[str, str] = {
    "project": "id:str name:str created_at:int icon_url?:str? icon_url_large?:str? + perennial",
    "app": "id:str name:str created_at:int project_id:str "
    "type:amazon|app_store|mac_app_store|play_store|stripe|rc_billing|roku|paddle|test_store|microsoft|external "
    "amazon?:(package_fields) app_store?:(app_store) mac_app_store?:(mac_app_store) play_store?:(package_fields) stripe?:(stripe) "
    "rc_billing?:(rc_billing) roku?:(roku) paddle?:(paddle) + perennial",
    "public_api_key": "id:str key:str environment:production|sandbox app_id:str created_at:int",
    "store_kit_config_file": "contents:object",
    "product": "id:str store_identifier:str type:subscription|one_time|consumable|non_consumable|non_renewing_subscription state:active|inactive "
    "subscription?:(subscription_product)? one_time?:(one_time_product)? created_at:int app_id:str app?:(app)? display_name:str? + prices",
    "entitlement": "project_id:str id:str lookup_key:str display_name:str state:active|inactive created_at:int products?:list(product)?",
    "offering": "id:str lookup_key:str display_name:str state:active|inactive is_current:bool created_at:int project_id:str metadata?:object? "
    "packages?:list(package)?",
    "package": "id:str lookup_key:str display_name:str position:int? created_at:int products?:list(package_product)?",
    "customer": "id:str project_id:str first_seen_at:int last_seen_at:int? last_seen_app_version:str? last_seen_country:str? "
    "last_seen_platform:str? last_seen_platform_version:str? active_entitlements?:list(customer.active_entitlement)? experiment?:object? "
    "attributes?:list(customer.attribute)?",
    "customer.active_entitlement": "entitlement_id:str expires_at:int?",
    "customer.alias": "id:str created_at:int",
    "customer.attribute": "name:str value:str? updated_at:int",
    "subscription": "id:str customer_id:str original_customer_id:str product_id:str? starts_at:int current_period_starts_at:int "
    "current_period_ends_at:int? ends_at:int? gives_access:bool pending_payment:bool "
    "auto_renewal_status:will_renew|will_not_renew|will_change_product|will_pause|requires_price_increase_consent|has_already_renewed "
    "status:trialing|active|expired|in_grace_period|in_billing_retry|paused|unknown|incomplete total_revenue_in_usd:(amount) "
    "presented_offering_id:str? entitlements:list(entitlement) environment:production|sandbox "
    f"store:{_STORES} store_subscription_identifier:str ownership:purchased|family_shared pending_changes?:(pending_changes)? country?:str? "
    "management_url:str? + revenue",
    "subscription_transaction": "id:str purchased_at:int product_store_identifier?:str expiration_date?:int? effective_expiration_date?:int?",
    "purchase": "id:str customer_id:str original_customer_id:str product_id:str? purchased_at:int revenue_in_usd:(amount) quantity:int "
    "status:owned|refunded presented_offering_id:str? entitlements:list(entitlement) environment:production|sandbox "
    f"store:{_STORES} store_purchase_identifier:str ownership:purchased|family_shared country?:str?",
    "webhook_integration": "id:str project_id:str name:str url:str environment:production|sandbox? event_types:[str]? app_id:str? created_at:int "
    "+ perennial signing_secret",
    "virtual_currency": "project_id:str code:str name:str created_at:int description?:str? product_grants?:[(virtual_currency.product_grant)]?",
    "virtual_currency.product_grant": "product_ids:[str] amount:int trial_amount:int expire_at_cycle_end:bool",
    "virtual_currency_balance": "currency_code:str balance:int description?:str name?:str",
    "audit_log": "id:str project_id:str action_type:str target_type:str target_identifier:str actor_type:user|system|api_key "
    "actor_identifier:str occurred_at:int additional_data:object",
}
# Objects that do not say what they are.
PARTS: dict[str, str] = {
    "package_product": "product:(product) eligibility_criteria:all|google_sdk_lt_6|google_sdk_ge_6",
    "subscription_product": "duration:str? grace_period_duration:str? trial_duration:str?",
    "one_time_product": "is_consumable:bool?",
    "pending_changes": "product?:(product)?",
    "amount": "currency:str gross:num commission?:num tax:num proceeds:num",
    "package_fields": "package_name:str",
    "app_store": "bundle_id:str subscription_key_configured:bool app_store_connect_api_key_configured:bool",
    "mac_app_store": "bundle_id:str",
    "stripe": "stripe_account_id?:str?",
    "rc_billing": "stripe_account_id?:str? seller_company_name:str app_name?:str seller_company_support_email?:str? support_email?:str? "
    "default_currency:str",
    "roku": "roku_channel_id?:str? roku_channel_name?:str?",
    "paddle": "paddle_is_sandbox?:bool",
}
DELETED = ["app", "customer", "entitlement", "offering", "package", "paywall", "product", "virtual_currency", "webhook_integration"]

_FIELD = re.compile(r"(?P<name>\w+)(?P<optional>\??):(?P<kind>.+?)(?P<nullable>\??)")
_WORDS = {"str": str, "int": int, "bool": bool, "object": dict}


def check(thing: Any) -> None:
    """This object is as documented, and every one within it."""
    kind = thing["object"]
    if kind == "list":
        check_page(thing, None)
    elif "deleted_at" in thing:
        assert set(thing) == {"object", "id", "deleted_at"} and kind in DELETED and type(thing["deleted_at"]) is int, thing
    else:
        check_fields(thing, SCHEMAS[kind], kind)


def check_page(page: Any, of: str | None) -> None:
    assert set(page) == {"object", "items", "next_page", "url"} and page["object"] == "list", page
    assert isinstance(page["url"], str) and (page["next_page"] is None or page["next_page"].startswith(page["url"])), page
    for item in page["items"]:
        if of in PARTS or (of is None and "object" not in item):
            check_fields(item, PARTS[of or "package_product"], of or "package_product")
        else:
            assert of is None or item["object"] == of, item
            check(item)


def check_fields(thing: Any, schema: str, kind: str) -> None:
    documented, _, ours = schema.partition("+")
    names = {"object"} if "object" in thing else set()
    for field in documented.split():
        found = _FIELD.fullmatch(field)
        assert found is not None, f"{field} is not in our notation"
        name = found["name"]
        names.add(name)
        if name in thing:
            if not (thing[name] is None and found["nullable"]):
                check_value(thing[name], found["kind"], f"{kind}.{name}")
        else:
            assert found["optional"], f"{kind}.{name} is missing"
    assert set(thing) <= names | set(ours.split()), f"{kind} has {set(thing) - names - set(ours.split())}"


def check_value(content: Any, kind: str, where: str) -> None:
    match kind[0], kind[-1]:
        case "(", ")":
            part = kind[1:-1]
            schema = PARTS.get(part) or SCHEMAS[part]
            assert isinstance(content, dict), where
            check_fields(content, schema, part)
        case "[", "]":
            for one in content:
                check_value(one, kind[1:-1], where)
        case _ if kind.startswith("list("):
            check_page(content, kind[5:-1])
        case _ if kind == "num":
            assert type(content) in (int, float), (where, content)
        case _ if kind in _WORDS:
            assert type(content) is _WORDS[kind], (where, content)
        case _:
            assert content in kind.split("|"), (where, content)
