"""Dual encoders of images and text: the vector is that of their image tower, before the projection."""

from . import naturals as n
from .configurations import EFFICIENT, EFFICIENTNET, LAYERS, NAFLEX, RATIO
from .family import AS_IT_IS, CLIP, SIGLIP, VIT, Family, fixed

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 50,
    "max_position_embeddings": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
BOTH = {"text_config": TEXT, "vision_config": LAYERS}
PROJECTED = {**BOTH, "projection_dim": 16}
NORMED = n.of("vision_model", n.normed_class_token("post_layernorm"))
GROUPS = {
    **{key: value for key, value in LAYERS.items() if key != "num_hidden_layers"},
    "depths": [1, 1],
    "num_hidden_layers": 2,
    "num_group_tokens": [4, 0],
    "num_output_groups": [4, 0],
    "assign_mlp_ratio": [0.5, 2],
}
ALIGN = {**EFFICIENTNET, "width_coefficient": 1.0}
BLIP = fixed("BlipImageProcessor")
OWL = fixed("OwlViTImageProcessor", do_center_crop=False)
TIPS = fixed("Tipsv2ImageProcessor", AS_IT_IS, do_normalize=False, image_mean=None, image_std=None)

DUALS = [
    Family("clip", "CLIPModel", PROJECTED, NORMED, processor=CLIP),
    Family("metaclip_2", "MetaClip2Model", PROJECTED, NORMED, processor=CLIP),
    Family("siglip", "SiglipModel", BOTH, n.of("vision_model", n.attention_pooled), processor=SIGLIP),
    Family(
        "siglip2",
        "Siglip2Model",
        {**BOTH, "vision_config": {**LAYERS, "num_patches": 16}},
        n.of("vision_model", n.patched),
        processor=NAFLEX,
        note="images are cut into patches, with their grid",
    ),
    Family("aimv2", "Aimv2Model", PROJECTED, n.of("vision_model", n.attention_pooled), processor=CLIP),
    Family(
        "altclip",
        "AltCLIPModel",
        {**PROJECTED, "text_config": {**TEXT, "max_position_embeddings": 12, "project_dim": 16}},
        NORMED,
        processor=CLIP,
    ),
    Family(
        "chinese_clip",
        "ChineseCLIPModel",
        PROJECTED,
        NORMED,
        processor=fixed("ChineseCLIPImageProcessor", do_center_crop=False),
    ),
    Family("clipseg", "CLIPSegModel", PROJECTED, NORMED, processor=VIT),
    Family(
        "align",
        "AlignModel",
        {"text_config": TEXT, "vision_config": ALIGN, "projection_dim": 24},
        n.of("vision_model", n.map_mean),
        d=24,
        processor=EFFICIENT,
        gain=4.0,
        note="its processor divides by the standard deviation twice",
    ),
    Family("blip", "BlipModel", PROJECTED, NORMED, processor=BLIP),
    Family(
        "groupvit",
        "GroupViTModel",
        {**PROJECTED, "vision_config": GROUPS, "projection_intermediate_dim": 24},
        n.of("vision_model", n.groupvit),
        processor=CLIP,
    ),
    Family("owlvit", "OwlViTModel", PROJECTED, NORMED, processor=OWL),
    Family("owlv2", "Owlv2Model", PROJECTED, NORMED, processor=fixed("Owlv2ImageProcessor")),
    Family(
        "tipsv2",
        "Tipsv2Model",
        {"text_config": TEXT, "vision_config": RATIO},
        n.of("vision_model", n.class_token),
        processor=TIPS,
        note="takes pixels as they are",
    ),
    Family(
        "flava",
        "FlavaModel",
        {"image_config": LAYERS, "text_config": TEXT, "multimodal_config": TEXT, "projection_dim": 16},
        n.of("image_model", n.class_token),
        processor=fixed("FlavaImageProcessor", do_center_crop=False),
    ),
    Family(
        "vision-text-dual-encoder",
        "VisionTextDualEncoderModel",
        {
            "vision_config": {"model_type": "vit", **LAYERS},
            "text_config": {"model_type": "bert", **TEXT},
            "projection_dim": 16,
        },
        n.of("vision_model", n.class_token),
        processor=VIT,
    ),
    Family(
        "blip-2",
        "Blip2Model",
        {
            "vision_config": LAYERS,
            "qformer_config": {**TEXT, "encoder_hidden_size": 32, "cross_attention_frequency": 1},
            "text_config": {
                "model_type": "opt",
                "vocab_size": 50,
                "hidden_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "ffn_dim": 48,
                "max_position_embeddings": 8,
                "word_embed_proj_dim": 32,
            },
            "num_query_tokens": 4,
        },
        NORMED,
        processor=BLIP,
    ),
]

# The vector that is compared with that of a text: the projection, written by hand.
PROJECTIONS = {
    "clip": "visual_projection",
    "metaclip_2": "visual_projection",
    "aimv2": "visual_projection",
    "altclip": "visual_projection",
    "chinese_clip": "visual_projection",
    "clipseg": "visual_projection",
    "groupvit": "visual_projection",
    "owlvit": "visual_projection",
    "owlv2": "visual_projection",
    "blip": "visual_projection",
}
