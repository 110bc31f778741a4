"""One rule takes what a vision model returns to one vector an image: which field, which reduction, and the reason."""

from types import SimpleNamespace

import pytest
import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from synbench import ArgumentError, EncoderError
from synbench.pooling import CHOICES, Pooling, available, choose


def numbers(*shape):
    """Every entry differs, so that every mean, slice and transposition of them does."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def module(class_token=None, pooler=None, **config):
    """Make a vision model as the rule sees it: names of parameters, a pooler, a configuration."""
    made = torch.nn.Module()
    made.config = SimpleNamespace(**config)
    made.embeddings = torch.nn.Module()
    made.embeddings.register_parameter(class_token or "patch_embedding", torch.nn.Parameter(torch.zeros(1, 1, 4)))
    if pooler is not None:
        made.pooler = pooler
    return made


class DensePooler(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = torch.nn.Linear(4, 4)


def check(output, expected, field, reduction, of=None, **arguments):
    pooling = choose(of or module(), output, **arguments)
    assert (pooling.field, pooling.reduction) == (field, reduction)
    assert pooling.reason
    torch.testing.assert_close(pooling(output), expected)
    return pooling


VECTOR, MAP, TOKENS = numbers(2, 4), numbers(2, 4, 3, 5), numbers(2, 17, 4)
CLASS_TOKENS = pytest.mark.parametrize("name", ["cls_token", "class_token", "class_embedding"])


@pytest.mark.parametrize("field", ["pooler_output", "image_embeds", "summary", "cls_token_value", "last_hidden_state"])
def test_a_vector_is_taken_as_it_is(field):
    check({field: VECTOR}, VECTOR, field, "vector")


@pytest.mark.parametrize("kind", [dict, BaseModelOutputWithPooling, SimpleNamespace])
def test_output_may_be_a_mapping_a_transformers_output_or_an_object(kind):
    check(kind(last_hidden_state=TOKENS, pooler_output=VECTOR), VECTOR, "pooler_output", "vector")


def test_fields_are_asked_for_in_one_order_whatever_the_order_of_the_output():
    order = ["pooler_output", "image_embeds", "summary", "cls_token_value", "last_hidden_state", "features"]
    output = {name: numbers(2, 4) + i for i, name in reversed([*enumerate(order)])}
    while output:
        first = next(name for name in order if name in output)
        check(output, output[first], first, "vector")
        del output[first]


def test_fields_that_are_none_are_passed_over():
    output = BaseModelOutputWithPooling(last_hidden_state=MAP, pooler_output=None)
    check(output, MAP.mean(dim=(2, 3)), "last_hidden_state", "map mean")


@pytest.mark.parametrize("shape", [(2, 4, 3, 5), (2, 4, 5, 5), (2, 4, 1, 1), (2, 4, 4, 4), (2, 64, 7, 7)])
def test_a_map_with_channels_first_is_averaged_over_space(shape):
    found = numbers(*shape)
    check({"pooler_output": found}, found.flatten(2).mean(dim=2), "pooler_output", "map mean")


def test_a_map_with_channels_last_is_averaged_over_space():
    found = numbers(2, 7, 7, 12)
    expected = found.reshape(2, 49, 12).mean(dim=1)
    check({"last_hidden_state": found}, expected, "last_hidden_state", "map mean, channels last")


@CLASS_TOKENS
def test_tokens_of_a_model_with_a_class_token_are_told_by_it(name):
    check({"last_hidden_state": TOKENS}, TOKENS[:, 0], "last_hidden_state", "class token", module(name))


def test_tokens_of_a_model_without_a_class_token_are_averaged():
    check({"last_hidden_state": TOKENS}, TOKENS.mean(dim=1), "last_hidden_state", "token mean", module())


@CLASS_TOKENS
def test_a_square_of_tokens_has_no_class_token_among_them(name):
    tokens = numbers(2, 16, 4)
    check({"last_hidden_state": tokens}, tokens.mean(dim=1), "last_hidden_state", "token mean", module(name))


def test_a_parameter_that_only_sounds_like_a_class_token_is_none():
    check({"features": TOKENS}, TOKENS.mean(dim=1), "features", "token mean", module("cls_token_norm"))


def test_patch_tokens_are_averaged_where_the_model_is_configured_so():
    of = module("cls_token", use_mean_pooling=True)
    check({"last_hidden_state": TOKENS}, TOKENS[:, 1:].mean(dim=1), "last_hidden_state", "patch token mean", of)


def test_without_a_class_token_that_configuration_drops_none():
    of = module(use_mean_pooling=True)
    check({"last_hidden_state": TOKENS}, TOKENS.mean(dim=1), "last_hidden_state", "token mean", of)


def test_a_dense_pooler_is_passed_over_with_its_reason():
    of = module("cls_token", DensePooler())
    output = {"last_hidden_state": TOKENS, "pooler_output": VECTOR}
    pooling = check(output, TOKENS[:, 0], "last_hidden_state", "class token", of)
    assert pooling.reason == "its pooler is a dense layer with tanh; the model has a class token"


def test_another_pooler_is_taken():
    of = module("cls_token", torch.nn.LayerNorm(4))
    check({"last_hidden_state": TOKENS, "pooler_output": VECTOR}, VECTOR, "pooler_output", "vector", of)


@pytest.mark.parametrize("kind", [tuple, list])
def test_the_last_of_several_maps_is_taken(kind):
    maps = kind([numbers(2, 8, 6, 6), MAP])
    check({"feature_maps": maps}, MAP.mean(dim=(2, 3)), "feature_maps", "map mean")


def test_a_random_field_is_passed_over_with_its_reason():
    output = {"last_hidden_state": TOKENS, "pooler_output": VECTOR}
    asked = []

    def is_random(pooling):
        asked.append(pooling.field)
        return pooling.field == "pooler_output"

    pooling = check(output, TOKENS.mean(dim=1), "last_hidden_state", "token mean", is_random=is_random)
    assert asked == ["pooler_output", "last_hidden_state"]
    assert pooling.reason.startswith("pooler_output depends on weights that are missing from the checkpoint; ")


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ({"logits": VECTOR}, "logits"),
        ({"last_hidden_state": numbers(2)}, "last_hidden_state"),
        ({"last_hidden_state": numbers(2, 3, 4, 5, 6), "loss": None}, "last_hidden_state, loss"),
        ({"pooler_output": "text"}, "pooler_output"),
        ({"feature_maps": ()}, "feature_maps"),
        (VECTOR, "Tensor"),
        ((TOKENS, VECTOR), "tuple"),
    ],
)
def test_output_without_anything_to_pool_is_refused_by_what_it_has(output, names):
    match = rf"expected an output with a vector, a map or tokens for each image, got {names}\. Wrap the model"
    with pytest.raises(EncoderError, match=match):
        choose(module(), output)


def test_if_all_that_could_be_pooled_is_random_the_refusal_says_so():
    output = {"last_hidden_state": TOKENS, "pooler_output": VECTOR}
    match = (
        r"got last_hidden_state, pooler_output: its pooler is a dense layer with tanh; "
        r"last_hidden_state depends on weights that are missing from the checkpoint\. Wrap the model"
    )
    with pytest.raises(EncoderError, match=match):
        choose(module("cls_token", DensePooler()), output, is_random=lambda _: True)


def test_a_pooling_is_applied_to_every_later_output_alike():
    pooling = Pooling("last_hidden_state", "class token", "")
    for count in (1, 2, 7):
        tokens = numbers(count, 17, 4)
        assert torch.equal(pooling({"last_hidden_state": tokens}), tokens[:, 0])


# ------------------------------------------------------------------------------------- which tokens, which dimensions


@pytest.mark.parametrize(
    ("count", "size", "patch", "first"),
    [
        (17, (32, 32), 8, 1),
        (21, (32, 32), 8, 5),
        # Four registers and a class token beside four patches: nine tokens are no grid of three by three.
        (9, (16, 16), 8, 5),
        (25, (24, 64), 8, 1),
        (13, (32, 24), [8, 8], 1),
    ],
)
def test_patch_tokens_are_told_from_others_by_the_grid(count, size, patch, first):
    tokens = numbers(2, count, 4)
    of = module("cls_token", patch_size=patch)
    check({"last_hidden_state": tokens}, tokens[:, 0], "last_hidden_state", "class token", of, size=size)
    found = choose(of, {"last_hidden_state": tokens}, asked="mean", size=size)
    torch.testing.assert_close(found({"last_hidden_state": tokens}), tokens[:, first:].mean(dim=1))
    of.config.use_mean_pooling = True
    expected = tokens[:, first:].mean(dim=1)
    check({"last_hidden_state": tokens}, expected, "last_hidden_state", "patch token mean", of, size=size)


def test_as_many_tokens_as_patches_have_no_class_token_among_them():
    tokens = numbers(2, 12, 4)
    of = module("cls_token", patch_size=8)
    check({"last_hidden_state": tokens}, tokens.mean(dim=1), "last_hidden_state", "token mean", of, size=(32, 24))


def test_tokens_for_objects_to_detect_are_not_patches():
    tokens = numbers(2, 1 + 16 + 3, 4)
    of = module("cls_token", patch_size=8, num_detection_tokens=3)
    of.register_parameter("detection_tokens", torch.nn.Parameter(torch.zeros(1, 3, 4)))
    found = choose(of, {"last_hidden_state": tokens}, asked="mean", size=(32, 32))
    torch.testing.assert_close(found({"last_hidden_state": tokens}), tokens[:, 1:17].mean(dim=1))


def test_tokens_in_place_of_a_feature_map_are_averaged_without_the_class_token():
    expected = TOKENS[:, 1:].mean(dim=1)
    check(
        {"feature_maps": (numbers(2, 17, 4), TOKENS)}, expected, "feature_maps", "patch token mean", module("cls_token")
    )


@pytest.mark.parametrize(
    ("shape", "size", "last"),
    [
        ((2, 8, 6, 32), (64, 48), True),
        ((2, 32, 8, 6), (64, 48), False),
        # Square in the first two, and yet no channels last: only the other two have the proportions of the image.
        ((2, 8, 8, 6), (64, 48), False),
        ((2, 7, 7, 12), (56, 56), True),
    ],
)
def test_maps_of_oblong_images_are_told_by_their_proportions(shape, size, last):
    found = numbers(*shape)
    expected = found.mean(dim=(1, 2) if last else (2, 3))
    reduction = "map mean, channels last" if last else "map mean"
    check({"last_hidden_state": found}, expected, "last_hidden_state", reduction, size=size)


@pytest.mark.parametrize("field", ["pooler_output", "image_embeds"])
def test_a_pooled_field_of_many_tokens_is_passed_over(field):
    output = {field: numbers(2, 16, 9), "last_hidden_state": TOKENS}
    check(output, TOKENS.mean(dim=1), "last_hidden_state", "token mean", module())


def test_a_pooled_field_of_one_token_is_that_token():
    one = numbers(2, 1, 4)
    check({"cls_token_value": one, "last_hidden_state": MAP}, one[:, 0], "cls_token_value", "class token")


def test_a_pooler_that_means_nothing_is_passed_over_with_its_reason():
    of = module(model_type="janus_vision_model")
    output = {"last_hidden_state": TOKENS, "pooler_output": VECTOR}
    pooling = check(output, TOKENS.mean(dim=1), "last_hidden_state", "token mean", of)
    assert pooling.reason == "its pooler is the first patch; the model has no class token"


# ------------------------------------------------------------------------------------------------ what is asked for


BOTH = {"last_hidden_state": TOKENS, "pooler_output": VECTOR}


@pytest.mark.parametrize(
    ("of", "output", "able"),
    [
        (module("cls_token"), BOTH, ["cls", "mean", "cls+mean", "pooler"]),
        (module("cls_token", DensePooler()), BOTH, ["cls", "mean", "cls+mean", "pooler"]),
        (module(), BOTH, ["mean", "pooler"]),
        (module(), {"last_hidden_state": MAP}, ["mean"]),
        (module(), {"summary": VECTOR, "features": TOKENS}, ["cls", "mean"]),
        (module(), {"cls_token_value": numbers(2, 1, 4), "last_hidden_state": MAP}, ["cls", "mean"]),
        (module(), {"image_features": VECTOR}, ["projected"]),
        (module(), {"logits": VECTOR}, []),
    ],
)
def test_what_can_be_asked_for_is_given_and_the_rest_refused_with_it(of, output, able):
    assert list(available(of, output)) == able
    for asked in CHOICES:
        if asked in able:
            found = choose(of, output, asked=asked)
            assert found.reason == "asked for"
            assert found(output).shape == (2, 8 if asked == "cls+mean" else 4)
        else:
            expected = " or ".join(map(repr, able)).replace("+", r"\+") if able else "and neither is any other"
            match = rf"pooling='{asked.replace('+', '[+]')}' is not what Module can give, .*{expected}"
            with pytest.raises(ArgumentError, match=match):
                choose(of, output, asked=asked)


def test_cls_and_mean_lie_one_after_the_other():
    found = choose(module("cls_token"), BOTH, asked="cls+mean")
    assert torch.equal(found(BOTH), torch.cat([TOKENS[:, 0], TOKENS[:, 1:].mean(dim=1)], dim=1))


def test_projection_is_named_where_the_model_has_one():
    with pytest.raises(ArgumentError, match=r"expected 'mean' or 'projected'\. Leave it out"):
        choose(module(), {"last_hidden_state": MAP}, asked="cls", projects=True)


def test_random_weights_are_named_as_far_as_they_fit():
    names = [f"layer.{i}" for i in range(5)]
    match = r"missing from the checkpoint: layer\.0, layer\.1, layer\.2 and 2 more; its vector would be random"
    with pytest.raises(EncoderError, match=match):
        choose(module(), BOTH, lambda _: True, asked="mean", missing=names)
    with pytest.raises(EncoderError, match=r"These weights are layer\.0, layer\.1: take a checkpoint that has them\.$"):
        choose(module(), BOTH, lambda _: True, missing=names[:2])
