"""Virtual currencies, what products give of them, and what customers have."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from perennial.api.v2.wire.common import Id

Code = Annotated[str, Meta(min_length=1, max_length=10, pattern="^[a-zA-Z0-9_]+$")]
CurrencyName = Annotated[str, Meta(min_length=1, max_length=50)]
CurrencyDescription = Annotated[str, Meta(min_length=1, max_length=1500)]
GrantedAmount = Annotated[int, Meta(ge=1, le=2_000_000_000)]
TrialAmount = Annotated[int, Meta(ge=0, le=2_000_000_000)]
AdjustedAmount = Annotated[int, Meta(ge=-2_000_000_000, le=2_000_000_000)]
GrantingProducts = Annotated[list[Id], Meta(min_length=1, max_length=500)]


class VirtualCurrencyProductGrant(Struct):
    product_ids: list[str]
    amount: int
    trial_amount: int
    expire_at_cycle_end: bool
    object: Literal["virtual_currency.product_grant"] = "virtual_currency.product_grant"


class VirtualCurrency(Struct):
    project_id: str
    code: str
    name: str
    created_at: int
    description: str | None
    product_grants: list[VirtualCurrencyProductGrant]
    object: Literal["virtual_currency"] = "virtual_currency"


class VirtualCurrencyProductGrantInput(Struct):
    product_ids: GrantingProducts
    amount: GrantedAmount
    trial_amount: TrialAmount | None = None
    expire_at_cycle_end: bool | None = None


ProductGrants = Annotated[list[VirtualCurrencyProductGrantInput], Meta(max_length=500)]


class VirtualCurrencyCreate(Struct):
    code: Code
    name: CurrencyName
    description: CurrencyDescription | None = None
    product_grants: ProductGrants | None = None


class VirtualCurrencyUpdate(Struct):
    """What is left out stays; null removes."""

    name: CurrencyName | UnsetType = UNSET
    description: CurrencyDescription | UnsetType | None = UNSET
    product_grants: ProductGrants | UnsetType | None = UNSET


class VirtualCurrencyBalance(Struct):
    currency_code: str
    balance: int
    name: str
    description: str | UnsetType = UNSET
    object: Literal["virtual_currency_balance"] = "virtual_currency_balance"


class BalancesAdjust(Struct):
    """By code, how much is added, or where it is negative, taken."""

    adjustments: Annotated[dict[Code, AdjustedAmount], Meta(min_length=1, max_length=100)]
    reference: Annotated[str, Meta(max_length=1500)] | None = None
