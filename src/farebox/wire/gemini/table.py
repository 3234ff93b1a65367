"""What a `generateContent` request cannot say, and what is done about it."""

from __future__ import annotations

from farebox.wire.chat.features import ONE_DIALECT, Feature, Table, adapted, dropped, refused

_UNNAMED = "without its name"

TABLE: Table = {
    Feature.CHOICES: refused("other dialects give one answer to a request"),
    Feature.LOGPROBS: refused(ONE_DIALECT),
    Feature.LOGIT_BIAS: refused("token numbers mean something to one model only"),
    Feature.PREDICTION: dropped("it makes an answer faster, and no other"),
    Feature.WEB_SEARCH: refused(ONE_DIALECT),
    Feature.AUDIO_OUTPUT: refused(ONE_DIALECT),
    Feature.EFFORT: adapted(
        "as thinkingLevel from Gemini 3 on; before that as thinkingBudget: minimal and low 1,024, medium 8,192, "
        "high and more 24,576, none 0 (2.5 Pro: 128); models that do not think get neither"
    ),
    Feature.VERBOSITY: dropped("the model decides how much it says"),
    Feature.METADATA: dropped("it labels what a provider stores, and nothing is stored"),
    Feature.CUSTOM_TOOLS: refused("its tools take JSON"),
    Feature.STRICT_TOOLS: dropped("the model is shown the schema, and is not held to it"),
    Feature.PARALLEL_TOOLS: dropped("the model decides how many tools it calls at once"),
    Feature.LATE_SYSTEM: adapted("as words of the user, in their place"),
    Feature.PREFILL: adapted("sent as an earlier answer; the model may begin anew instead of going on"),
    Feature.NAMES: dropped("participants have no names"),
    Feature.CACHE_MARKS: dropped("the provider caches prompts by itself"),
    Feature.IMAGE_DETAIL: dropped("the model looks at every image as closely as it does"),
    Feature.DOCUMENT_URL: adapted(_UNNAMED),
    Feature.DOCUMENT_BYTES: adapted(_UNNAMED),
    Feature.DOCUMENT_TEXT: adapted("as a text part"),
    Feature.MEDIA_IN_TOOL_RESULTS: adapted("after the results, in the same turn"),
    Feature.SEALED_THOUGHTS: dropped("nobody but its provider can read it"),
}
