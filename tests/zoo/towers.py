"""Image towers of larger models, saved by themselves."""

from . import naturals as n
from .configurations import EFFICIENT, LAYERS, RATIO, SAM
from .duals import ALIGN, BLIP, GROUPS, OWL
from .family import CLIP, SIGLIP, Family, fixed

NORMED = n.normed_class_token("post_layernorm")

LLAMA4 = fixed("Llama4ImageProcessor", max_patches=1, resize_to_max_canvas=False)

TOWERS = [
    Family("altclip_vision_model", "AltCLIPVisionModel", LAYERS, NORMED, processor=CLIP),
    Family("clipseg_vision_model", "CLIPSegVisionModel", LAYERS, NORMED),
    Family("git_vision_model", "GitVisionModel", LAYERS, n.class_token, processor=CLIP),
    Family("kosmos_2_vision_model", "Kosmos2VisionModel", LAYERS, n.of("model", NORMED), processor=CLIP),
    Family("owlvit_vision_model", "OwlViTVisionModel", LAYERS, n.of("vision_model", NORMED), processor=OWL),
    Family(
        "owlv2_vision_model",
        "Owlv2VisionModel",
        LAYERS,
        n.of("vision_model", NORMED),
        processor=fixed("Owlv2ImageProcessor"),
    ),
    Family("idefics2_vision", "Idefics2VisionTransformer", LAYERS, n.token_mean),
    Family("idefics3_vision", "Idefics3VisionTransformer", LAYERS, n.token_mean),
    Family("smolvlm_vision", "SmolVLMVisionTransformer", LAYERS, n.token_mean),
    Family("blip_vision_model", "BlipVisionModel", LAYERS, NORMED, processor=BLIP),
    Family("blip_2_vision_model", "Blip2VisionModel", LAYERS, NORMED, processor=BLIP),
    Family("instructblip_vision_model", "InstructBlipVisionModel", LAYERS, NORMED, processor=BLIP),
    Family(
        "flava_image_model",
        "FlavaImageModel",
        LAYERS,
        n.class_token,
        processor=fixed("FlavaImageProcessor", do_center_crop=False),
    ),
    Family("groupvit_vision_model", "GroupViTVisionModel", GROUPS, n.groupvit, processor=CLIP),
    Family(
        "align_vision_model",
        "AlignVisionModel",
        ALIGN,
        n.map_mean,
        d=24,
        processor=EFFICIENT,
        gain=4.0,
        note="its processor divides by the standard deviation twice",
    ),
    Family(
        "janus_vision_model",
        "JanusVisionModel",
        {**RATIO, "mlp_ratio": 2.0, "num_image_tokens": 16},
        n.token_mean,
        processor=fixed("JanusImageProcessor"),
    ),
    Family(
        "internvl_vision",
        "InternVLVisionModel",
        {**LAYERS, "image_size": [32, 32], "patch_size": [8, 8]},
        n.patch_mean,
        processor=fixed("GotOcr2ImageProcessor", crop_to_patches=False),
    ),
    Family(
        "llama4_vision_model",
        "Llama4VisionModel",
        {
            **LAYERS,
            "intermediate_size": 128,
            "vision_output_dim": 32,
            "projector_input_dim": 32,
            "projector_output_dim": 32,
        },
        n.token_mean,
        processor=LLAMA4,
    ),
    Family(
        "ovis2_vision",
        "Ovis2VisionModel",
        {**LAYERS, "vocab_size": 14, "num_visual_indicator_tokens": 2},
        n.token_mean,
        processor=fixed("Ovis2ImageProcessor", crop_to_patches=False),
    ),
    Family(
        "got_ocr2_vision",
        "GotOcr2VisionEncoder",
        SAM,
        n.map_mean,
        d=16,
        processor=fixed("GotOcr2ImageProcessor", crop_to_patches=False),
    ),
    Family(
        "phi4_multimodal_vision", "Phi4MultimodalVisionModel", {**LAYERS, "crop_size": 32}, n.phi4, processor=SIGLIP
    ),
]
