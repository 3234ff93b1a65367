"""Sliding windows, packed into a few bytes of the account's or the key's row.

In: the packed bytes and the time. Out: requests and tokens of the last minute, requests of
the last day, and the bytes to store. Times are microseconds since 1970 (UTC), never running
backwards for one row. Knows no limit, no tier and no clock.

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


class Windows:
    """The windows of one account or key at one moment. Reading is free of writing: only `pack` makes bytes."""

    __slots__ = ("_hours", "_now_us", "_second", "_seconds", "requests_day", "requests_minute", "tokens_minute")

    requests_minute: int
    tokens_minute: int
    requests_day: int

    def __init__(self, packed: bytes, now_us: int) -> None:
        """Unpack and forget every bucket that has left its window at `now_us`."""
        self._now_us = now_us
        self._second = second = now_us // SECOND_US
        if not packed:
            self.requests_minute = self.tokens_minute = self.requests_day = 0
            self._hours = self._seconds = b""
            return
        split, self.requests_minute, self.tokens_minute, self.requests_day = _HEAD.unpack_from(packed)
        self._hours = packed[_HEAD.size : split]
        self._seconds = packed[split:]
        if self._seconds and _STAMP.unpack_from(self._seconds)[0] <= second - SECONDS_COUNTED:
            self._forget_seconds(second - SECONDS_COUNTED)
        if self._hours and _STAMP.unpack_from(self._hours)[0] <= second // HOUR_S - HOURS_COUNTED:
            self._forget_hours(second // HOUR_S - HOURS_COUNTED)

    def add(self, requests: int, tokens: int) -> None:
        """Count `requests` and `tokens` in the bucket of this moment."""
        self.requests_minute += requests
        self.tokens_minute += tokens
        self.requests_day += requests
        self._seconds = _with_second(self._seconds, self._second, requests, tokens)
        self._hours = _with_hour(self._hours, self._second // HOUR_S, requests)

    def correct_tokens(self, admitted_us: int, delta: int) -> None:
        """Change the tokens of the bucket of `admitted_us` by `delta`, never below zero.

        Nothing happens if that bucket has left the window or was never counted here.
        """
        at = self._offset_of(admitted_us // SECOND_US)
        if at is None:
            return
        second, requests, tokens = _SECOND.unpack_from(self._seconds, at)
        corrected = max(0, tokens + delta)
        self.tokens_minute += corrected - tokens
        after = self._seconds[at + _SECOND.size :]
        self._seconds = self._seconds[:at] + _SECOND.pack(second, requests, corrected) + after

    def pack(self) -> bytes:
        """The bytes to store; none when nothing is counted."""
        if not self._hours and not self._seconds:
            return b""
        split = _HEAD.size + len(self._hours)
        head = _HEAD.pack(split, self.requests_minute, self.tokens_minute, self.requests_day)
        return head + self._hours + self._seconds

    @property
    def minute_empty_us(self) -> int:
        """When the minute will hold nothing if nothing is added: now, if it holds nothing."""
        if not self._seconds:
            return self._now_us
        newest: int = _STAMP.unpack_from(self._seconds, len(self._seconds) - _SECOND.size)[0]
        return (newest + SECONDS_COUNTED) * SECOND_US

    def until_requests_minute_s(self, most: int) -> int:
        """Whole seconds (at least 1) until at most `most` requests are left in the minute, if nothing is added."""
        excess = self.requests_minute - most
        for second, requests, _ in _SECOND.iter_unpack(self._seconds):
            excess -= requests
            if excess <= 0:
                return self._seconds_until(second + SECONDS_COUNTED)
        return 1

    def until_tokens_minute_s(self, most: int) -> int:
        """Whole seconds (at least 1) until at most `most` tokens are left in the minute, if nothing is added."""
        excess = self.tokens_minute - most
        for second, _, tokens in _SECOND.iter_unpack(self._seconds):
            excess -= tokens
            if excess <= 0:
                return self._seconds_until(second + SECONDS_COUNTED)
        return 1

    def until_requests_day_s(self, most: int) -> int:
        """Whole seconds (at least 1) until at most `most` requests are left in the day, if nothing is added."""
        excess = self.requests_day - most
        for hour, requests in _HOUR.iter_unpack(self._hours):
            excess -= requests
            if excess <= 0:
                return self._seconds_until((hour + HOURS_COUNTED) * HOUR_S)
        return 1

    def _seconds_until(self, second: int) -> int:
        return max(1, -(-(second * SECOND_US - self._now_us) // SECOND_US))

    def _offset_of(self, second: int) -> int | None:
        """Where the bucket of `second` is. Each second has one bucket at most, so it is at most
        `newest - second` buckets before the newest: on a busy row the first look finds it."""
        seconds = self._seconds
        if not seconds:
            return None
        last = len(seconds) - _SECOND.size
        newest: int = _STAMP.unpack_from(seconds, last)[0]
        at = max(0, last - (newest - second) * _SECOND.size)
        while at <= last:
            stamp: int = _STAMP.unpack_from(seconds, at)[0]
            if stamp >= second:
                return at if stamp == second else None
            at += _SECOND.size
        return None

    def _forget_seconds(self, last_outside: int) -> None:
        gone = 0
        for second, requests, tokens in _SECOND.iter_unpack(self._seconds):
            if second > last_outside:
                break
            self.requests_minute -= requests
            self.tokens_minute -= tokens
            gone += _SECOND.size
        self._seconds = self._seconds[gone:]

    def _forget_hours(self, last_outside: int) -> None:
        gone = 0
        for hour, requests in _HOUR.iter_unpack(self._hours):
            if hour > last_outside:
                break
            self.requests_day -= requests
            gone += _HOUR.size
        self._hours = self._hours[gone:]


def _with_second(seconds: bytes, second: int, requests: int, tokens: int) -> bytes:
    if seconds:
        newest, counted, counted_tokens = _SECOND.unpack_from(seconds, len(seconds) - _SECOND.size)
        if newest >= second:
            return seconds[: -_SECOND.size] + _SECOND.pack(newest, counted + requests, counted_tokens + tokens)
    return seconds + _SECOND.pack(second, requests, tokens)


def _with_hour(hours: bytes, hour: int, requests: int) -> bytes:
    if hours:
        newest, counted = _HOUR.unpack_from(hours, len(hours) - _HOUR.size)
        if newest >= hour:
            return hours[: -_HOUR.size] + _HOUR.pack(newest, counted + requests)
    return hours + _HOUR.pack(hour, requests)
