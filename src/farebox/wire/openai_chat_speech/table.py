"""What a chat completion request cannot say, and what is done about it.

The channels that speak this dialect are many servers, not one: what most of them take counts as
expressed, and a provider's own 400 is passed on where one does not.
"""

from __future__ import annotations

from farebox.wire.chat.features import Feature, Row, Table, Treatment


def _refused(how: str) -> Row:
    return Row(Treatment.REFUSED, how)


def _dropped(how: str) -> Row:
    return Row(Treatment.DROPPED, how)


def _adapted(how: str) -> Row:
    return Row(Treatment.ADAPTED, how)


_ONE_DIALECT = "it is not carried from one dialect to another"

TABLE: Table = {
    Feature.CHOICES: _refused("other dialects give one answer to a request"),
    Feature.LOGPROBS: _refused(_ONE_DIALECT),
    Feature.LOGIT_BIAS: _refused("token numbers mean something to one model only"),
    Feature.PREDICTION: _dropped("it makes an answer faster, and no other"),
    Feature.WEB_SEARCH: _refused(_ONE_DIALECT),
    Feature.AUDIO_OUTPUT: _refused(_ONE_DIALECT),
    Feature.IMAGE_OUTPUT: _refused(_ONE_DIALECT),
    Feature.SAFETY_SETTINGS: _dropped("the provider's own safety rules apply"),
    Feature.TOP_K: _dropped("the model draws from all its words, weighed by temperature and top_p"),
    Feature.MANY_STOPS: _refused("it takes 4 at most"),
    Feature.BUDGET: _adapted(
        "as reasoning_effort: up to 2,048 tokens low, up to 8,192 medium, more is high; 0 and no limit say nothing"
    ),
    Feature.METADATA: _dropped("it labels what a provider stores, and nothing is stored"),
    Feature.PREFILL: _adapted("sent as an earlier answer; the model may begin anew instead of going on"),
    Feature.CACHE_MARKS: _dropped("providers of this dialect cache prompts by themselves"),
    Feature.DOCUMENT_TEXT: _adapted("as a text part"),
    Feature.MEDIA_IN_TOOL_RESULTS: _adapted("in a user message after the results"),
    Feature.TOOL_ERRORS: _dropped("the text of the result says what went wrong"),
    Feature.THOUGHTS: _adapted("as reasoning_content; reasoning that another provider signed is left out"),
    Feature.SEALED_THOUGHTS: _dropped("nobody but its provider can read it"),
}
