"""The fields of LiteLLM's price file: which are figures, which are facts, and which say nothing of a price.

Enters: a field's name. Leaves: what it is a figure of (`read_field`), or a row of these tables.
A field that is in none of them is reported by `import_litellm`, never ignored; a test holds every
key of the shipped file against them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from farebox.tariff.conditions import When
from farebox.tariff.meters import Meter, default_per
from farebox.tariff.price_list import ModelType


class Field(NamedTuple):
    """A figure's name, taken apart: `cache_read_input_token_cost_above_200k_tokens_priority`."""

    base: str
    long_lived: bool
    """Of a cache that is kept for an hour or twelve."""
    above: int | None
    """In tokens of input."""
    mode: str | None
    """One of `MODES_OF_SERVICE`; None: the standard one."""


MODES_OF_SERVICE: Mapping[str, When] = {
    "batches": When(batch=True),
    "flex": When(service_tier="flex"),
    "balanced": When(service_tier="balanced"),
    "priority": When(service_tier="priority"),
    "ultrafast": When(service_tier="ultrafast"),
}
UNSERVED_MODE = "decisions"
"""Prices of an endpoint that is not served here."""

FIGURES: Mapping[str, tuple[Meter, int]] = {
    "input_cost_per_token": (Meter.INPUT, 1),
    "output_cost_per_token": (Meter.OUTPUT, 1),
    "cache_read_input_token_cost": (Meter.CACHED_INPUT, 1),
    "input_cost_per_token_cache_hit": (Meter.CACHED_INPUT, 1),
    "cache_creation_input_token_cost": (Meter.CACHE_WRITE_5M, 1),
    "cache_read_input_audio_token_cost": (Meter.CACHED_AUDIO, 1),
    "cache_read_input_image_token_cost": (Meter.CACHED_IMAGE, 1),
    "input_cost_per_audio_token": (Meter.INPUT_AUDIO, 1),
    "output_cost_per_audio_token": (Meter.OUTPUT_AUDIO, 1),
    "input_cost_per_image_token": (Meter.INPUT_IMAGE, 1),
    "output_cost_per_image_token": (Meter.OUTPUT_IMAGE, 1),
    "input_cost_per_video_token": (Meter.INPUT_VIDEO, 1),
    "output_cost_per_video_token": (Meter.OUTPUT_VIDEO, 1),
    "output_cost_per_reasoning_token": (Meter.REASONING, 1),
    "ocr_cost_per_page": (Meter.PAGES, 1),
    "input_cost_per_request": (Meter.CALLS, 1),
    "code_interpreter_cost_per_session": (Meter.TOOL_CALLS, 1),
    "file_search_cost_per_1k_calls": (Meter.TOOL_CALLS, 1000),
}
"""Figures that mean one meter wherever they stand, and the number of its units they are for."""

PARAMETER_FIGURES: Mapping[str, tuple[Meter, tuple[str, str]]] = {
    "annotation_cost_per_page": (Meter.PAGES, ("annotations", "true")),
}
"""Figures that replace a meter's where the request has a parameter."""

BY_TYPE = frozenset(
    {
        *("input_cost_per_second", "output_cost_per_second", "output_cost_per_video_per_second", "cost_per_second"),
        *("input_cost_per_audio_per_second", "input_cost_per_video_per_second"),
        *("input_cost_per_character", "output_cost_per_character", "input_cost_per_query"),
        *("input_cost_per_image", "output_cost_per_image", "input_cost_per_pixel", "output_cost_per_pixel"),
    }
)
"""Figures whose meter depends on what the model makes (`litellm_media`)."""

RESOLUTIONS = re.compile(r"(output_cost_per_second|output_cost_per_image)_([0-9.]+(?:p|k|K)?)")
"""Figures for one resolution: `output_cost_per_second_1080p`."""

COUNTED_AS: Mapping[str, Meter] = {
    "citation_cost_per_token": Meter.OUTPUT,
    "explicit_cache_read_input_token_cost": Meter.CACHED_INPUT,
    "cache_creation_input_audio_token_cost": Meter.INPUT_AUDIO,
}
"""No meter of their own: they are counted as this one, which must not be cheaper."""

