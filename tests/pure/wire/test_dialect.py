"""Every dialect keeps the same promises to the relay."""

from __future__ import annotations

import pytest
from tests.pure.wire.bodies import chat_body, written
from tests.support import sounds
from tests.support.forms import CONTENT_TYPE, END, field, file_head
from tests.support.image_forms import image_form

from farebox.wire.call import Call, Malformed
from farebox.wire.dialect import DIALECTS, Dialect, dialect_at
from farebox.wire.form import FormDialect
from farebox.wire.price_fields import Treatment

FORM = field("model", "m") + field("prompt", "x") + file_head("a.wav") + sounds.wav(10) + b"\r\n" + END
BODIES = {
    "openai_chat": chat_body(stream=True),
    "openai_embeddings": written({"model": "m", "input": "x"}),
    "openai_responses": written({"model": "m", "input": "x", "stream": True}),
    "anthropic": written({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}),
    "openai_completions": written({"model": "m", "prompt": "x", "stream": True}),
    "openai_moderations": written({"model": "m", "input": "x"}),
    "rerank": written({"model": "m", "query": "x", "documents": ["a", "b"]}),
    "image_generations": written({"model": "m", "prompt": "x"}),
    "image_edits": image_form({"model": "m", "prompt": "x"}),
    "image_variations": image_form({"model": "m"}),
    "audio_speech": written({"model": "m", "input": "x", "voice": "v", "stream_format": "sse"}),
    "audio_transcriptions": FORM,
    "audio_translations": FORM,
    "gemini": written({"contents": [{"role": "user", "parts": [{"text": "x"}]}]}),
    "gemini_embeddings": written({"content": {"parts": [{"text": "x"}]}}),
    "/v1beta/models/{model}:batchEmbedContents": written({"requests": [{"content": {"parts": [{"text": "x"}]}}]}),
}
"""By the dialect's name, or its path where one name has bodies of several shapes."""


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.path)
def test_a_dialect_reads_bounds_and_forwards(dialect: Dialect) -> None:
    if isinstance(dialect, FormDialect):
        dialect = dialect.reading([CONTENT_TYPE.encode()])
    call = dialect.parse(BODIES.get(dialect.path) or BODIES[dialect.name])
    assert isinstance(call, Call)
    assert dialect.text_of(call) or dialect.name == "image_variations"
    assert dialect.tokens_beside_text(call) >= 0
    sent = dialect.forward(call, upstream_model="up") + dialect.upstream_path(call, "up").encode()
    assert b'"up"' in sent or b"/models/up:" in sent or b"\r\n\r\nup\r\n" in sent
    assert dialect.meter(call).feed(b": ping\n\n") == b": ping\n\n"
    assert isinstance(dialect.parse(b"{"), Malformed)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.path)
def test_each_price_field_has_one_row_that_says_how(dialect: Dialect) -> None:
    names = [row.name for row in dialect.price_fields]
    assert len(names) == len(set(names))
    assert all(row.how and isinstance(row.treatment, Treatment) for row in dialect.price_fields)


def test_dialects_are_found_by_their_route() -> None:
    assert {"/v1/chat/completions", "/v1/embeddings"} <= {dialect.path for dialect in DIALECTS}
    assert all(dialect_at(dialect.path) is dialect for dialect in DIALECTS)
    assert dialect_at("/v1/else") is None
