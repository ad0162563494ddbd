"""Answers that are sent a line at a time, while what they tell happens."""

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Nobody on the way keeps lines back: nginx collects an answer unless it is told not to (proxy_buffering)."""


def send_lines(lines: AsyncIterator[str]) -> StreamingResponse:
    """The answer that sends each of `lines`, a JSON object or nothing, as soon as it is there."""
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=HEADERS)
