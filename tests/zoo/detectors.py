"""Detectors: the vector is the mean of their backbone's last map."""

from . import naturals as n
from .configurations import HGNET, RATIO, RESNET, SWIN
from .duals import TEXT
from .family import DETR, Family, fixed, framed

DECODER = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_queries": 5,
}
BACKBONE = {"model_type": "resnet", **RESNET, "out_features": ["stage2"]}
FOUR = {"embedding_size": 16, "hidden_sizes": [16, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
LAST_THREE = {**FOUR, "out_features": ["stage2", "stage3", "stage4"]}
SWIN_FOUR = {
    **SWIN,
    "image_size": 64,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 2, 2],
    "window_size": 2,
}
SWIN_THREE = {"model_type": "swin", **SWIN_FOUR, "out_features": ["stage2", "stage3", "stage4"]}
RT = {
    "backbone_config": {"model_type": "rt_detr_resnet", **LAST_THREE},
    "encoder_in_channels": [16, 24, 32],
    "encoder_hidden_dim": 32,
    "d_model": 32,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "decoder_in_channels": [32, 32, 32],
    "num_queries": 5,
    "num_denoising": 0,
}
LW = {
    "d_model": 32,
    "decoder_ffn_dim": 32,
    "decoder_layers": 1,
    "decoder_self_attention_heads": 2,
    "decoder_cross_attention_heads": 2,
    "num_queries": 4,
    "group_detr": 1,
    "decoder_n_points": 1,
    "hidden_expansion": 0.5,
    "c2f_num_blocks": 1,
    "projector_scale_factors": [1.0],
}
HGNET_FOUR = {
    **HGNET,
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [16, 16, 24, 32],
    "stage_in_channels": [16, 16, 16, 24],
    "stage_mid_channels": [8, 8, 8, 8],
    "stage_out_channels": [16, 16, 24, 32],
    "stage_num_blocks": [1, 1, 1, 1],
    "stage_downsample": [False, True, True, True],
    "stage_downsample_strides": [2, 2, 2, 2],
    "stage_light_block": [False, False, True, True],
    "stage_kernel_size": [3, 3, 3, 3],
    "stage_numb_of_layers": [1, 1, 1, 1],
    "out_features": ["stage2", "stage3", "stage4"],
}
GROUNDING = {
    **DECODER,
    "backbone_config": SWIN_THREE,
    "text_config": {"model_type": "bert", **TEXT},
    "num_feature_levels": 4,
    "max_text_len": 8,
}
LARGE = {"size": (64, 64)}
OF_MODEL = n.of("backbone.model", n.feature_map_mean)
OF_ENCODER = n.of("backbone.conv_encoder.model", n.feature_map_mean)
OF_BACKBONE = n.of("backbone", n.feature_map_mean)

DETECTORS = [
    Family("detr", "DetrModel", {**DECODER, "backbone_config": BACKBONE}, OF_MODEL, **LARGE, processor=DETR),
    Family(
        "conditional_detr",
        "ConditionalDetrModel",
        {**DECODER, "backbone_config": BACKBONE},
        OF_MODEL,
        **LARGE,
        processor=framed("ConditionalDetrImageProcessor"),
    ),
    Family(
        "table-transformer",
        "TableTransformerModel",
        {**DECODER, "backbone_config": BACKBONE},
        OF_ENCODER,
        **LARGE,
        processor=DETR,
    ),
    Family(
        "deformable_detr",
        "DeformableDetrModel",
        {**DECODER, "backbone_config": {**BACKBONE, **LAST_THREE}, "num_feature_levels": 3},
        OF_MODEL,
        **LARGE,
        processor=framed("DeformableDetrImageProcessor"),
    ),
    Family(
        "dab-detr",
        "DabDetrModel",
        {
            "hidden_size": 32,
            **{key: value for key, value in DECODER.items() if key != "d_model"},
            "backbone_config": BACKBONE,
        },
        OF_ENCODER,
        **LARGE,
        processor=framed("ConditionalDetrImageProcessor"),
    ),
    Family("rt_detr", "RTDetrModel", RT, OF_MODEL, **LARGE, processor=fixed("RTDetrImageProcessor")),
    Family("rt_detr_v2", "RTDetrV2Model", RT, OF_MODEL, **LARGE, processor=fixed("RTDetrImageProcessor")),
    Family(
        "d_fine",
        "DFineModel",
        {**RT, "backbone_config": {"model_type": "hgnet_v2", **HGNET_FOUR}},
        OF_MODEL,
        **LARGE,
        processor=fixed("RTDetrImageProcessor"),
    ),
    Family(
        "lw_detr",
        "LwDetrModel",
        {
            **LW,
            "backbone_config": {
                "model_type": "lw_detr_vit",
                **RATIO,
                "pretrain_image_size": 32,
                "num_windows": 4,
                "window_block_indices": [0],
                "out_features": ["stage1", "stage2"],
            },
        },
        n.of("backbone.backbone", n.feature_map_mean),
        processor=framed("DeformableDetrImageProcessor"),
    ),
    Family(
        "rf_detr",
        "RfDetrModel",
        {
            **LW,
            "backbone_config": {
                "model_type": "rf_detr_dinov2",
                **RATIO,
                "num_windows": 2,
                "window_block_indexes": [0],
                "out_features": ["stage1", "stage2"],
            },
        },
        n.of("backbone.backbone", n.feature_map_mean),
        processor=fixed("RfDetrImageProcessor"),
    ),
    Family(
        "grounding-dino",
        "GroundingDinoModel",
        GROUNDING,
        OF_ENCODER,
        d=64,
        **LARGE,
        processor=framed("GroundingDinoImageProcessor"),
    ),
    Family(
        "mm-grounding-dino",
        "MMGroundingDinoModel",
        GROUNDING,
        OF_ENCODER,
        d=64,
        **LARGE,
        processor=framed("GroundingDinoImageProcessor"),
    ),
]
