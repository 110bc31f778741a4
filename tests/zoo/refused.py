"""Models that give no vector of an image by themselves, and the word that tells the user why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import naturals as n
from .configurations import LAYERS, RATIO
from .duals import TEXT
from .family import CLIP, Family, Processor, fixed
from .multimodal import WORDS


@dataclass(frozen=True)
class Refused:
    """A checkpoint that cannot be scored.

    Attributes:
        family: how it is built; its vector is never asked for.
        says: what the refusal says, as a regular expression.
        why: in a few words, for the documentation.
    """

    family: Family
    says: str
    why: str

    def __str__(self) -> str:
        return self.family.type


def _refused(says: str, why: str, type: str, kind: str, config: Mapping[str, Any], **other: Any) -> Refused:  # noqa: A002
    return Refused(Family(type, kind, config, n.class_token, **other), says, why)


_TEXT = "needs text beside the image"
_FRAMES = "takes videos: several frames of each"
_POINTS = "gives points, as many as it finds, and no vector"
_GRID = "takes patches of any resolution with their grid beside them"
_TILES = "takes tiles of an image with their layout beside them"
_BRIDGE_TEXT = {**TEXT, "max_position_embeddings": 16}
_BRIDGE_VISION = {"hidden_size": 64, "num_hidden_layers": 2, "image_size": 32, "patch_size": 8}
_VIDEO = {**LAYERS, "num_frames": 4}
_QWEN_VISION = {
    "depth": 2,
    "embed_dim": 32,
    "hidden_size": 32,
    "num_heads": 2,
    "mlp_ratio": 2,
    "patch_size": 8,
    "spatial_merge_size": 2,
    "temporal_patch_size": 1,
}
_QWEN = {
    "vision_config": _QWEN_VISION,
    "text_config": {
        **WORDS,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
    },
}

_LATER = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "patch_size": 8,
    "spatial_merge_size": 2,
    "temporal_patch_size": 1,
}
_QWEN_PROCESSOR = Processor(
    "Qwen2VLImageProcessor",
    {"patch_size": 8, "temporal_patch_size": 1, "merge_size": 2, "min_pixels": 256, "max_pixels": 1024},
)

REFUSALS = [
    _refused(
        "text",
        _TEXT,
        "bridgetower",
        "BridgeTowerModel",
        {
            "vision_config": _BRIDGE_VISION,
            "text_config": _BRIDGE_TEXT,
            "hidden_size": 32,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "intermediate_size": 48,
        },
        processor=fixed("BridgeTowerImageProcessor", size={"shortest_edge": 32}, do_center_crop=False),
    ),
    _refused("text", _TEXT, "bridgetower_vision_model", "BridgeTowerVisionModel", _BRIDGE_VISION),
    _refused(
        "text",
        _TEXT,
        "vilt",
        "ViltModel",
        {**LAYERS, "vocab_size": 50, "max_position_embeddings": 8},
        processor=fixed("ViltImageProcessor", size={"shortest_edge": 32}),
    ),
    _refused(
        "prompt",
        "takes prompts: another image with its mask",
        "seggpt",
        "SegGptModel",
        {
            **RATIO,
            "image_size": [64, 32],
            "mlp_dim": 48,
            "pretrain_image_size": 32,
            "merge_index": 0,
            "intermediate_hidden_state_indices": [1],
            "decoder_hidden_size": 8,
        },
        size=(64, 32),
        processor=fixed("SegGptImageProcessor"),
    ),
    _refused(
        "4 channels|channel",
        "takes four channels: an image and where its borders may be",
        "vitmatte",
        "VitMatteForImageMatting",
        {
            "backbone_config": {
                "model_type": "vitdet",
                **RATIO,
                "num_channels": 4,
                "pretrain_image_size": 32,
                "out_features": ["stage2"],
            },
            "hidden_size": 32,
            "convstream_hidden_sizes": [8, 8, 8],
            "fusion_hidden_sizes": [8, 8, 8, 8],
        },
        processor=Processor("VitMatteImageProcessor", {"size_divisor": 32}),
    ),
    _refused(
        "keypoints",
        _POINTS,
        "superpoint",
        "SuperPointForKeypointDetection",
        {"encoder_hidden_sizes": [8, 8, 8, 8], "decoder_hidden_size": 8, "descriptor_decoder_dim": 8},
        processor=fixed("SuperPointImageProcessor"),
    ),
    _refused(
        "queries",
        "mixes queries of segments into its tokens",
        "eomt",
        "EomtForUniversalSegmentation",
        {**RATIO, "num_blocks": 1, "num_queries": 3, "num_register_tokens": 2, "num_upscale_blocks": 1},
        processor=fixed("EomtImageProcessor", size={"shortest_edge": 32, "longest_edge": 32}),
    ),
    _refused(
        "input_ids",
        "takes the numbers of colour clusters, not pixels",
        "imagegpt",
        "ImageGPTModel",
        {"vocab_size": 17, "n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 2},
        processor=None,
    ),
    _refused(
        "input_ids|text",
        "is a model of text",
        "bert",
        "BertModel",
        {**TEXT, "bos_token_id": None, "eos_token_id": None},
        processor=None,
    ),
    _refused(
        "video",
        _FRAMES,
        "videomae",
        "VideoMAEModel",
        {**_VIDEO, "tubelet_size": 2},
        processor=fixed("VideoMAEImageProcessor", size={"shortest_edge": 32}, crop_size="FIXED"),
    ),
    _refused("video", _FRAMES, "timesformer", "TimesformerModel", _VIDEO),
    _refused("video", _FRAMES, "vivit", "VivitModel", {**_VIDEO, "tubelet_size": [2, 8, 8]}),
    _refused(
        "video",
        _FRAMES,
        "xclip_vision_model",
        "XCLIPVisionModel",
        {
            **_VIDEO,
            "mit_hidden_size": 32,
            "mit_intermediate_size": 48,
            "mit_num_hidden_layers": 1,
            "mit_num_attention_heads": 2,
        },
        processor=CLIP,
    ),
    _refused("grid", _GRID, "qwen2_vl", "Qwen2VLForConditionalGeneration", _QWEN, processor=_QWEN_PROCESSOR),
    _refused(
        "grid",
        _GRID,
        "qwen2_5_vl",
        "Qwen2_5_VLForConditionalGeneration",
        {
            "vision_config": {**_LATER, "out_hidden_size": 32, "window_size": 32, "fullatt_block_indexes": [1]},
            "text_config": _QWEN["text_config"],
        },
        processor=_QWEN_PROCESSOR,
    ),
    _refused(
        "grid",
        _GRID,
        "qwen3_vl",
        "Qwen3VLForConditionalGeneration",
        {
            "vision_config": {
                **_LATER,
                "out_hidden_size": 32,
                "num_position_embeddings": 16,
                "deepstack_visual_indexes": [0],
            },
            "text_config": _QWEN["text_config"],
        },
        processor=_QWEN_PROCESSOR,
    ),
    _refused(
        "tiles|grid",
        _TILES,
        "mllama_vision_model",
        "MllamaVisionModel",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "intermediate_size": 48,
            "vision_output_dim": 64,
            "image_size": 32,
            "patch_size": 8,
            "max_num_tiles": 2,
            "intermediate_layers_indices": [0],
            "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
        },
    ),
]
