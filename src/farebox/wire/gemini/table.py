"""What a `generateContent` request cannot say, and what is done about it."""

from __future__ import annotations

from farebox.wire.chat.features import Feature, Row, Table, Treatment


def _refused(how: str) -> Row:
    return Row(Treatment.REFUSED, how)


def _dropped(how: str) -> Row:
    return Row(Treatment.DROPPED, how)


def _adapted(how: str) -> Row:
    return Row(Treatment.ADAPTED, how)


_ONE_DIALECT = "it is not carried from one dialect to another"
_UNNAMED = "without its name"

TABLE: Table = {
    Feature.CHOICES: _refused("other dialects give one answer to a request"),
    Feature.LOGPROBS: _refused(_ONE_DIALECT),
    Feature.LOGIT_BIAS: _refused("token numbers mean something to one model only"),
    Feature.PREDICTION: _dropped("it makes an answer faster, and no other"),
    Feature.WEB_SEARCH: _refused(_ONE_DIALECT),
    Feature.AUDIO_OUTPUT: _refused(_ONE_DIALECT),
    Feature.EFFORT: _adapted(
        "as thinkingLevel from Gemini 3 on; before that as thinkingBudget: minimal and low 1,024, medium 8,192, "
        "high and more 24,576, none 0 (2.5 Pro: 128); models that do not think get neither"
    ),
    Feature.VERBOSITY: _dropped("the model decides how much it says"),
    Feature.METADATA: _dropped("it labels what a provider stores, and nothing is stored"),
    Feature.CUSTOM_TOOLS: _refused("its tools take JSON"),
    Feature.STRICT_TOOLS: _dropped("the model is shown the schema, and is not held to it"),
    Feature.PARALLEL_TOOLS: _dropped("the model decides how many tools it calls at once"),
    Feature.LATE_SYSTEM: _adapted("as words of the user, in their place"),
    Feature.PREFILL: _adapted("sent as an earlier answer; the model may begin anew instead of going on"),
    Feature.NAMES: _dropped("participants have no names"),
    Feature.CACHE_MARKS: _dropped("the provider caches prompts by itself"),
    Feature.IMAGE_DETAIL: _dropped("the model looks at every image as closely as it does"),
    Feature.DOCUMENT_URL: _adapted(_UNNAMED),
    Feature.DOCUMENT_BYTES: _adapted(_UNNAMED),
    Feature.DOCUMENT_TEXT: _adapted("as a text part"),
    Feature.MEDIA_IN_TOOL_RESULTS: _adapted("after the results, in the same turn"),
    Feature.SEALED_THOUGHTS: _dropped("nobody but its provider can read it"),
}
