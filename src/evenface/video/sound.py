"""The sound of a video goes along into a new MP4: its packets are copied as they are where the file takes them, else turned into AAC."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from evenface.video.reading import Video, load_av, open_container


if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

COPIED = frozenset({"aac", "ac3", "alac", "eac3", "mp3", "mp3float", "opus"})
"""The decoders of sound that players know in an MP4; other sound (Vorbis, PCM, WMA ...) is encoded anew."""

_SLOWEST_MP3 = 16000  # samples/s that an MP4 may hold
_RATES = frozenset({96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350})  # samples/s that AAC has
_BITS = 160_000  # per second of AAC


class Sound:
    """Reads the first sound of a video and writes it into a new file, a stretch at a time.

    Args:
        video: whose sound it is.
        out: the new file, before anything was written to it.

    Attributes:
        how: "copied", "encoded", or "none" where there is no sound that can be read.
    """

    def __init__(self, video: Video, out: OutputContainer) -> None:
        self._error = load_av().error.FFmpegError
        self._origin = video.origin
        self._out = out
        self._file = open_container(video.path)
        self.how: Literal["copied", "encoded", "none"] = "none"
        self._packets: Iterator[Packet[AudioStream]] = iter(())
        self._held: Packet[AudioStream] | None = None  # read, but of a time that was not asked for yet
        self._last = -(1 << 62)  # the time stamp of the last copied packet
        streams = [stream for stream in self._file.streams.audio if stream.codec_context is not None and stream.rate]
        if streams:
            source = streams[0]
            self._packets = self._file.demux(source)
            self.how = "copied" if _is_copied(source) else "encoded"
            self._stream: Any = out.add_stream_from_template(source) if self.how == "copied" else _encoder(source, out)

    def write(self, start: float, end: float) -> None:
        """Goes on to `end`.

        Args:
            start: seconds of the video at which the new file begins; the same in each call.
            end: seconds of the video; infinity for all the rest.
        """
        while True:
            packet, self._held = self._held or self._read(), None
            if packet is None:
                return
            time = float((_stamp(packet) or 0) * packet.time_base) - self._origin
            if time >= end:
                self._held = packet
                return
            # What ends just where the picture begins is kept: AAC needs the packet before to sound right.
            if time + float((packet.duration or 0) * packet.time_base) > start - 1e-3:
                self._pass_on(packet, self._origin + start)

    def close(self) -> None:
        """Ends the reading; what the encoder still holds goes into the new file."""
        if self.how == "encoded":
            self._out.mux(self._stream.encode(None))
        self.abort()

    def abort(self) -> None:
        """Ends the reading at once."""
        self._packets, self._held = iter(()), None
        self._file.close()

    def _read(self) -> Packet[AudioStream] | None:
        """The next packet; None at the end, or where the file is damaged: whoever reads the pictures hears of that."""
        try:
            return next((packet for packet in self._packets if packet.size), None)
        except self._error:
            return None

    def _pass_on(self, packet: Packet[AudioStream], zero: float) -> None:
        """Writes a packet; `zero` is the time on the old file's clock at which the new one begins, in seconds."""
        if self.how == "encoded":
            self._encode(packet, zero)
            return
        stamp = _stamp(packet)
        shift = round(zero / packet.time_base)
        if stamp is None or stamp - shift <= self._last:  # a clock that stands still or jumps back cannot be written
            return
        self._last = packet.pts = packet.dts = stamp - shift
        packet.stream = self._stream
        self._out.mux(packet)

    def _encode(self, packet: Packet[AudioStream], zero: float) -> None:
        try:
            frames = packet.decode()
        except self._error:  # one damaged packet is a moment of silence
            return
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                frame.pts = round((frame.pts * frame.time_base - Fraction(zero)) * frame.sample_rate)
                frame.time_base = Fraction(1, frame.sample_rate)
            self._out.mux(self._stream.encode(frame))


def _stamp(packet: Packet[AudioStream]) -> int | None:
    return packet.dts if packet.pts is None else packet.pts


def _is_copied(source: AudioStream) -> bool:
    name = source.codec_context.codec.name
    return name in COPIED and not (name.startswith("mp3") and source.rate < _SLOWEST_MP3)


def _encoder(source: AudioStream, out: OutputContainer) -> AudioStream:
    stream = out.add_stream("aac", rate=source.rate if source.rate in _RATES else 48000, bit_rate=_BITS)
    # Not the source's own: PCM often names no more than a number of channels ("2 channels"), which the encoder does not take.
    stream.layout = "mono" if source.codec_context.layout.nb_channels == 1 else "stereo"
    return stream
