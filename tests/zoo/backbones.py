"""Image encoders of detectors and segmenters, saved by themselves."""

from . import naturals as n
from .configurations import (
    HIERA_DET,
    RATIO,
    ROPE3,
    SAM,
    SAM2,
    SAM_PROCESSOR,
)
from .family import Family, fixed

BACKBONES = [
    Family(
        "vitpose_backbone",
        "VitPoseBackbone",
        {**RATIO, "image_size": [32, 24], "patch_size": [8, 8], "out_features": ["stage2"]},
        n.feature_map_mean,
        size=(32, 24),
    ),
    Family(
        "lw_detr_vit",
        "LwDetrViTBackbone",
        {**RATIO, "pretrain_image_size": 32, "num_windows": 4, "window_block_indices": [0], "out_features": ["stage2"]},
        n.feature_map_mean,
    ),
    Family(
        "rf_detr_dinov2",
        "RfDetrDinov2Backbone",
        {**RATIO, "num_windows": 2, "window_block_indexes": [0], "out_features": ["stage2"]},
        n.feature_map_mean,
    ),
    Family("sam_vision_model", "SamVisionModel", SAM, n.map_mean, d=16, processor=SAM_PROCESSOR),
    Family("sam_hq_vision_model", "SamHQVisionModel", SAM, n.map_mean, d=16, processor=SAM_PROCESSOR),
    Family("sam2_hiera_det_model", "Sam2HieraDetModel", HIERA_DET, n.channels_last_map_mean, d=64, size=(64, 64)),
    Family(
        "sam2_vision_model",
        "Sam2VisionModel",
        SAM2,
        n.channels_last_map_mean,
        d=64,
        size=(64, 64),
        processor=fixed("Sam2ImageProcessor"),
    ),
    Family("sam3_vit_model", "Sam3ViTModel", ROPE3, n.token_mean),
    Family(
        "sam3_vision_model",
        "Sam3VisionModel",
        {
            "backbone_config": {"model_type": "sam3_vit_model", **ROPE3},
            "fpn_hidden_size": 16,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        n.token_mean,
        processor=fixed("Sam3ImageProcessor"),
    ),
]
