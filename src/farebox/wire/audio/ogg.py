"""How long Ogg is: Opus by its packets; Vorbis by the position of its last page, and no shorter than its bytes."""

from __future__ import annotations

from farebox.wire.audio.samples import MOST_FRAMES, SampleCount

OPUS_RATE = 48_000
_HEAD_BYTES = 27
_MOST_BITS = 512_000
"""A second: Vorbis has no more, so a position that says otherwise is not believed."""
_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)


class _Stream:
    """One logical stream of a file."""

    __slots__ = ("first", "is_opus", "last", "rate", "size", "skipped")

    def __init__(self) -> None:
        self.first = True
        self.is_opus = False
        self.rate = 0
        """0: not audio we know."""
        self.last = 0
        self.size = 0
        self.skipped = 0


class OggCount(SampleCount):
    """See the module. Several streams one after the other are as long as all of them."""

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        super().__init__()
        self._streams: dict[bytes, _Stream] = {}

    @property
    def ms(self) -> int:
        vorbis = [_vorbis_ms(stream) for stream in self._streams.values() if stream.rate and not stream.is_opus]
        return super().ms + sum(vorbis)

    def read(self, held: bytes) -> int:
        at = 0
        while len(held) - at >= _HEAD_BYTES and not self.given_up:
            if held[at : at + 4] != b"OggS":
                found = held.find(b"OggS", at + 1)
                if found < 0:
                    return len(held) - 3
                at = found
                self.missed()
                continue
            table = at + _HEAD_BYTES
            content = table + held[at + 26]
            end = content + sum(held[table:content])
            if content > len(held) or end > len(held):
                return at
            self._page(held[at:content], held[content:end])
            at = end
        return at

    def _page(self, head: bytes, content: bytes) -> None:
        self.frames += 1
        stream = self._streams.get(head[14:18])
        if stream is None or head[5] & 2:
            stream = self._begun(head[14:18])
        at, size, continued = 0, 0, bool(head[5] & 1)
        for lace in head[_HEAD_BYTES:]:
            size += lace
            if lace < 255:
                if not continued:
                    self._packet(stream, content[at : at + size])
                at, size, continued = at + size, 0, False
        if size and not continued:
            self._packet(stream, content[at:])  # begins here, goes on in the next page
        if self.frames > MOST_FRAMES:
            self.given_up = True
        if not stream.is_opus:
            position = int.from_bytes(head[6:14], "little", signed=True)
            stream.last = max(stream.last, position)
            stream.size += len(content)

    def _begun(self, serial: bytes) -> _Stream:
        """A new stream; one under the serial of an earlier one does not take its place."""
        before = self._streams.pop(serial, None)
        if before is not None:
            self._streams[serial + b"%d" % len(self._streams)] = before
        stream = self._streams[serial] = _Stream()
        if len(self._streams) > 1024:
            self.given_up = True
        return stream

    def _packet(self, stream: _Stream, packet: bytes) -> None:
        if stream.first:
            stream.first = False
            if packet[:8] == b"OpusHead" and len(packet) >= 12:
                stream.is_opus, stream.rate = True, OPUS_RATE
                stream.skipped = int.from_bytes(packet[10:12], "little")
            elif packet[:7] == b"\x01vorbis" and len(packet) >= 16:
                stream.rate = int.from_bytes(packet[12:16], "little")
        elif stream.is_opus and packet and packet[:8] != b"OpusTags":
            count = opus_samples(packet)
            dropped = min(count, stream.skipped)
            stream.skipped -= dropped
            self.add(count - dropped, OPUS_RATE)


def opus_samples(packet: bytes) -> int:
    """Samples at 48 kHz of an Opus packet, by its first two bytes (RFC 6716, 3.1)."""
    config, code = packet[0] >> 3, packet[0] & 3
    spoken = _SILK[config & 3] if config < 12 else _HYBRID[config & 1]
    each = spoken if config < 16 else _CELT[config & 3]
    frames = (packet[1] & 63 if len(packet) > 1 else 0) if code == 3 else 1 + (code > 0)
    return each * frames


def _vorbis_ms(stream: _Stream) -> int:
    return max(-(-stream.last * 1000 // stream.rate), stream.size * 8000 // _MOST_BITS)
