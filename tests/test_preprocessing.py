"""The input contract of an encoder is what its own image processor does, found by asking it with plain pictures."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from synbench import ArgumentError, EncoderError
from synbench.preprocessing import InputContract, at_configured_size, from_arguments, from_processor
from synbench.processor_fields import configured_channels, configured_size, read

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
HALVES = (0.5, 0.5, 0.5)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
OWN = {"image_mean": MEAN, "image_std": STD}
NO_CONFIG = SimpleNamespace()

# The processor answers in float32, and the contract keeps six digits of mean and std.
DIGITS = 1e-5

# Name: the processor, its arguments, and the size, mean and std that it must be found to have.
PROCESSORS = {
    "vit": ("ViTImageProcessor", {}, 224, HALVES, HALVES),
    "vit of 32": ("ViTImageProcessor", {"size": {"height": 32, "width": 32}, **OWN}, 32, MEAN, STD),
    "clip": ("CLIPImageProcessor", {}, 224, CLIP_MEAN, CLIP_STD),
    "clip that crops": (
        "CLIPImageProcessor",
        {"size": {"shortest_edge": 256}, "crop_size": {"height": 32, "width": 40}, **OWN},
        (32, 40),
        MEAN,
        STD,
    ),
    "convnext with crop_pct": (
        "ConvNextImageProcessor",
        {"size": {"shortest_edge": 224}, "crop_pct": 0.875, **OWN},
        224,
        MEAN,
        STD,
    ),
    "convnext without": ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}, **OWN}, 384, MEAN, STD),
    "siglip": ("SiglipImageProcessor", {}, 224, HALVES, HALVES),
    "not normalised": ("ViTImageProcessor", {"do_normalize": False, **OWN}, 224, (0, 0, 0), (1, 1, 1)),
    "not rescaled": (
        "ViTImageProcessor",
        {"do_rescale": False, "image_mean": [100.0, 110.0, 120.0], "image_std": [50.0, 60.0, 70.0]},
        224,
        (100 / 255, 110 / 255, 120 / 255),
        (50 / 255, 60 / 255, 70 / 255),
    ),
    "normalised twice": (
        "EfficientNetImageProcessor",
        {"size": {"height": 32, "width": 32}, "rescale_offset": False, "include_top": True, **OWN},
        32,
        MEAN,
        tuple(s * s for s in STD),
    ),
}


class Fake:
    """A processor that does to a picture in [0, 1], shape (3, height, width), what it is told."""

    def __init__(self, does, size=(8, 8)):
        self.does, self.size = does, size

    def __call__(self, images):
        resized = [i.resize(self.size[::-1]) if self.size else i for i in images]
        return {"pixel_values": [self.does(np.asarray(i, dtype=np.float32).transpose(2, 0, 1) / 255) for i in resized]}


def by_channel(pixels, mean=MEAN, std=STD):
    return (pixels - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))


def greyscale(pixels):
    return np.repeat(pixels.mean(axis=0, keepdims=True), 3, axis=0)


def ask(processor, config=NO_CONFIG, size=None, mean=None, std=None):
    return from_processor("some/model", processor, config, size, mean, std)


def agrees(contract, processor):
    """Whether both do the same to a picture in a colour that the contract was not made from."""
    colour = (17, 130, 240)
    made = np.asarray(processor(images=[Image.new("RGB", (96, 96), colour)])["pixel_values"][0])
    pixels = torch.tensor(colour).float().view(1, 3, 1, 1).expand(1, *contract.shape) / 255
    return np.allclose(contract.normalize(pixels)[0], made, atol=DIGITS * np.abs(made).max())


@pytest.mark.parametrize("name", PROCESSORS)
def test_contract_is_what_the_processor_does(name):
    kind, arguments, size, mean, std = PROCESSORS[name]
    processor = getattr(transformers, kind)(**arguments)
    contract = ask(processor)
    assert contract.shape == (3, *(size if isinstance(size, tuple) else (size, size)))
    np.testing.assert_allclose(contract.mean, mean, rtol=DIGITS, atol=1e-7)
    np.testing.assert_allclose(contract.std, std, rtol=DIGITS)
    assert (contract.order, contract.source) == ((0, 1, 2), "image processor")
    assert agrees(contract, processor)


def test_contract_has_short_numbers_where_the_processor_has():
    contract = ask(transformers.ViTImageProcessor(size={"height": 32, "width": 32}, **OWN))
    assert (contract.mean, contract.std) == (MEAN, STD)


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0)])
def test_channels_in_another_order_are_found(order):
    processor = Fake(lambda pixels: by_channel(pixels[list(order)]))
    contract = ask(processor)
    assert contract.order == order
    # Mean and std are those of the channel that the model gets there.
    np.testing.assert_allclose(contract.mean, MEAN, rtol=DIGITS)
    np.testing.assert_allclose(contract.std, STD, rtol=DIGITS)
    assert agrees(contract, processor)


@pytest.mark.parametrize(
    "mixes",
    [
        greyscale,
        lambda pixels: pixels + 0.1 * greyscale(pixels),
        lambda pixels: pixels[[0, 0, 2]],
        lambda pixels: 0 * pixels,
        lambda pixels: 1 - pixels,
    ],
    ids=["greyscale", "a tenth of greyscale", "a channel twice", "nothing left", "a negative"],
)
def test_processor_that_mixes_channels_is_refused_with_its_remedy(mixes):
    match = r"'some/model' mixes or inverts channels, expected a scaling by channel\. Pass image_size=, image_mean="
    with pytest.raises(EncoderError, match=match):
        ask(Fake(mixes))


def test_processor_that_takes_no_pictures_is_refused_with_its_reason():
    def does(pixels):
        raise KeyError("boxes")

    with pytest.raises(EncoderError, match=r"does not take plain pictures \(KeyError: 'boxes'\)\. Pass image_size="):
        ask(Fake(does))


@pytest.mark.parametrize("does", [lambda p: p.reshape(3, -1), lambda p: p.transpose(1, 2, 0), lambda p: p[None]])
def test_processor_that_makes_no_images_is_refused_with_the_shape(does):
    match = r"makes \(4, [0-9, ]+\), expected \(n, 3, height, width\)\. Pass image_size="
    with pytest.raises(EncoderError, match=match):
        ask(Fake(does))


def test_model_without_a_processor_is_refused_unless_all_is_given():
    match = r"'some/model' has no image processor .* Pass image_size=, image_mean= and image_std="
    for given in ({}, {"size": 8}, {"size": 8, "mean": 0.5}, {"mean": 0.5, "std": 0.5}):
        with pytest.raises(EncoderError, match=match):
            ask(None, **given)
    contract = ask(None, size=8, mean=0.5, std=0.25)
    assert contract == InputContract((3, 8, 8), (0.5,) * 3, (0.25,) * 3, (0, 1, 2), "arguments")


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (SimpleNamespace(image_size=48), (48, 48)),
        (SimpleNamespace(image_size=[40, 56]), (40, 56)),
        (SimpleNamespace(image_size=(40, 56)), (40, 56)),
        (SimpleNamespace(vision_config=SimpleNamespace(image_size=24)), (24, 24)),
        (SimpleNamespace(image_size=None, vision_config=SimpleNamespace(image_size=24)), (24, 24)),
    ],
)
def test_where_the_processor_fixes_no_size_the_configuration_does(config, size):
    processor = transformers.ViTImageProcessor(do_resize=False, **OWN)
    assert ask(processor, config).shape == (3, *size)
    # A size that the processor fixes comes first.
    fixed = transformers.ViTImageProcessor(size={"height": 16, "width": 16}, **OWN)
    assert ask(fixed, config).shape == (3, 16, 16)


def test_where_nothing_fixes_a_size_it_must_be_given():
    processor = transformers.ViTImageProcessor(do_resize=False, **OWN)
    match = r"neither the image processor nor the configuration of 'some/model' fixes an input size\. Pass image_size="
    with pytest.raises(EncoderError, match=match):
        ask(processor)
    contract = ask(processor, size=20)
    assert contract.shape == (3, 20, 20)
    np.testing.assert_allclose(contract.mean, MEAN, rtol=DIGITS)


@pytest.mark.parametrize(
    ("given", "shape", "mean", "std"),
    [
        ({"size": 16}, (3, 16, 16), MEAN, STD),
        ({"size": (16, 24)}, (3, 16, 24), MEAN, STD),
        ({"mean": 0.1}, (3, 32, 32), (0.1, 0.1, 0.1), STD),
        ({"std": (0.7, 0.8, 0.9)}, (3, 32, 32), MEAN, (0.7, 0.8, 0.9)),
        ({"size": 16, "mean": (0.1, 0.2, 0.3)}, (3, 16, 16), (0.1, 0.2, 0.3), STD),
        ({"mean": 0, "std": 1}, (3, 32, 32), (0, 0, 0), (1, 1, 1)),
    ],
    ids=str,
)
def test_what_is_given_takes_precedence_and_the_rest_is_the_processors(given, shape, mean, std):
    contract = ask(transformers.ViTImageProcessor(size={"height": 32, "width": 32}, **OWN), **given)
    assert contract.shape == shape
    np.testing.assert_allclose(contract.mean, mean, rtol=DIGITS)
    np.testing.assert_allclose(contract.std, std, rtol=DIGITS)
    assert contract.source == "image processor and arguments"


def test_with_everything_given_the_processor_is_not_asked():
    def does(pixels):
        raise AssertionError("asked")

    assert ask(Fake(does), size=8, mean=0.5, std=0.5).source == "arguments"


# ------------------------------------------------------------------- where the processor cannot be asked: its fields


FIXED = {"size": {"height": 32, "width": 40}}
# Every form of the fields of a processor that can be loaded here, so that the reading is judged by the processor.
READABLE = {
    "height and width": ("ViTImageProcessor", FIXED),
    "one number": ("ViTImageProcessor", {"size": 32}),
    "shortest edge": ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}, "crop_pct": 0.875}),
    "cropped": ("CLIPImageProcessor", {"size": {"shortest_edge": 48}, "crop_size": {"height": 32, "width": 24}}),
    "cropped to one number": ("CLIPImageProcessor", {"size": 48, "crop_size": 32}),
    "not cropped": ("CLIPImageProcessor", {"size": {"height": 32, "width": 32}, "do_center_crop": False}),
    "edges": ("DetrImageProcessor", {"size": {"shortest_edge": 32, "longest_edge": 64}}),
    "padded": ("SamImageProcessor", {"size": {"longest_edge": 32}, "pad_size": {"height": 48, "width": 48}}),
    "not resized": ("ViTImageProcessor", {"do_resize": False}),
    "not normalised": ("ViTImageProcessor", {**FIXED, "do_normalize": False}),
    "not rescaled": ("ViTImageProcessor", {**FIXED, "do_rescale": False, "image_mean": [9, 8, 7]}),
    "rescaled otherwise": ("ViTImageProcessor", {**FIXED, "rescale_factor": 1 / 127.5}),
    "shifted": ("EfficientNetImageProcessor", {**FIXED, "rescale_factor": 1 / 127.5, "rescale_offset": True}),
    "normalised twice": ("EfficientNetImageProcessor", FIXED),
    "normalised once": ("EfficientNetImageProcessor", {**FIXED, "include_top": False}),
    "flipped": ("MobileViTImageProcessor", {**FIXED, "do_center_crop": False, "do_flip_channel_order": True}),
    "not flipped": ("MobileViTImageProcessor", {**FIXED, "do_center_crop": False, "do_flip_channel_order": False}),
}


@pytest.mark.parametrize("name", READABLE)
def test_fields_say_what_the_processor_does(name):
    kind, fields = READABLE[name]
    # As it was written: with what the class itself adds, since its name alone does not tell it.
    written = {"do_normalize": True, **OWN, **fields}
    processor = getattr(transformers, kind)(**written)
    asked = ask(processor, SimpleNamespace(image_size=96))
    if kind == "MobileViTImageProcessor":
        written["do_normalize"] = False
    found = from_processor(
        "some/model",
        None,
        SimpleNamespace(image_size=96),
        None,
        None,
        None,
        fields=lambda: {**written, "image_processor_type": kind},
    )
    assert found.source == "preprocessor_config.json"
    assert (found.shape, found.order) == (asked.shape, asked.order)
    np.testing.assert_allclose(found.mean, asked.mean, rtol=DIGITS, atol=1e-6)
    np.testing.assert_allclose(found.std, asked.std, rtol=DIGITS)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"size": {"shortest_edge": 3136, "longest_edge": 1003520}}, None),
        ({"size": {"shortest_edge": 800, "longest_edge": 1333}}, (800, 800)),
        ({"size": {"shortest_edge": 65536, "longest_edge": 16777216}}, None),
        ({"size": None}, None),
        ({}, None),
        ({"size": {"max_height": 378, "max_width": 378}}, None),
        ({"crop_size": {"shortest_edge": 24}, "size": {"shortest_edge": 32}, "do_center_crop": True}, (24, 24)),
        ({"crop_size": 24, "size": 32, "do_center_crop": False}, (32, 32)),
        ({"size": [24, 32]}, (24, 32)),
        ({"size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}}, (512, 512)),
    ],
    ids=str,
)
def test_size_is_read_in_all_its_forms(written, expected):
    assert read(written).size == expected


def test_channels_that_are_flipped_last_take_their_mean_and_std_along():
    found = read({"image_processor_type": "PPLCNetImageProcessor", "do_normalize": True, **OWN})
    assert found.order == (2, 1, 0)
    np.testing.assert_allclose(found.mean, MEAN[::-1], rtol=DIGITS)
    np.testing.assert_allclose(found.std, STD[::-1], rtol=DIGITS)


@pytest.mark.parametrize("missing", ["image_mean", "image_std"])
def test_fields_that_do_not_say_what_is_done_are_no_answer(missing):
    assert read({"do_normalize": True, **OWN, missing: None}) is None
    assert read({"do_normalize": None, **OWN, missing: None}).mean == (0, 0, 0)


def test_mean_may_be_one_number():
    assert read({"do_normalize": True, "image_mean": 0.5, "image_std": 0.25}).std == (0.25,) * 3


def test_configuration_of_a_wrapped_timm_model_is_read():
    config = SimpleNamespace(pretrained_cfg={"input_size": [3, 40, 48], "mean": MEAN, "std": STD})
    contract = ask(None, config)
    assert (contract.shape, contract.mean, contract.std) == ((3, 40, 48), MEAN, STD)
    assert contract.source == "pretrained_cfg in config.json"


def test_processor_that_does_not_answer_is_read_if_it_has_fields():
    def does(pixels):
        raise KeyError("boxes")

    contract = from_processor(
        "some/model", Fake(does), NO_CONFIG, None, None, None, fields=lambda: {**OWN, "do_normalize": True, "size": 24}
    )
    assert (contract.shape, contract.mean, contract.std) == ((3, 24, 24), MEAN, STD)


@pytest.mark.parametrize(
    ("size", "configured", "expected"),
    [
        ({"shortest_edge": 38, "longest_edge": 96}, 96, 96),
        ({"shortest_edge": 38, "longest_edge": 96}, 48, 48),
        ({"shortest_edge": 38, "longest_edge": 96}, 24, 38),
        ({"shortest_edge": 38, "longest_edge": 96}, 128, 38),
        ({"longest_edge": 96}, 24, 24),
        ({"longest_edge": 96}, 128, 96),
        ({"shortest_edge": 38}, 96, 38),
        ({"height": 38, "width": 38}, 96, 38),
    ],
    ids=str,
)
def test_within_a_range_of_sizes_the_configured_one_is_taken(size, configured, expected):
    config = SimpleNamespace(vision_config=SimpleNamespace(image_size=configured))
    fields = {**OWN, "do_normalize": True, "size": size}
    contract = from_processor("some/model", None, config, None, None, None, fields=lambda: fields)
    assert contract.shape == (3, expected, expected)
    cropped = {**fields, "do_center_crop": True, "crop_size": 40}
    assert from_processor("m", None, config, None, None, None, fields=lambda: cropped).shape == (3, 40, 40)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SimpleNamespace(image_size=24), (24, 24)),
        (SimpleNamespace(image_size={"height": 24, "width": 32}), (24, 32)),
        (SimpleNamespace(crop_size=24), (24, 24)),
        (SimpleNamespace(image_config=SimpleNamespace(image_size=24)), (24, 24)),
        (SimpleNamespace(encoder=SimpleNamespace(image_size=[24, 32])), (24, 32)),
        (SimpleNamespace(vision_config=SimpleNamespace(backbone_config=SimpleNamespace(image_size=24))), (24, 24)),
        (transformers.Siglip2VisionConfig(num_patches=9, patch_size=8), (24, 24)),
        (SimpleNamespace(image_size=None, vision_config=None), None),
    ],
)
def test_size_of_a_configuration_has_many_names(config, expected):
    assert configured_size(None, config) == expected
    # The vision part goes first.
    assert configured_size(SimpleNamespace(image_size=8), config) == (8, 8)


def test_another_size_is_tried_only_if_the_configuration_has_another():
    contract = from_arguments(24, None, None)
    assert at_configured_size(contract, None, SimpleNamespace(image_size=24)) is None
    assert at_configured_size(contract, None, NO_CONFIG) is None
    assert at_configured_size(contract, None, SimpleNamespace(image_size=32)).shape == (3, 32, 32)


def test_channels_are_those_of_the_vision_part():
    part = SimpleNamespace(num_channels=4)
    assert configured_channels(part, SimpleNamespace(num_channels=3)) == 4
    assert configured_channels(None, SimpleNamespace(backbone_config=part)) == 4
    assert configured_channels(None, NO_CONFIG) == 3
    with pytest.raises(EncoderError, match=r"takes 4 channels, .* pass image_size=\(4, height, width\)"):
        ask(transformers.ViTImageProcessor(**OWN), part)


def test_one_channel_gets_the_first_of_mean_and_std():
    contract = ask(transformers.ViTImageProcessor(size=24, **OWN), SimpleNamespace(num_channels=1))
    assert (contract.shape, contract.mean, contract.order) == ((1, 24, 24), MEAN[:1], (0,))


def test_size_mean_and_std_are_for_images_of_any_number_of_channels():
    contract = from_arguments((2, 3, 4), [0.1, 0.2], 0.5)
    assert contract == InputContract((2, 3, 4), (0.1, 0.2), (0.5, 0.5), (0, 1), "arguments")
    assert from_arguments(8, None, None) == InputContract((3, 8, 8), (0,) * 3, (1,) * 3, (0, 1, 2), "arguments")


def test_size_must_be_given_where_nothing_tells_it():
    with pytest.raises(ArgumentError, match=r"image_size is needed for a module or a callable"):
        from_arguments(None, 0.5, 0.5)


@pytest.mark.parametrize("value", [[0.1, 0.2], "half", [[0.1], [0.2], [0.3], [0.4]], {"r": 1}, object()])
@pytest.mark.parametrize("name", ["image_mean", "image_std"])
def test_mean_and_std_must_fit_the_channels(name, value):
    given = {"image_mean": None, "image_std": None, name: value}
    with pytest.raises(ArgumentError, match=rf"{name} must be a number, or 3 numbers \(one a channel\), got "):
        from_arguments(8, **given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_mean", float("nan")),
        ("image_mean", [0.0, 0.0, float("inf")]),
        ("image_std", float("nan")),
        ("image_std", 0.0),
        ("image_std", [0.5, 0.5, -0.5]),
    ],
)
def test_mean_must_be_finite_and_std_positive_too(name, value):
    given = {"image_mean": None, "image_std": None, name: value}
    positive = ", and positive" if name == "image_std" else ""
    with pytest.raises(ArgumentError, match=rf"{name} must be finite{positive}, got "):
        from_arguments(8, **given)


def test_normalize_is_the_affine_map_by_channel_and_nothing_else():
    contract = InputContract((3, 4, 5), MEAN, STD, (2, 1, 0), "test")
    # Far outside [0, 1]: a Gaussian image is neither clipped nor rescaled.
    images = 10 * torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    kept = images.clone()
    found = contract.normalize(images)
    expected = np.stack([by_channel(image[::-1]) for image in images.double().numpy()])
    # Float32 rounds (x - mean) / std three times: some 2e-7 of values up to 200.
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)
    assert found.dtype == torch.float32
    assert torch.equal(images, kept), "the caller's images were changed"


def test_normalize_without_mean_and_std_gives_the_images_themselves():
    images = torch.randn(2, 3, 4, 4)
    assert torch.equal(from_arguments(4, None, None).normalize(images), images)
