"""Segmenters, depth and pose estimators: the vector is the mean of their backbone's last map."""

from . import naturals as n
from .configurations import LAYERS, RATIO, SAM, SAM2, SAM_PROCESSOR
from .detectors import DECODER, LARGE, OF_BACKBONE, SWIN_FOUR
from .family import Family, fixed, framed

SWIN_ALL = {"model_type": "swin", **SWIN_FOUR, "out_features": ["stage1", "stage2", "stage3", "stage4"]}
MASK_DECODER = {
    "hidden_size": 16,
    "mlp_dim": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "iou_head_hidden_dim": 16,
}
PROMPTS = {"hidden_size": 16, "image_size": 32, "patch_size": 8, "mask_input_channels": 4}
SAM_PARTS = {"vision_config": SAM, "prompt_encoder_config": PROMPTS, "mask_decoder_config": MASK_DECODER}
DINOV2 = {"model_type": "dinov2", **RATIO, "out_features": ["stage1", "stage2"], "reshape_hidden_states": False}
NECK = {"reassemble_factors": [2, 1], "neck_hidden_sizes": [16, 32], "fusion_hidden_size": 16}

DENSE = [
    Family(
        "maskformer",
        "MaskFormerModel",
        {
            "backbone_config": SWIN_ALL,
            "decoder_config": {"model_type": "detr", **DECODER},
            "fpn_feature_size": 32,
            "mask_feature_size": 32,
        },
        n.of("pixel_level_module.encoder", n.feature_map_mean),
        d=64,
        **LARGE,
        processor=framed("MaskFormerImageProcessor", size_divisor=32),
    ),
    Family(
        "mask2former",
        "Mask2FormerModel",
        {
            "backbone_config": SWIN_ALL,
            "feature_size": 32,
            "mask_feature_size": 32,
            "hidden_dim": 32,
            "encoder_feedforward_dim": 32,
            "dim_feedforward": 32,
            "encoder_layers": 1,
            "decoder_layers": 2,
            "num_attention_heads": 2,
            "num_queries": 4,
        },
        n.of("pixel_level_module.encoder", n.feature_map_mean),
        d=64,
        **LARGE,
        processor=framed("Mask2FormerImageProcessor", size_divisor=32),
    ),
    Family("sam", "SamModel", SAM_PARTS, n.of("vision_encoder", n.map_mean), d=16, processor=SAM_PROCESSOR),
    Family(
        "sam_hq",
        "SamHQModel",
        {**SAM_PARTS, "mask_decoder_config": {**MASK_DECODER, "vit_dim": 32}},
        n.of("vision_encoder", n.map_mean),
        d=16,
        processor=SAM_PROCESSOR,
    ),
    Family(
        "sam2",
        "Sam2Model",
        {
            "vision_config": SAM2,
            "prompt_encoder_config": {**PROMPTS, "image_size": 64, "patch_size": 16},
            "mask_decoder_config": MASK_DECODER,
            "memory_attention_hidden_size": 16,
        },
        n.of("vision_encoder", n.channels_last_map_mean),
        d=64,
        **LARGE,
        processor=fixed("Sam2ImageProcessor"),
    ),
    Family(
        "depth_anything",
        "DepthAnythingForDepthEstimation",
        {**NECK, "backbone_config": DINOV2, "patch_size": 8, "reassemble_hidden_size": 32, "head_hidden_size": 8},
        n.of("backbone", n.backbone_tokens),
        processor=fixed("DPTImageProcessor"),
    ),
    Family(
        "upernet",
        "UperNetForSemanticSegmentation",
        {
            "backbone_config": {
                "model_type": "convnext",
                "hidden_sizes": [16, 16, 24, 32],
                "depths": [1, 1, 1, 1],
                "out_features": ["stage1", "stage2", "stage3", "stage4"],
            },
            "hidden_size": 16,
            "auxiliary_in_channels": 24,
            "auxiliary_channels": 16,
        },
        OF_BACKBONE,
        **LARGE,
        processor=fixed("SegformerImageProcessor"),
    ),
    Family(
        "vitpose",
        "VitPoseForPoseEstimation",
        {
            "backbone_config": {
                "model_type": "vitpose_backbone",
                **RATIO,
                "image_size": [32, 24],
                "patch_size": [8, 8],
                "out_features": ["stage2"],
            },
            "num_labels": 2,
        },
        OF_BACKBONE,
        size=(32, 24),
        processor=fixed("VitPoseImageProcessor"),
    ),
    Family(
        "zoedepth",
        "ZoeDepthForDepthEstimation",
        {
            **NECK,
            "backbone_config": {
                "model_type": "beit",
                **LAYERS,
                "out_features": ["stage1", "stage2"],
                "use_mean_pooling": True,
                "reshape_hidden_states": False,
            },
            "bottleneck_features": 16,
            "bin_embedding_dim": 16,
            "num_attractors": [4, 3, 2, 1],
            "num_relative_features": 8,
            "bin_configurations": [{"n_bins": 4, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
        },
        n.of("backbone", n.backbone_tokens),
        processor=fixed("ZoeDepthImageProcessor", do_pad=False, ensure_multiple_of=8),
    ),
]
