"""What a Messages request cannot say, and what is done about it."""

from __future__ import annotations

from farebox.wire.chat.features import ONE_DIALECT, Feature, Table, adapted, dropped, refused

_SAMPLING = "left out while the model thinks, and for models and API versions that refuse it"

TABLE: Table = {
    Feature.CHOICES: refused("this dialect gives one answer to a request"),
    Feature.LOGPROBS: refused("its models do not tell them"),
    Feature.LOGIT_BIAS: refused("token numbers mean something to one model only"),
    Feature.PREDICTION: dropped("it makes an answer faster, and no other"),
    Feature.WEB_SEARCH: refused(ONE_DIALECT),
    Feature.AUDIO_OUTPUT: refused("its models do not speak"),
    Feature.IMAGE_OUTPUT: refused("its models do not draw"),
    Feature.SAFETY_SETTINGS: dropped("the provider's own safety rules apply"),
    Feature.TEMPERATURE: adapted(f"at most 1; {_SAMPLING}"),
    Feature.TOP_P: adapted(f"left out beside a temperature for models since Claude 4.1; {_SAMPLING}"),
    Feature.TOP_K: adapted(_SAMPLING),
    Feature.PENALTIES: dropped("its models have no such setting"),
    Feature.SEED: dropped("no seed makes these models repeat an answer, and elsewhere it is no promise"),
    Feature.STOP: adapted("those of white space alone are left out, which the provider refuses"),
    Feature.JSON_OBJECT: adapted("as a sentence in the system prompt"),
    Feature.EFFORT: adapted(
        "as it is for models that decide how much to think; for others a budget of 2,048 tokens for low and minimal, "
        "8,192 medium, 16,384 high, 32,000 above, three quarters of the output limit at most; left out below 1,024, "
        "and where a tool is forced"
    ),
    Feature.BUDGET: adapted(
        "as it is, but at least 1,024 tokens and at most three quarters of the output limit; models that decide how "
        "much to think are told only to think; left out where a tool is forced"
    ),
    Feature.VERBOSITY: dropped("its models have no such setting"),
    Feature.METADATA: dropped("it labels what a provider stores, and nothing is stored"),
    Feature.SERVICE_TIER: adapted("`auto` and `priority` as auto; everything else as standard_only"),
    Feature.CUSTOM_TOOLS: refused("its tools take JSON"),
    Feature.TOOL_CHOICE_SEVERAL: adapted("only those tools are offered, and one of them must be called"),
    Feature.LATE_SYSTEM: adapted("joined to the system prompt"),
    Feature.NAMES: dropped("it knows roles only"),
    Feature.IMAGE_DETAIL: dropped("images are read at the resolution they have"),
    Feature.AUDIO_INPUT: refused("its models do not listen"),
    Feature.VIDEO_INPUT: refused("its models do not watch"),
    Feature.THOUGHTS: adapted("kept where Anthropic signed them; those of other providers are left out"),
    Feature.SEALED_THOUGHTS: adapted("kept where Anthropic sealed them; those of other providers are left out"),
}
