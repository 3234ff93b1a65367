"""Access: may this key of this account call this model at all?

In: the gates, the client's address, the model. Out: the first refusal that holds, or None.
Moves nothing, counts nothing. The edge asks `check_caller` right after authentication; `admit`
asks both again under the account's lock, where the settings are sure.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.admission.state import AccountGate, KeyGate, Tier
from farebox.admission.tiers import lowest_reaching

IpNetwork = IPv4Network | IPv6Network

KEY_REVOKED = Refusal(RefusalCode.KEY_REVOKED, "This API key was revoked. Use another key, or create one.")
KEY_EXPIRED = Refusal(RefusalCode.KEY_EXPIRED, "This API key has expired. Create a new key, or extend this one.")
ACCOUNT_SUSPENDED = Refusal(RefusalCode.ACCOUNT_SUSPENDED, "This account is suspended. Contact the operator.")
KEY_DISABLED = Refusal(RefusalCode.KEY_DISABLED, "This API key is switched off. Switch it on, or use another key.")
IP_NOT_ALLOWED = Refusal(
    RefusalCode.IP_NOT_ALLOWED,
    "This API key may not be used from this address. Add the address to the key's IP list, or call from one on it.",
)


def check_caller(account: AccountGate, key: KeyGate, client_ip: str | None, *, now_us: int) -> Refusal | None:
    """May this key be used now, from this address (as `trusted_proxies` established it)?"""
    if key.revoked_us is not None:
        return KEY_REVOKED
    if key.expires_us is not None and key.expires_us <= now_us:
        return KEY_EXPIRED
    if account.suspended:
        return ACCOUNT_SUSPENDED
    if not key.enabled:
        return KEY_DISABLED
    if key.ip_ranges and not ip_is_allowed(key.ip_ranges, client_ip):
        return IP_NOT_ALLOWED
    return None


def check_model(key: KeyGate, tier: Tier, *, model: str, model_rank: int, tiers: tuple[Tier, ...]) -> Refusal | None:
    """May this key call `model` (its id; aliases are resolved before) and does the account's tier reach it?"""
    if key.models and model not in key.models:
        return Refusal(
            RefusalCode.MODEL_NOT_ALLOWED,
            f"This API key may not call {model}. Add the model to the key's list, or use another key.",
            param="model",
        )
    if model_rank > tier.rank:
        return _tier_restricted(tier, model, lowest_reaching(tiers, model_rank))
    return None


def parse_ip_range(text: str) -> IpNetwork:
    """Read one address or CIDR range, IPv4 or IPv6; host bits are ignored. Raises `ValueError`."""
    return ip_network(text.strip(), strict=False)


@lru_cache(maxsize=4096)
def ip_is_allowed(ip_ranges: tuple[str, ...], client_ip: str | None) -> bool:
    """Whether the address lies in one of the ranges. An unknown address, and an unreadable range, never match."""
    address = _parse_address(client_ip)
    return address is not None and any(address in network for network in _parse_ranges(ip_ranges))


@lru_cache(maxsize=1024)
def _parse_ranges(ip_ranges: tuple[str, ...]) -> tuple[IpNetwork, ...]:
    networks: list[IpNetwork] = []
    for text in ip_ranges:
        try:
            networks.append(parse_ip_range(text))
        except ValueError:
            continue
    return tuple(networks)


def _parse_address(client_ip: str | None) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(client_ip or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _tier_restricted(tier: Tier, model: str, needed: Tier | None) -> Refusal:
    help_text = f"It needs tier {needed.name} or above." if needed else "No tier includes it at present."
    return Refusal(
        RefusalCode.MODEL_TIER_RESTRICTED,
        f"{model} is not part of tier {tier.name}. {help_text}",
        param="model",
        tier=needed.name if needed else None,
    )
