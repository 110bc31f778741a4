"""Vision-language models, as the Hub holds them: the vector is that of their image tower alone."""

from . import naturals as n
from .configurations import LAYERS, PIXTRAL, RATIO, SAM
from .duals import BLIP, TEXT
from .family import CLIP, SIGLIP, Family, fixed
from .towers import LLAMA4

WORDS = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 50,
    "pad_token_id": 0,
}
LLAMA = {"model_type": "llama", **WORDS}
QWEN2 = {"model_type": "qwen2", **WORDS}
MISTRAL = {"model_type": "mistral", **WORDS}
COHERE = {"model_type": "cohere2", **WORDS, "layer_types": ["full_attention"]}
OPT = {
    "model_type": "opt",
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "ffn_dim": 48,
    "max_position_embeddings": 8,
    "word_embed_proj_dim": 32,
}
OF_CLIP = {"model_type": "clip_vision_model", **LAYERS}
OF_SIGLIP = {"model_type": "siglip_vision_model", **LAYERS}
HEADLESS = {**OF_SIGLIP, "vision_use_head": False}
OF_PIXTRAL = {"model_type": "pixtral", **LAYERS, "head_dim": 16}
TOKEN = {"image_token_index": 49}

NORMED = n.of("model.vision_tower", n.normed_class_token("post_layernorm"))
MEAN = n.of("model.vision_tower", n.token_mean)

