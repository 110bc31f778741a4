"""Configurations and image processors that several families share, and those that are long."""

from .family import AS_IT_IS, BGR, MEAN, STD, TWICE, Processor, Scaling, fixed

LAYERS = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
RATIO = {**{key: value for key, value in LAYERS.items() if key != "intermediate_size"}, "mlp_ratio": 2}
STAGES = {
    "num_encoder_blocks": 2,
    "depths": [1, 1],
    "hidden_sizes": [16, 32],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
}
SEGFORMER = {**STAGES, "sr_ratios": [2, 1], "num_attention_heads": [1, 2], "mlp_ratios": [2, 2]}
RESNET = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}
CONVNEXT_STAGES = {"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2}
SWIN = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
SAM = {**LAYERS, "output_channels": 16, "mlp_dim": 48, "window_size": 2, "global_attn_indexes": [1], "num_pos_feats": 8}
HIERA_DET = {
    "hidden_size": 16,
    "num_attention_heads": 1,
    "image_size": [64, 64],
    "window_positional_embedding_background_size": [2, 2],
    "blocks_per_stage": [1, 1, 2, 1],
    "embed_dim_per_stage": [16, 32, 48, 64],
    "num_attention_heads_per_stage": [1, 2, 2, 2],
    "window_size_per_stage": [4, 4, 2, 2],
    "global_attention_blocks": [3],
}
SAM2 = {
    "backbone_config": {"model_type": "sam2_hiera_det_model", **HIERA_DET},
    "backbone_channel_list": [64, 48, 32, 16],
    "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    "fpn_hidden_size": 16,
}
EFFICIENTNET = {
    "image_size": 32,
    "width_coefficient": 0.25,
    "depth_coefficient": 1.0,
    "kernel_sizes": [3, 3],
    "in_channels": [32, 16],
    "out_channels": [16, 24],
    "strides": [1, 2],
    "num_block_repeats": [1, 1],
    "expand_ratios": [1, 2],
    "hidden_dim": 320,
}
LCNET = [
    [[3, 16, 16, 1, False]],
    [[3, 16, 16, 2, False]],
    [[3, 16, 16, 1, False]],
    [[3, 16, 32, 2, False]],
    [[5, 32, 32, 2, True]],
]
HGNET = {
    "embedding_size": 16,
    "depths": [1, 1],
    "hidden_sizes": [16, 32],
    "stem_channels": [3, 8, 16],
    "stage_in_channels": [16, 16],
    "stage_mid_channels": [8, 8],
    "stage_out_channels": [16, 32],
    "stage_num_blocks": [1, 1],
    "stage_downsample": [False, True],
    "stage_downsample_strides": [2, 2],
    "stage_light_block": [False, True],
    "stage_kernel_size": [3, 3],
    "stage_numb_of_layers": [1, 1],
    "out_features": ["stage2"],
}
ROPE3 = {**LAYERS, "window_size": 2, "global_attn_indexes": [1], "pretrain_image_size": 32}

RADIO = Processor("CLIPImageProcessor", {"size": "FIXED", "do_center_crop": False, "do_normalize": False}, AS_IT_IS)
EFFICIENT = fixed("EfficientNetImageProcessor", TWICE, include_top=True)
PIXTRAL = Processor("PixtralImageProcessor", {"size": {"longest_edge": "SIDE"}, "patch_size": 8})
MOBILEVIT = Processor(
    "MobileViTImageProcessor",
    {"size": {"shortest_edge": "LARGER"}, "crop_size": "FIXED", "do_flip_channel_order": True, "do_normalize": None},
    BGR,
)
# It normalises by channel first, and puts blue in front then.
LCNET_PROCESSOR = Processor(
    "PPLCNetImageProcessor",
    {"resize_short": "LARGER", "crop_size": "FIXED", "do_center_crop": True},
    Scaling(MEAN[::-1], STD[::-1], (2, 1, 0)),
)
NAFLEX = Processor("Siglip2ImageProcessor", {"patch_size": 8, "max_num_patches": 16})
SAM_PROCESSOR = Processor("SamImageProcessor", {"size": {"longest_edge": "SIDE"}, "pad_size": "FIXED"})
LEVIT = Processor("LevitImageProcessor", {"size": {"shortest_edge": "SIDE"}, "crop_size": "FIXED"})
POOLFORMER = Processor(
    "PoolFormerImageProcessor", {"size": {"shortest_edge": "SIDE"}, "crop_pct": 0.9, "crop_size": "FIXED"}
)
TEXTNET = Processor("TextNetImageProcessor", {"size": {"shortest_edge": "SIDE"}, "size_divisor": 32})
