"""Sliding windows, packed into a few bytes of the account's or the key's row.

In: the packed bytes and the time. Out: requests and tokens of the last minute, requests of
the last day, and the bytes to store. A row is unpacked and packed once a batch, whatever is counted
in between. Times are microseconds since 1970 (UTC), never running backwards for one row. Knows no
limit, no tier and no clock.

Requests and tokens count in buckets of one second, requests of the day in buckets of one
hour. A bucket counts whole as long as any part of it can lie in the window: the minute is
61 buckets, the day 25 (decision 0001). So what is counted is never less than what happened
in any 60 seconds or 24 hours.

Only buckets that hold something are stored, oldest first, after a head with their running
sums: a quiet account takes a few bytes, an idle one none, and reading the sums never walks
the buckets.
"""

from __future__ import annotations

from struct import Struct

SECONDS_COUNTED = 61
HOURS_COUNTED = 25
SECOND_US = 1_000_000
HOUR_S = 3600

_HEAD = Struct("<HIQI")
"""Where the seconds begin; requests and tokens of the minute; requests of the day."""
_HOUR = Struct("<II")
"""Hour since 1970, requests."""
_SECOND = Struct("<IIQ")
"""Second since 1970, requests, tokens."""
_STAMP = Struct("<I")
_HEAD_SIZE, _HOUR_SIZE, _SECOND_SIZE = _HEAD.size, _HOUR.size, _SECOND.size


