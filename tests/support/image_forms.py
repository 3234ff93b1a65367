"""Forms with images, as the official clients write them."""

from __future__ import annotations

from tests.support.forms import BOUNDARY, CONTENT_TYPE, END, field

from farebox.upstream.sandbox_images import png

FORM = {"content-type": CONTENT_TYPE}
PNG = png(64, 48, b"abc")


def image_form(
    fields: dict[str, str],
    *files: tuple[str, bytes],
    content_type: str = "image/png",
) -> bytes:
    """A whole form; one image of 64 × 48 pixels where no file is given."""
    given = b"".join(field(name, text) for name, text in fields.items())
    return given + b"".join(_file(name, content, content_type) for name, content in files or (("image", PNG),)) + END


def _file(name: str, content: bytes, content_type: str) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n'
    return f"{head}Content-Type: {content_type}\r\n\r\n".encode() + content + b"\r\n"
