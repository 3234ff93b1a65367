"""What a Responses request cannot say, and what is done about it."""

from __future__ import annotations

from farebox.wire.chat.features import Feature, Row, Table, Treatment


def _refused(how: str) -> Row:
    return Row(Treatment.REFUSED, how)


def _dropped(how: str) -> Row:
    return Row(Treatment.DROPPED, how)


def _adapted(how: str) -> Row:
    return Row(Treatment.ADAPTED, how)


_ONE_DIALECT = "it is not carried from one dialect to another"
_SAMPLING = "the model draws from its words by temperature and top_p alone"

TABLE: Table = {
    Feature.CHOICES: _refused("it gives one answer to a request"),
    Feature.LOGPROBS: _refused(_ONE_DIALECT),
    Feature.LOGIT_BIAS: _refused("token numbers mean something to one model only"),
    Feature.PREDICTION: _dropped("it makes an answer faster, and no other"),
    Feature.WEB_SEARCH: _refused(_ONE_DIALECT),
    Feature.AUDIO_OUTPUT: _refused(_ONE_DIALECT),
    Feature.IMAGE_OUTPUT: _refused(_ONE_DIALECT),
    Feature.SAFETY_SETTINGS: _dropped("the provider's own safety rules apply"),
    Feature.TOP_K: _dropped(_SAMPLING),
    Feature.PENALTIES: _dropped(_SAMPLING),
    Feature.SEED: _dropped("it promises no equal answers where it is known either"),
    Feature.STOP: _refused("it has no stop sequences"),
    Feature.MANY_STOPS: _refused("it has no stop sequences"),
    Feature.BUDGET: _adapted(
        "as effort: up to 2,048 tokens low, up to 8,192 medium, more is high; 0 and no limit say nothing"
    ),
    Feature.METADATA: _dropped("it labels what a provider stores, and nothing is stored"),
    Feature.PREFILL: _adapted("sent as an earlier answer; the model may begin anew instead of going on"),
    Feature.NAMES: _dropped("messages have roles only"),
    Feature.CACHE_MARKS: _dropped("providers of this dialect cache prompts by themselves"),
    Feature.DOCUMENT_TEXT: _adapted("as a text part"),
    Feature.AUDIO_INPUT: _refused("it takes no audio"),
    Feature.VIDEO_INPUT: _refused("it takes no video"),
    Feature.TOOL_ERRORS: _dropped("the text of the result says what went wrong"),
    Feature.THOUGHTS: _dropped("reasoning goes back sealed, to the provider that made it"),
    Feature.SEALED_THOUGHTS: _dropped("nobody but its provider can read it"),
}