UNCOUNTED: Mapping[str, str] = {
    "input_cost_per_text_message": "no meter counts messages",
    "ocr_cost_per_credit": "a credit of its provider is no number of pages",
    "guardrail_cost_per_unit": "no meter counts units of guardrails",
    "input_cost_per_video_per_second_above_8s_interval": "no condition knows the length of a video",
    "input_cost_per_video_per_second_above_15s_interval": "no condition knows the length of a video",
    "computer_use_input_cost_per_1k_tokens": "tokens of this tool are not counted apart",
    "computer_use_output_cost_per_1k_tokens": "tokens of this tool are not counted apart",
}
"""Figures that would not be charged: unless they are zero, the model is refused."""

NOT_OFFERED: Mapping[str, str] = {
    "google_maps_grounding_cost_per_query": "this tool is not offered here",
    "file_search_cost_per_gb_per_day": "storage at the provider is not offered here",
    "vector_store_cost_per_gb_per_day": "storage at the provider is not offered here",
    "search_free_requests": "the provider's free searches are not taken off",
    "regional_endpoint_uplift_multiplier": "give the channel to a dearer region a cost card of its own",
    "regional_processing_uplift_multiplier_eu": "give the channel to a dearer region a cost card of its own",
    "regional_processing_uplift_multiplier_us": "give the channel to a dearer region a cost card of its own",
}
"""Figures that cannot arise from what is sold here, or that lower a cost: said, and left out."""

READ_APART = frozenset(
    {"tiered_pricing", "off_peak_pricing", "search_context_cost_per_query", "provider_specific_entry"}
)
FACTS = frozenset({"litellm_provider", "mode", "source", "max_input_tokens", "max_output_tokens", "deprecation_date"})

MODES: Mapping[str, ModelType] = {
    "chat": ModelType.CHAT,
    "completion": ModelType.CHAT,
    "responses": ModelType.CHAT,
    "embedding": ModelType.EMBEDDING,
    "image_generation": ModelType.IMAGE_GENERATION,
    "image_edit": ModelType.IMAGE_GENERATION,
    "audio_speech": ModelType.AUDIO_SPEECH,
    "audio_transcription": ModelType.AUDIO_TRANSCRIPTION,
    "video_generation": ModelType.VIDEO_GENERATION,
    "rerank": ModelType.RERANK,
    "moderation": ModelType.MODERATION,
    "realtime": ModelType.REALTIME,
    "ocr": ModelType.OCR,
}

CAPABILITIES: Mapping[str, str] = {
    "supports_vision": "vision",
    "supports_reasoning": "thinking",
    "supports_function_calling": "function_calling",
    "supports_response_schema": "structured_output",
    "supports_audio_input": "audio_input",
    "supports_audio_output": "audio_output",
    "supports_video_input": "video_input",
    "supports_pdf_input": "documents",
    "supports_prompt_caching": "prompt_caching",
    "supports_web_search": "web_search",
    "supports_computer_use": "computer_use",
}

MULTIPLIERS: Mapping[str, tuple[str, str]] = {"fast": ("speed", "fast"), "us": ("inference_geo", "us")}
"""Entries of `provider_specific_entry` that multiply the price of tokens, and the parameter that asks for them."""
SPECIFIC_NO_PRICE = frozenset(
    {"bedrock_invocation_schema", "dashscope_video_reference_input", "volcengine_video_frames"}
    | {"minimax_free_input_images"}
)
"""Its other entries: forms of requests, and a number of free images beside `input_cost_per_image`."""