class Windows:
    """The windows of one account or key. Reading is free of writing: only `pack` makes bytes.

    The newest bucket of each kind is at hand as numbers, since nearly everything happens in it.
    """

    __slots__ = (
        "_hour", "_hour_requests", "_hours", "_now_us", "_second", "_second_requests", "_second_tokens", "_seconds",
        "requests_day", "requests_minute", "tokens_minute",
    )  # fmt: skip

    requests_minute: int
    tokens_minute: int
    requests_day: int

    def __init__(self, packed: bytes = b"", now_us: int = 0) -> None:
        """Unpack and forget every bucket that has left its window at `now_us`."""
        self._now_us = now_us
        if not packed:
            self.requests_minute = self.tokens_minute = self.requests_day = 0
            self._hours = self._seconds = b""
            # No bucket: that of 1970, in which nothing was counted.
            self._second = self._second_requests = self._second_tokens = self._hour = self._hour_requests = 0
            return
        split, self.requests_minute, self.tokens_minute, self.requests_day = _HEAD.unpack_from(packed)
        self._hour, self._hour_requests = _HOUR.unpack_from(packed, split - _HOUR_SIZE)
        self._hours = packed[_HEAD_SIZE : split - _HOUR_SIZE]
        self._second = self._second_requests = self._second_tokens = 0
        self._seconds = b""
        if len(packed) > split:
            self._second, self._second_requests, self._second_tokens = _SECOND.unpack_from(packed, -_SECOND_SIZE)
            self._seconds = packed[split:-_SECOND_SIZE]
        self._forget(now_us // SECOND_US)

    def at(self, now_us: int) -> Windows:
        """The same windows at a later moment; an earlier one changes nothing."""
        if now_us > self._now_us:
            self._now_us = now_us
            self._forget(now_us // SECOND_US)
        return self

    def add(self, requests: int, tokens: int) -> None:
        """Count `requests` and `tokens` in the bucket of this moment, or the newest if that is later."""
        self.requests_minute += requests
        self.tokens_minute += tokens
        self.requests_day += requests
        second = self._now_us // SECOND_US
        if second > self._second:
            self._begin(second)
        self._second_requests += requests
        self._second_tokens += tokens
        self._hour_requests += requests

    def correct_tokens(self, admitted_us: int, delta: int) -> None:
        """Change the tokens of the bucket of `admitted_us` by `delta`, never below zero.

        Nothing happens if that bucket has left the window or was never counted here.
        """
        second = admitted_us // SECOND_US
        if second == self._second:
            tokens = self._second_tokens
            corrected = tokens + delta if tokens + delta > 0 else 0
            self._second_tokens = corrected
            self.tokens_minute += corrected - tokens
        elif self._seconds:
            self._correct_older(second, delta)

    def pack(self) -> bytes:
        """The bytes to store; none when nothing is counted."""
        if not self._hour:
            return b""
        hours = self._hours + _HOUR.pack(self._hour, self._hour_requests)
        split = _HEAD_SIZE + len(hours)
        head = _HEAD.pack(split, self.requests_minute, self.tokens_minute, self.requests_day)
        if not self._second:
            return head + hours
        return head + hours + self._seconds + _SECOND.pack(self._second, self._second_requests, self._second_tokens)

    @property
    def minute_empty_us(self) -> int:
        """When the minute will hold nothing if nothing is added: now, if it holds nothing."""
        return (self._second + SECONDS_COUNTED) * SECOND_US if self._second else self._now_us

    def until_requests_minute_s(self, most: int) -> int:
        """Whole seconds (at least 1) until at most `most` requests are left in the minute, if nothing is added."""
        excess = self.requests_minute - most
        for second, requests, _ in self._all_seconds():
            excess -= requests
            if excess <= 0:
                return self._seconds_until(second + SECONDS_COUNTED)
        return 1

    def until_tokens_minute_s(self, most: int) -> int:
        """Whole seconds (at least 1) until at most `most` tokens are left in the minute, if nothing is added."""
        excess = self.tokens_minute - most
        for second, _, tokens in self._all_seconds():
            excess -= tokens
            if excess <= 0:
                return self._seconds_until(second + SECONDS_COUNTED)
        return 1

    def until_requests_day_s(self, most: int) -> int:
        """Whole seconds (at least 1) until at most `most` requests are left in the day, if nothing is added."""
        excess = self.requests_day - most
        for hour, requests in (*_HOUR.iter_unpack(self._hours), (self._hour, self._hour_requests)):
            excess -= requests
            if excess <= 0:
                return self._seconds_until((hour + HOURS_COUNTED) * HOUR_S)
        return 1

    def _all_seconds(self) -> tuple[tuple[int, ...], ...]:
        newest = (self._second, self._second_requests, self._second_tokens)
        return (*_SECOND.iter_unpack(self._seconds), newest)

    def _begin(self, second: int) -> None:
        """A new bucket for this second, and for its hour where that is new too."""
        if self._second:
            self._seconds += _SECOND.pack(self._second, self._second_requests, self._second_tokens)
        self._second, self._second_requests, self._second_tokens = second, 0, 0
        hour = second // HOUR_S
        if hour > self._hour:
            if self._hour:
                self._hours += _HOUR.pack(self._hour, self._hour_requests)
            self._hour, self._hour_requests = hour, 0

    def _correct_older(self, second: int, delta: int) -> None:
        at = self._offset_of(second)
        if at is None:
            return
        _, requests, tokens = _SECOND.unpack_from(self._seconds, at)
        corrected = max(0, tokens + delta)
        self.tokens_minute += corrected - tokens
        after = self._seconds[at + _SECOND_SIZE :]
        self._seconds = self._seconds[:at] + _SECOND.pack(second, requests, corrected) + after

    def _seconds_until(self, second: int) -> int:
        return max(1, -(-(second * SECOND_US - self._now_us) // SECOND_US))

    def _offset_of(self, second: int) -> int | None:
        """Where the bucket of `second` is among the older ones. Each second has one bucket at most, so it is at
        most `newest - second` buckets before the newest: on a busy row the first look finds it."""
        seconds = self._seconds
        at = max(0, len(seconds) - (self._second - second) * _SECOND_SIZE)
        while at < len(seconds):
            stamp: int = _STAMP.unpack_from(seconds, at)[0]
            if stamp >= second:
                return at if stamp == second else None
            at += _SECOND_SIZE
        return None

    def _forget(self, second: int) -> None:
        """Drop what has left its window at `second`."""
        outside, outside_hour = second - SECONDS_COUNTED, second // HOUR_S - HOURS_COUNTED
        if self._second <= outside:
            self.requests_minute = self.tokens_minute = 0
            self._second = self._second_requests = self._second_tokens = 0
            self._seconds = b""
        elif self._seconds and _STAMP.unpack_from(self._seconds)[0] <= outside:
            self._forget_seconds(outside)
        if self._hour <= outside_hour:
            self.requests_day = self._hour = self._hour_requests = 0
            self._hours = b""
        elif self._hours and _STAMP.unpack_from(self._hours)[0] <= outside_hour:
            self._forget_hours(outside_hour)

    def _forget_seconds(self, last_outside: int) -> None:
        gone = 0
        for second, requests, tokens in _SECOND.iter_unpack(self._seconds):
            if second > last_outside:
                break
            self.requests_minute -= requests
            self.tokens_minute -= tokens
            gone += _SECOND_SIZE
        self._seconds = self._seconds[gone:]

    def _forget_hours(self, last_outside: int) -> None:
        gone = 0
        for hour, requests in _HOUR.iter_unpack(self._hours):
            if hour > last_outside:
                break
            self.requests_day -= requests
            gone += _HOUR_SIZE
        self._hours = self._hours[gone:]
