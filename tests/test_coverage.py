"""Every family of vision models: its vector is the one that its authors or its usual linear probe take, or it is
refused with the reason. The families and their vectors, written by hand, are in ``tests/zoo``.
"""

from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from synbench import EncoderError, load_encoder
from synbench.processor_fields import read

from .zoo import FAMILIES
from .zoo import __main__ as page
from .zoo.__main__ import main
from .zoo.classifiers import CLASSIFIERS, DINOV2
from .zoo.duals import PROJECTIONS
from .zoo.refused import REFUSALS

# Functions written by hand name layers, and layers were renamed since the oldest release that the library takes.
pytestmark = pytest.mark.skipif(
    tuple(int(part) for part in transformers.__version__.split(".")[:2]) < (5, 23),
    reason="the zoo names the layers of transformers 5.23",
)
# A float32 result is rounded by 2^-24 of its size. Another order of summation rounds differently in each of the some
# hundred sums one after another of these models; what is measured is 2^-19 at most, while the wrong layers, poolings
# and scalings that were tried part by more than 2^-3.
CLOSE = 2**-16
# Always run: one of each kind of input, of pooling and of loading.
SAMPLE = {
    "vit",
    "vit_mae",
    "dinov2",
    "siglip2_vision_model",
    "pixtral",
    "resnet",
    "efficientnet",
    "swin",
    "sam2_vision_model",
    "clip",
    "detr",
    "blip_vision_model",
    "llava",
}


def marked(families, always=frozenset()):
    return [pytest.param(one, id=str(one), marks=() if str(one) in always else pytest.mark.slow) for one in families]


def pictures(size):
    """Gaussian images, each with a tint of its own: else the mean over a map would see little of their noise."""
    generator = torch.Generator().manual_seed(7)
    tints = torch.randn(3, 3, 1, 1, generator=generator)
    return 0.5 + 0.5 * (tints + torch.randn(3, 3, *size, generator=generator))


def apart(vectors, others):
    """Return the largest distance of two vectors of an image, in units of their length."""
    assert vectors.shape == others.shape
    return float(((vectors - others).norm(dim=1) / others.norm(dim=1)).max())


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Build a checkpoint when it is first asked for."""
    built: dict[str, Path] = {}

    def of(family):
        key = f"{family.type}-{family.kind}"
        if key not in built:
            built[key] = family.build(tmp_path_factory.mktemp("zoo") / key)
        return built[key]

    return of


def natural(family, folder, images):
    with torch.inference_mode():
        return family.natural(family.load(folder), family.normalised(images))


@pytest.mark.parametrize("family", marked(FAMILIES.values(), SAMPLE))
def test_the_vector_of_each_family_is_its_natural_one(family, folder):
    images = pictures(family.size)
    encoder = load_encoder(folder(family), **family.arguments)
    assert encoder.contract.shape == (3, *family.size)
    assert encoder.record.dimension == family.d
    vectors = encoder(images)
    assert torch.isfinite(vectors).all()
    assert apart(vectors, natural(family, folder(family), images)) < CLOSE
    # Other images, other vectors; and an image has the same vector in whatever company.
    assert (vectors - vectors.mean(dim=0)).norm() > 1000 * CLOSE * vectors.norm()
    assert apart(encoder(images[1:2]), vectors[1:2]) < CLOSE
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20)
        again = load_encoder(folder(family), **family.arguments)
        assert torch.equal(again(images), vectors)


def test_the_file_of_each_image_processor_says_what_it_does():
    # Where a processor cannot be asked: most answer above, and these are the same numbers.
    sizeless = set()
    for family in FAMILIES.values():
        found = read(family.processor.written(family.size))
        assert found is not None, family
        expected = family.processor.scaling
        np.testing.assert_allclose(found.mean, expected.mean, atol=1e-5, err_msg=family.type)
        np.testing.assert_allclose(found.std, expected.std, rtol=1e-5, err_msg=family.type)
        assert found.order == expected.order, family
        assert found.size in (None, family.size), family
        if found.size is None:
            sizeless.add(family.type)
    # These keep the size of the picture, or cut it into patches.
    assert sizeless == {"glpn", "swin2sr", "siglip2", "siglip2_vision_model"}


@pytest.mark.parametrize("family", marked(CLASSIFIERS, {"vit", "resnet"}))
def test_the_vector_of_a_classifier_is_what_its_last_layer_sees(family, folder):
    images = pictures(family.size)
    vectors = load_encoder(folder(family), **family.arguments)(images)
    assert apart(vectors, natural(family, folder(family), images)) < CLOSE


def test_dinov2_can_be_probed_as_its_authors_do(folder):
    images = pictures(DINOV2.size)
    vectors = load_encoder(folder(DINOV2), pooling="cls+mean")(images)
    assert apart(vectors, natural(DINOV2, folder(DINOV2), images)) < CLOSE


@pytest.mark.parametrize("family", marked((FAMILIES[one] for one in PROJECTIONS), {"clip"}))
def test_dual_encoders_are_projected_when_asked(family, folder):
    images = pictures(family.size)
    vectors = load_encoder(folder(family), pooling="projected")(images)
    with torch.inference_mode():
        model = family.load(folder(family))
        project = attrgetter(PROJECTIONS[family.type])(model)
        expected = project(family.natural(model, family.normalised(images)))
    assert expected.shape[1] == 16
    assert apart(vectors, expected) < CLOSE


@pytest.mark.parametrize("refused", marked(REFUSALS, {"eomt", "imagegpt", "videomae"}))
def test_what_gives_no_vector_of_an_image_is_refused_by_name(refused, folder):
    with pytest.raises(EncoderError, match=refused.says):
        load_encoder(folder(refused.family))


def test_nearly_every_family_is_covered():
    assert len(FAMILIES) >= 140
    assert not {str(one) for one in REFUSALS} & FAMILIES.keys()
    assert FAMILIES.keys() >= SAMPLE


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torchvision") is not None, reason="the page is made without torchvision")
def test_the_documentation_says_what_the_library_does(folder, capsys):
    assert main(["--check"], folder) == 0, capsys.readouterr().err


def test_a_stale_page_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(page, "document", lambda folder: "as it is\nmade with transformers 5.1\n")
    monkeypatch.setattr(page, "PAGE", tmp_path / "encoders.md")
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert main(["--check"]) == 0
    page.PAGE.write_text("as it is\nmade with transformers 5.2\n")
    assert main(["--check"]) == 0
    page.PAGE.write_text("as it was\nmade with transformers 5.1\n")
    assert main(["--check"]) == 1
    assert "as it is" in capsys.readouterr().err
