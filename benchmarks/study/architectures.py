"""Small vision architectures of eight families for pictures of 32 x 32, by the width of their representation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from real_encoders import SIDE


def resnet(width: int) -> Any:
    """Return a ResNet of basic layers, one in each stage; the first of its stages is a quarter of the last or less."""
    from transformers import ResNetConfig, ResNetModel

    stages = {64: [16, 32, 64], 128: [16, 32, 64, 128], 256: [32, 64, 128, 256], 384: [32, 64, 128, 384]}[width]
    sizes: dict[str, Any] = {"embedding_size": stages[0], "hidden_sizes": stages, "depths": [1] * len(stages)}
    return ResNetModel(ResNetConfig(**sizes, layer_type="basic", downsample_in_first_stage=False))


def vit(width: int) -> Any:
    """Return a vision transformer with three blocks, on 64 patches where it is narrow and on 16 where it is not."""
    from transformers import ViTConfig, ViTModel

    sizes: dict[str, Any] = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 3}
    patches: dict[str, Any] = {"image_size": SIDE, "patch_size": 4 if width < 96 else 8}
    config = ViTConfig(**sizes, **patches, num_attention_heads=width // 32, attn_implementation="eager")
    return ViTModel(config, add_pooling_layer=False)


def dinov2(width: int) -> Any:
    """Return the vision transformer of DINOv2, three blocks with a learned scale on 16 patches."""
    from transformers import Dinov2Config, Dinov2Model

    sizes: dict[str, Any] = {"hidden_size": width, "mlp_ratio": 2, "num_hidden_layers": 3}
    patches: dict[str, Any] = {"image_size": SIDE, "patch_size": 8}
    config = Dinov2Config(**sizes, **patches, num_attention_heads=width // 32, attn_implementation="eager")
    return Dinov2Model(config)


def swin(width: int) -> Any:
    """Return a Swin transformer with two stages, on 64 patches and windows of 16."""
    from transformers import SwinConfig, SwinModel

    sizes: dict[str, Any] = {"embed_dim": width // 2, "depths": [1, 2], "num_heads": [2, 4], "mlp_ratio": 2.0}
    return SwinModel(SwinConfig(**sizes, image_size=SIDE, patch_size=4, window_size=4, drop_path_rate=0.0))


def convnext(width: int) -> Any:
    """Return a ConvNeXt with one block in each of three stages."""
    from transformers import ConvNextConfig, ConvNextModel

    sizes: dict[str, Any] = {"num_stages": 3, "hidden_sizes": [width // 4, width // 2, width], "depths": [1, 1, 1]}
    # The scale of its branches begins at 1e-6 by default, for hundreds of epochs; so few need a larger one.
    return ConvNextModel(ConvNextConfig(**sizes, patch_size=4, image_size=SIDE, layer_scale_init_value=0.1))


def regnet(width: int) -> Any:
    """Return a RegNet of X layers, one in each of three stages, 16 channels a group."""
    from transformers import RegNetConfig, RegNetModel

    stages = [width // 4, width // 2, width]
    sizes: dict[str, Any] = {"embedding_size": width // 4, "hidden_sizes": stages, "depths": [1, 1, 1]}
    return RegNetModel(RegNetConfig(**sizes, groups_width=16, layer_type="x", downsample_in_first_stage=width < 128))


def poolformer(width: int) -> Any:
    """Return a PoolFormer with one block in each of three stages."""
    from transformers import PoolFormerConfig, PoolFormerModel

    sizes: dict[str, Any] = {"hidden_sizes": [width // 4, width // 2, width], "depths": [1, 1, 1], "mlp_ratio": 2.0}
    stem: dict[str, Any] = {"patch_sizes": [5, 3, 3], "strides": [4, 2, 2], "padding": [2, 1, 1]}
    return PoolFormerModel(PoolFormerConfig(**sizes, **stem, num_encoder_blocks=3, layer_scale_init_value=0.1))


def shallow(width: int) -> Any:
    """Return a ResNet of one layer behind its stem: without training, a few random features of small patches."""
    from transformers import ResNetConfig, ResNetModel

    sizes: dict[str, Any] = {"embedding_size": width, "hidden_sizes": [width], "depths": [1]}
    return ResNetModel(ResNetConfig(**sizes, layer_type="basic", downsample_in_first_stage=False))


@dataclass(frozen=True)
class Family:
    """How encoders of one architecture are made, by the width of their representation, and how fast they learn."""

    make: Callable[[int], Any]
    rate: float


FAMILIES = {
    "resnet": Family(resnet, 3e-3),
    "vit": Family(vit, 1e-3),
    "convnext": Family(convnext, 2e-3),
    "poolformer": Family(poolformer, 2e-3),
    "regnet": Family(regnet, 3e-3),
    "dinov2": Family(dinov2, 1e-3),
    "swin": Family(swin, 1e-3),
    "shallow": Family(shallow, 3e-3),
}