MULTIMODAL = [
    Family(
        "llava",
        "LlavaForConditionalGeneration",
        {"vision_config": OF_CLIP, "text_config": LLAMA, **TOKEN, "vision_feature_layer": -1},
        NORMED,
        processor=CLIP,
    ),
    Family(
        "vipllava",
        "VipLlavaForConditionalGeneration",
        {"vision_config": OF_CLIP, "text_config": LLAMA, **TOKEN, "vision_feature_layers": [-1, -2]},
        NORMED,
        processor=CLIP,
    ),
    Family(
        "llava_next",
        "LlavaNextForConditionalGeneration",
        {"vision_config": OF_CLIP, "text_config": LLAMA, **TOKEN, "vision_feature_layer": -1},
        NORMED,
        processor=CLIP,
    ),
    Family(
        "llava_onevision",
        "LlavaOnevisionForConditionalGeneration",
        {"vision_config": HEADLESS, "text_config": QWEN2, **TOKEN},
        MEAN,
        processor=SIGLIP,
    ),
    Family(
        "paligemma",
        "PaliGemmaForConditionalGeneration",
        {"vision_config": HEADLESS, "text_config": {"model_type": "gemma", **WORDS}, **TOKEN, "projection_dim": 32},
        MEAN,
        processor=SIGLIP,
    ),
    Family(
        "kosmos-2",
        "Kosmos2ForConditionalGeneration",
        {
            "vision_config": LAYERS,
            "text_config": {
                "vocab_size": 50,
                "embed_dim": 32,
                "layers": 1,
                "ffn_dim": 48,
                "attention_heads": 2,
                "max_position_embeddings": 16,
            },
            "latent_query_num": 4,
        },
        n.of("vision_model.model", n.normed_class_token("post_layernorm")),
        processor=CLIP,
    ),
    Family(
        "aya_vision",
        "AyaVisionForConditionalGeneration",
        {"vision_config": HEADLESS, "text_config": COHERE, **TOKEN},
        MEAN,
        processor=SIGLIP,
    ),
    Family(
        "cohere2_vision",
        "Cohere2VisionForConditionalGeneration",
        {"vision_config": HEADLESS, "text_config": COHERE, "alignment_intermediate_size": 32},
        MEAN,
        processor=SIGLIP,
    ),
    Family(
        "gemma3",
        "Gemma3ForConditionalGeneration",
        {
            "vision_config": HEADLESS,
            "text_config": {**WORDS, "layer_types": ["full_attention"]},
            **TOKEN,
            "mm_tokens_per_image": 4,
        },
        MEAN,
        processor=fixed("Gemma3ImageProcessor"),
    ),
    Family(
        "deepseek_vl",
        "DeepseekVLForConditionalGeneration",
        {"vision_config": OF_SIGLIP, "text_config": LLAMA},
        n.of("model.vision_model", n.attention_pooled),
        processor=SIGLIP,
    ),
    Family(
        "internvl",
        "InternVLForConditionalGeneration",
        {"vision_config": {**LAYERS, "image_size": [32, 32], "patch_size": [8, 8]}, "text_config": QWEN2},
        n.of("model.vision_tower", n.patch_mean),
        processor=fixed("GotOcr2ImageProcessor", crop_to_patches=False),
    ),
    Family(
        "janus",
        "JanusForConditionalGeneration",
        {
            "vision_config": {**RATIO, "mlp_ratio": 2.0, "num_image_tokens": 16, "projection_dim": 32},
            "text_config": LLAMA,
            "vq_config": {
                "embed_dim": 4,
                "num_embeddings": 8,
                "latent_channels": 32,
                "base_channels": 32,
                "channel_multiplier": [1],
                "num_res_blocks": 1,
                "num_patches": 4,
                "projection_dim": 32,
                "image_token_embed_dim": 32,
            },
        },
        n.of("model.vision_model", n.token_mean),
        processor=fixed("JanusImageProcessor"),
    ),
    Family(
        "idefics2",
        "Idefics2ForConditionalGeneration",
        {
            "vision_config": LAYERS,
            "text_config": MISTRAL,
            "perceiver_config": {
                "hidden_size": 32,
                "resampler_n_latents": 4,
                "resampler_depth": 1,
                "resampler_n_heads": 2,
                "resampler_head_dim": 16,
                "num_key_value_heads": 2,
            },
            "image_token_id": 49,
        },
        n.of("model.vision_model", n.token_mean),
        processor=SIGLIP,
    ),
    Family(
        "idefics3",
        "Idefics3ForConditionalGeneration",
        {"vision_config": LAYERS, "text_config": LLAMA, "image_token_id": 49},
        n.of("model.vision_model", n.token_mean),
        processor=SIGLIP,
    ),
    Family(
        "smolvlm",
        "SmolVLMForConditionalGeneration",
        {"vision_config": LAYERS, "text_config": LLAMA, "image_token_id": 49},
        n.of("model.vision_model", n.token_mean),
        processor=SIGLIP,
    ),
    Family(
        "got_ocr2",
        "GotOcr2ForConditionalGeneration",
        {"vision_config": {**SAM, "output_channels": 16}, "text_config": QWEN2, **TOKEN},
        n.of("model.vision_tower", n.map_mean),
        d=16,
        processor=fixed("GotOcr2ImageProcessor", crop_to_patches=False),
    ),
    Family(
        "instructblip",
        "InstructBlipForConditionalGeneration",
        {
            "vision_config": LAYERS,
            "qformer_config": {**TEXT, "encoder_hidden_size": 32, "cross_attention_frequency": 1},
            "text_config": OPT,
            "num_query_tokens": 4,
            **TOKEN,
        },
        n.of("vision_model", n.normed_class_token("post_layernorm")),
        processor=BLIP,
    ),
    Family(
        "mistral3",
        "Mistral3ForConditionalGeneration",
        {"vision_config": OF_PIXTRAL, "text_config": MISTRAL, **TOKEN},
        n.of("model.vision_tower", n.one_at_a_time),
        processor=PIXTRAL,
        note="one image at a time",
    ),
    Family(
        "lighton_ocr",
        "LightOnOcrForConditionalGeneration",
        {"vision_config": OF_PIXTRAL, "text_config": {"model_type": "qwen3", **WORDS}},
        n.of("model.vision_encoder", n.one_at_a_time),
        processor=PIXTRAL,
        note="one image at a time",
    ),
    Family(
        "llama4",
        "Llama4ForConditionalGeneration",
        {
            "vision_config": {
                **LAYERS,
                "intermediate_size": 128,
                "vision_output_dim": 32,
                "projector_input_dim": 32,
                "projector_output_dim": 32,
            },
            "text_config": {**WORDS, "intermediate_size_mlp": 48, "num_local_experts": 2, "moe_layers": []},
        },
        n.of("vision_model", n.token_mean),
        processor=LLAMA4,
    ),
    Family(
        "ovis2",
        "Ovis2ForConditionalGeneration",
        {
            "vision_config": {**LAYERS, "vocab_size": 14, "num_visual_indicator_tokens": 2},
            "text_config": QWEN2,
            "visual_indicator_token_ids": [45, 46],
            "hidden_size": 32,
            "vocab_size": 50,
            "image_token_id": 49,
        },
        n.of("model.vision_tower", n.token_mean),
        processor=fixed("Ovis2ImageProcessor", crop_to_patches=False),
    ),
    Family(
        "vision-encoder-decoder",
        "VisionEncoderDecoderModel",
        {
            "encoder": {"model_type": "vit", **LAYERS},
            "decoder": {"model_type": "bert", **TEXT, "is_decoder": True, "add_cross_attention": True},
        },
        n.of("encoder", n.class_token),
    ),
    Family(
        "git",
        "GitForCausalLM",
        {**TEXT, "vision_config": LAYERS},
        n.of("git.image_encoder", n.class_token),
        processor=CLIP,
    ),
]
