"""What admission reads and writes: an account's and a key's gates, tiers, budgets, a request.

Values only. Times are microseconds since 1970 (UTC), amounts nanocredits. `None` as a
limit means unlimited, never zero.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from farebox.admission.limits import Windows
from farebox.ids import AccountId, KeyId
from farebox.ledger.commands import Books
from farebox.money import Nano
from farebox.tariff.billing_mode import BillingMode


class Period(StrEnum):
    """The span a cap or budget counts in; calendar periods start in UTC, weeks on Monday."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    LIFETIME = "lifetime"


class BudgetAction(StrEnum):
    WARN = "warn"
    BLOCK = "block"


class OnLowCredits(StrEnum):
    CLAMP = "clamp"
    REFUSE = "refuse"


class LimitScope(StrEnum):
    """Whether a tier's limits count over the whole account or for each of its keys."""

    ACCOUNT = "account"
    KEY = "key"


class Limits(msgspec.Struct, frozen=True):
    """How much may be asked for; `None` is unlimited."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_per_day: int | None = None
    concurrency: int | None = None


UNLIMITED = Limits()


class Tier(msgspec.Struct, frozen=True):
    """A tier is data: its rank orders access, its priority orders waiting (4 first)."""

    name: str
    rank: int
    priority: int
    limits: Limits = UNLIMITED
    webhooks: bool = False
    max_api_keys: int | None = None
    max_file_bytes: int | None = None
    max_storage_bytes: int | None = None


class Budget(msgspec.Struct, frozen=True):
    """A cap or budget with its counters, which count a hold and its charge in the period of its admission.

    The settings come first, the counters after them; an edit replaces settings only (`budgets.edited`).
    """

    id: str
    limit: Nano
    period: Period = Period.LIFETIME
    action: BudgetAction = BudgetAction.BLOCK
    thresholds: tuple[int, ...] = ()
    """Whole percentages of the limit that are announced once a period, such as 50, 80, 100."""
    period_start_us: int = 0
    """What was admitted before is not in `used`: the start of the period, or of the budget if that is later."""
    used: int = 0
    """Holds under way plus charges of this period."""
    held: int = 0
    """The part of `used` that is holds under way; `used - held` is charged for good."""
    announced: int = 0
    """The highest threshold already announced in this period."""
    earlier_start_us: int = 0
    earlier_used: int = 0
    """The period before, whose last requests may still be under way."""


class AccountGate(msgspec.Struct):
    """The part of the account row that admission reads and writes, beside its books."""

    id: AccountId
    tier: str
    settings_version: int = 1
    """Grows with every change of tier, status, budgets or limits by a command."""
    suspended: bool = False
    running: int = 0
    """Open holds of requests under way."""
    windows: Windows = msgspec.field(default_factory=Windows)
    budgets: tuple[Budget, ...] = ()
    now_us: int = 0
    """The last `now` used for this account; time never runs backwards for it."""


class KeyGate(msgspec.Struct):
    """The part of the API key row that admission reads and writes."""

    id: KeyId
    account_id: AccountId
    settings_version: int = 1
    enabled: bool = True
    revoked_us: int | None = None
    expires_us: int | None = None
    models: frozenset[str] = frozenset()
    """Model ids allowed (aliases resolved); empty allows every model."""
    ip_ranges: tuple[str, ...] = ()
    billing_mode: BillingMode = BillingMode.PAY_PER_USE_PRIORITY
    on_low_credits: OnLowCredits = OnLowCredits.CLAMP
    limits: Limits = UNLIMITED
    """The key's own, lower limits."""
    cap: Budget | None = None
    budgets: tuple[Budget, ...] = ()
    running: int = 0
    windows: Windows = msgspec.field(default_factory=Windows)
    """Kept when the key has limits of its own, or limits count per key."""
    spent: int = 0
    """Charged through this key, ever."""


class Rules(msgspec.Struct, frozen=True):
    """The operator's settings that admission follows."""

    tiers: tuple[Tier, ...]
    """Every tier, to name the one that would help."""
    limit_scope: LimitScope = LimitScope.ACCOUNT


class Gates(msgspec.Struct, gc=False):
    """All that one decision reads and writes, as the writer holds it under the account's lock.

    `account` and `key` are changed in place; `books` is only read (the ledger's machine moves credits).
    """

    account: AccountGate
    key: KeyGate
    books: Books
    tier: Tier
    rules: Rules


class AdmissionRequest(msgspec.Struct, frozen=True, gc=False):
    """All that admission must know of a request, worked out before the lock is taken.

    Prices are worst cases over every rate the request can meet, exact as a line:
    price(output) = ceil((input_numerator + output × output_numerator) / denominator).
    """

    model: str
    model_rank: int
    """The rank of the model's `min_tier`."""
    account_version: int
    """The account settings the caller's checks were made with; another version under the lock means: look again."""
    key_version: int
    input_tokens: int
    """The input bound, for the tokens-per-minute window."""
    input_numerator: int
    output_numerator: int
    denominator: int
    output_limit: int | None
    """The caller's own output limit, already times `n`; None if it named none."""
    output_max: int
    """The most the model can produce, times `n`; 0 where output has no price (calls, embeddings)."""
    choices: int = 1
    """`n`: a limit sent upstream is the held output divided by this."""
    may_extend: bool = False
    """A stream whose hold can grow as output flows (no invisible reasoning)."""
    ceiling: Nano | None = None
    """The request's own ceiling (`X-Max-Credits`)."""
    client_ip: str | None = None


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """The request may go upstream once its hold of `amount` is committed."""

    amount: Nano
    output_tokens: int | None
    """The output the hold covers; None where output has no price or limit."""
    clamped: bool
    """True: `output_tokens` is below what was asked or possible, and must be sent upstream as the limit
    (or, for a stream that may extend, is where the next extension is due)."""
    tokens_reserved: int
    priority: int


class Stale(msgspec.Struct, frozen=True, gc=False):
    """The caller checked the request against older settings than these: load again, ask again."""

    account_version: int
    key_version: int


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """A hold that ends, in the numbers admission must put right."""

    admitted_us: int
    tokens_reserved: int
    tokens_used: int
    """What counts against tokens per minute at last: cache reads left out by the caller; 0 if nothing came."""
    held: Nano
    charged: Nano
    late: bool = False
    """A late charge: the hold ended before and was settled then, so `held` and `tokens_reserved` are 0."""
