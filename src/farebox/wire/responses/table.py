"""What a Responses request cannot say, and what is done about it."""

from __future__ import annotations

from farebox.wire.chat.features import ONE_DIALECT, Feature, Table, adapted, dropped, refused

_SAMPLING = "the model draws from its words by temperature and top_p alone"

TABLE: Table = {
    Feature.CHOICES: refused("it gives one answer to a request"),
    Feature.LOGPROBS: refused(ONE_DIALECT),
    Feature.LOGIT_BIAS: refused("token numbers mean something to one model only"),
    Feature.PREDICTION: dropped("it makes an answer faster, and no other"),
    Feature.WEB_SEARCH: refused(ONE_DIALECT),
    Feature.AUDIO_OUTPUT: refused(ONE_DIALECT),
    Feature.IMAGE_OUTPUT: refused(ONE_DIALECT),
    Feature.SAFETY_SETTINGS: dropped("the provider's own safety rules apply"),
    Feature.TOP_K: dropped(_SAMPLING),
    Feature.PENALTIES: dropped(_SAMPLING),
    Feature.SEED: dropped("it promises no equal answers where it is known either"),
    Feature.STOP: refused("it has no stop sequences"),
    Feature.MANY_STOPS: refused("it has no stop sequences"),
    Feature.BUDGET: adapted(
        "as effort: up to 2,048 tokens low, up to 8,192 medium, more is high; 0 and no limit say nothing"
    ),
    Feature.METADATA: dropped("it labels what a provider stores, and nothing is stored"),
    Feature.PREFILL: adapted("sent as an earlier answer; the model may begin anew instead of going on"),
    Feature.NAMES: dropped("messages have roles only"),
    Feature.CACHE_MARKS: dropped("providers of this dialect cache prompts by themselves"),
    Feature.DOCUMENT_TEXT: adapted("as a text part"),
    Feature.AUDIO_INPUT: refused("it takes no audio"),
    Feature.VIDEO_INPUT: refused("it takes no video"),
    Feature.TOOL_ERRORS: dropped("the text of the result says what went wrong"),
    Feature.THOUGHTS: dropped("reasoning goes back sealed, to the provider that made it"),
    Feature.SEALED_THOUGHTS: dropped("nobody but its provider can read it"),
}