_REQUEST = "says what a request may ask for"
_LIMIT = "a limit of the provider on its own account"
_PEOPLE = "for people"
_ROUTING = "how LiteLLM itself calls the model"
_REFERENCE = "for reference: the figures in dollars count"
NO_PRICE: Mapping[str, str] = {
    **dict.fromkeys(("comment", "metadata"), _PEOPLE),
    **dict.fromkeys(("input_dbu_cost_per_token", "output_dbu_cost_per_token"), _REFERENCE),
    **dict.fromkeys(("rpm", "tpm"), _LIMIT),
    "web_search_billing_unit": "how searches are counted: each is one here",
    "output_vector_size": "the length of an embedding",
    "prompt_cache_min_tokens": "the shortest prompt that is cached: what was cached is reported",
    "supported_regions": "where it runs",
    "rules": "patterns of names",
    **dict.fromkeys(
        (
            *("audio_transcription_config", "token_count_framing", "token_count_model", "token_count_tokenizer"),
            *("use_openai_responses_path", "uses_embed_content", "vertex_ai_audio_api", "gemini_audio_only_live"),
            *("gemini_native_audio", "bedrock_converse_supports_strict_tools", "bedrock_output_config_effort_ceiling"),
        ),
        _ROUTING,
    ),
    **dict.fromkeys(
        (
            *("default_reasoning_effort", "reasoning_contexts", "reasoning_effort_levels", "reasoning_modes"),
            *("thinking_always_on", "supported_audio_formats", "supported_endpoints", "supported_modalities"),
            *("supported_output_modalities", "supports_adaptive_thinking", "supports_anthropic_compaction"),
            *("supports_anthropic_thinking_payload", "supports_assistant_prefill"),
            *("supports_bedrock_converse_tool_result_images", "supports_bedrock_native_structured_output"),
            "supports_bedrock_runtime_chat_completions_inline_reasoning",
            "supports_bedrock_runtime_chat_completions_response_format",
            "supports_bedrock_runtime_chat_completions_tools_with_reasoning",
            *("supports_box_questions", "supports_embedding_image_input", "supports_fast_mode"),
            *("supports_forced_tool_use", "supports_image_input", "supports_image_size", "supports_legacy_thinking"),
            *("supports_low_reasoning_effort", "supports_max_reasoning_effort", "supports_mid_conversation_system"),
            *("supports_minimal_reasoning_effort", "supports_multimodal", "supports_native_streaming"),
            *("supports_native_structured_output", "supports_none_reasoning_effort", "supports_nova_canvas_image_edit"),
            *("supports_output_config", "supports_parallel_function_calling", "supports_parallel_tool_use_config"),
            *("supports_prompt_cache_breakpoint", "supports_regex_lookaround", "supports_sampling_params"),
            *("supports_speed", "supports_system_messages", "supports_thinking_cache_preservation"),
            *(
                "supports_tool_choice",
                "supports_tool_search",
                "supports_url_context",
                "supports_xhigh_reasoning_effort",
            ),
        ),
        _REQUEST,
    ),
}
"""Fields that say nothing of a price, each with the reason."""

_SUFFIXES = re.compile(
    r"(?P<base>.+?)(?P<long>_above_1hr|_above_12hr)?(?:_above_(?P<thousands>\d+)k_tokens)?"
    rf"(?:_(?P<mode>{'|'.join((*MODES_OF_SERVICE, UNSERVED_MODE))}))?"
)


def read_field(name: str) -> Field | None:
    """A figure's name taken apart; None: it is not one."""
    match = _SUFFIXES.fullmatch(name)
    if match is None or match["base"] not in {*FIGURES, *PARAMETER_FIGURES, *BY_TYPE, *COUNTED_AS}:
        return None
    if match["long"] and match["base"] != "cache_creation_input_token_cost":
        return None
    above = None if match["thousands"] is None else int(match["thousands"]) * 1000
    return Field(match["base"], match["long"] is not None, above, match["mode"])


def units_of(meter: Meter, per: int) -> int:
    """The number of units to write a figure for: tokens by the million, whatever the file has them by."""
    return max(per, default_per(meter))


def about_price(name: str) -> bool:
    """Whether a field nobody here knows could be about a price."""
    return re.search(r"cost|pric|multiplier|uplift|fee|charge|bill", name) is not None
