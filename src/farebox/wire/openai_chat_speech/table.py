"""What a chat completion request cannot say, and what is done about it.

The channels that speak this dialect are many servers, not one: what most of them take counts as
expressed, and a provider's own 400 is passed on where one does not.
"""

from __future__ import annotations

from farebox.wire.chat.features import ONE_DIALECT, Feature, Table, adapted, dropped, refused

TABLE: Table = {
    Feature.CHOICES: refused("other dialects give one answer to a request"),
    Feature.LOGPROBS: refused(ONE_DIALECT),
    Feature.LOGIT_BIAS: refused("token numbers mean something to one model only"),
    Feature.PREDICTION: dropped("it makes an answer faster, and no other"),
    Feature.WEB_SEARCH: refused(ONE_DIALECT),
    Feature.AUDIO_OUTPUT: refused(ONE_DIALECT),
    Feature.IMAGE_OUTPUT: refused(ONE_DIALECT),
    Feature.SAFETY_SETTINGS: dropped("the provider's own safety rules apply"),
    Feature.TOP_K: dropped("the model draws from all its words, weighed by temperature and top_p"),
    Feature.MANY_STOPS: refused("it takes 4 at most"),
    Feature.BUDGET: adapted(
        "as reasoning_effort: up to 2,048 tokens low, up to 8,192 medium, more is high; 0 and no limit say nothing"
    ),
    Feature.METADATA: dropped("it labels what a provider stores, and nothing is stored"),
    Feature.PREFILL: adapted("sent as an earlier answer; the model may begin anew instead of going on"),
    Feature.CACHE_MARKS: dropped("providers of this dialect cache prompts by themselves"),
    Feature.DOCUMENT_TEXT: adapted("as a text part"),
    Feature.MEDIA_IN_TOOL_RESULTS: adapted("in a user message after the results"),
    Feature.TOOL_ERRORS: dropped("the text of the result says what went wrong"),
    Feature.THOUGHTS: adapted("as reasoning_content; reasoning that another provider signed is left out"),
    Feature.SEALED_THOUGHTS: dropped("nobody but its provider can read it"),
}
