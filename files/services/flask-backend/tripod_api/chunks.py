"""How far a chunked body has come.

It only tells when the whole body is there, and how large it is; gunicorn's parser judges it afterwards. So whatever
looks wrong counts as the end: what follows is the parser's answer.
"""

from __future__ import annotations

LINE_BYTES = 4096


class Chunks:
    """The state of one body, fed piece by piece; each byte is looked at once.

    Attributes:
        size: Bytes of the body so far, as the lengths of its chunks promise them.
        done: Whether the end was met.
    """

    def __init__(self) -> None:
        self.size = 0
        self.done = False
        self._line = bytearray()
        self._skip = 0
        self._trailer = False

    def feed(self, data: bytes) -> None:
        """Go on with what came."""
        at = 0
        while at < len(data) and not self.done:
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            end = data.find(b"\n", at)
            self._line += data[at : len(data) if end < 0 else end + 1]
            if end < 0:
                self.done = len(self._line) > LINE_BYTES
                return
            at = end + 1
            self._end_of_line(bytes(self._line))
            self._line.clear()

    def _end_of_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n") or len(line) > LINE_BYTES:
            self.done = True
        elif self._trailer:
            self.done = line == b"\r\n"
        else:
            self._chunk(line.split(b";")[0].strip())

    def _chunk(self, length: bytes) -> None:
        try:
            size = int(length, 16)
        except ValueError:
            self.done = True
            return
        self.size += size
        # The data, and the line end behind it.
        self._skip = size + 2
        if size <= 0:
            self._skip = 0
            self._trailer = True
