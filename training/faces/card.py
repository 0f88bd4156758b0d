"""Words of the model card of family ``faces``."""

from collections.abc import Mapping
from typing import Any

from training.export.spec import CardFacts
from training.faces.model import FaceAttributes

_PURPOSE = """\
**A measuring instrument for generators of faces, not for people.** It tells which gender and age
an annotator would have guessed of an aligned face, so that pictures which a network invented can
be counted and compared: whether they spread as the training data do, whether a prompt or a
direction changed what it names. Input `image` is uint8 [batch, 64, 64, 3], red, green, blue, the
face aligned as in UTKFace. Outputs: `female`, float32 [batch], the probability of that label;
`age`, float32 [batch], years, the expectation over 101 bins; `features`, float32 [batch, 256], on
which distances between sets of pictures are taken."""
_LIMITS = (
    "**Not to be used on people.** It must take no part in a decision on a person, in identifying "
    "or counting people, or in checking someone's age.",
    "The labels are not facts: gender and age are what annotators and an algorithm guessed of a "
    "photograph, gender as one of two.",
    "The data are no sample of humanity: adults between 20 and 40 and some regions are common, "
    "others rare, and errors are larger where data are few (see the groups of age below).",
    "It answers for any picture. Of something that is no face the numbers mean nothing.",
    "It knows aligned faces of 64x64 pixels, and was trained without smoothed labels so that its "
    "probabilities stay sharp; distances by its features compare with none by another network.",
)
_DATA = """\
UTKFace, aligned and cropped (Z. Zhang, Y. Song, H. Qi, "Age Progression/Regression by Conditional
Adversarial Autoencoder", CVPR 2017): 19,114 faces for training, 2,302 for validation, and a tenth
for the test, split by a hash of the file names. The labels of race are not read. No picture of it
is part of this folder; those in `golden.npz` are drawn by `training.vision.drawings`."""
_TERMS = (
    "non-commercial research purposes only; the rights in each photograph remain with its owner."
)


def facts(model: FaceAttributes) -> CardFacts:
    """Facts for the model card."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return CardFacts(
        title="Gender and age that a face seems to have, and its features",
        purpose=_PURPOSE,
        limits=_LIMITS,
        data=_DATA,
        terms=_TERMS,
        architecture="Residual network (He et al. 2016); the age by expectation over bins (Rothe, "
        f"Timofte, Van Gool 2018). {parameters:,} parameters.",
        speed_unit="picture",
    )


def section(figures: Mapping[str, Any]) -> str:
    """Markdown of stored figures."""
    low, high = figures["gender_accuracy_interval_95"]
    blind = figures["blind"]
    lines = [
        f"In PyTorch, float32, {figures['count']} faces: gender as labelled "
        f"{figures['gender_accuracy']:.2%} (Wilson 95 % interval {low:.2%} to {high:.2%}; the "
        f"commoner one always: {blind['gender_accuracy']:.2%}), expected calibration error "
        f"{figures['gender_ece']:.4f}; mean absolute error of the age "
        f"{figures['age_mae_years']:.2f} years (the median age always: "
        f"{blind['age_mae_years']:.2f}), bias {figures['age_bias_years']:+.2f}.",
        "",
        "| labelled age, years | faces | gender as labelled | error, years | bias, years |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['count']} | {row['gender_accuracy']:.2%} | "
        f"{row['age_mae_years']:.2f} | {row['age_bias_years']:+.2f} |"
        for name, row in figures["groups"].items()
    ]
    return "\n".join(lines)
