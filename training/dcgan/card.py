"""Words of the model card of family ``dcgan``."""

from collections.abc import Mapping, Sequence
from typing import Any

from quartet.image_generation import ImageGenerationTask
from training.dcgan.proof import PictureReport
from training.dcgan.trained_networks import TrainedDcgan
from training.export.spec import CardFacts

_TITLES = {"mnist": "Handwritten digits", "utkface": "Faces of people who do not exist"}
_DATA = {
    "mnist": 'MNIST (Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten '
    'digits", 1998): 55,000 pictures for training, 5,000 for validation, 10,000 for the test. No '
    "picture of it is part of this folder.",
    "utkface": 'UTKFace, aligned and cropped (Z. Zhang, Y. Song, H. Qi, "Age Progression/'
    'Regression by Conditional Adversarial Autoencoder", CVPR 2017): 19,114 faces for training, '
    "2,302 for validation, and a tenth for the test, split by a hash of the file names. The labels "
    "of race are not read. No picture of it is part of this folder.",
}
_TERMS = {
    "mnist": "Creative Commons Attribution-ShareAlike 3.0, as commonly stated for MNIST.",
    "utkface": "non-commercial research purposes only; the rights in each photograph remain with "
    "its owner.",
}
_LIMITS = {
    "mnist": (
        "Some pictures are no digit, or one that no one would write; the critic does not find all "
        "of them.",
        "It writes as US census staff and high-school students did, of whom MNIST was collected.",
    ),
    "utkface": (
        "**Nobody is shown.** The faces are invented. That one may nevertheless resemble someone, "
        "even of the training data, is not excluded.",
        "The data are no sample of humanity, and what is rare in them (the very old, some regions, "
        'glasses, hats) is rarer and worse here. Words such as "man" or "old" mean what '
        "annotators guessed of photographs, gender as one of two.",
        "Not for judging people, for deceiving anyone about who exists, or as data that stand for "
        "real people.",
        "64x64 pixels, often with flaws that an eye sees at once.",
    ),
}
_OTHER_LIMITS = ("It can show what its training pictures showed, and their bias with it.",)
_ROWS = {
    "frechet_distance": "Frechet distance",
    "kernel_distance": "kernel distance (KID)",
    "precision": "precision",
    "recall": "recall",
}


def facts(trained: TrainedDcgan, task: ImageGenerationTask, report: PictureReport) -> CardFacts:
    """Facts for the model card; ``report`` is the generator's."""
    dataset = trained.config.dataset
    sizes = [
        sum(p.numel() for p in network.parameters())
        for network in (trained.generator, trained.discriminator)
    ]
    return CardFacts(
        title=_TITLES.get(dataset, f"Pictures after {dataset}"),
        purpose=f"{_asked(task)} {_TENSORS.format(z=task.latent_size, shape=_shape(task))}",
        limits=(*_LIMITS.get(dataset, _OTHER_LIMITS), _CRITIC_LIMIT),
        data=_DATA.get(dataset, f"Pictures of {dataset}; checksums stand in `run.json`."),
        terms=_TERMS.get(dataset, "those of the pictures' owners."),
        architecture=f"{_ARCHITECTURE} {sizes[0]:,} parameters, and {sizes[1]:,} of the critic.",
        sections={"Equal to PyTorch": _parity(report)},
        speed_unit="picture",
    )


def section(figures: Mapping[str, Any], directions: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of stored figures, and of the directions' own.

    Args:
        figures: of ``training.dcgan.evaluation``.
        directions: contents of the run's directions.json.
    """
    critic = figures["critic"]
    parts = []
    if "scorer" in figures:
        parts += _scored(figures)
    parts.append(
        f"The critic gives {figures['count']} held-out pictures a mean probability of "
        f"{critic['probability_real']:.3f} of being real, as many samples "
        f"{critic['probability_fake']:.3f}; area under the curve {critic['auc']:.3f} (0.5: it "
        "cannot tell them apart)."
    )
    if "agreement" in figures:
        parts += _agreement(figures["agreement"])
    if directions:
        parts += _directions(directions)
    return "\n\n".join(parts)


def _scored(figures: Mapping[str, Any]) -> list[str]:
    scorer, paths = figures["scorer"], figures["path_smoothness"]
    lines = ["| figure | samples | real against real |", "|---|---|---|"]
    for name, title in _ROWS.items():
        row = figures[name]
        lines.append(f"| {title} | {row['samples']:.4g} | {row['floor']:.4g} |")
    if "inception_score" in figures:
        score = figures["inception_score"]
        lines.append(f"| inception-style score | {score['samples']:.3f} | {score['real']:.3f} |")
    parts = [
        f"{figures['count']} samples of seeds 0, 1, 2 ... against as many held-out pictures, by "
        f"`{scorer['model']}`, whose model.onnx has the SHA-256 `{scorer['sha256']}`; distances "
        "compare with none by another network.",
        "\n".join(lines),
    ]
    if "class_shares" in figures:
        shares = " ".join(f"{share:.1%}" for share in figures["class_shares"]["samples"])
        parts.append(f"Shares of the classes among the samples: {shares}.")
    parts.append(
        "Between two samples on the sphere the features take steps of which the largest is "
        f"{paths['median']:.2f} times the mean one (median of paths; worst tenth "
        f"{paths['worst_tenth']:.2f})."
    )
    return parts


def _agreement(agreement: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = [
        "| asked for | shown (95 % interval) | samples | the scorer on real pictures |",
        "|---|---|---|---|",
    ]
    for name, row in agreement["samples"].items():
        low, high = row["interval_95"]
        real = agreement["real"].get(name)
        lines.append(
            f"| {name} | {row['share']:.2%} ({low:.2%} to {high:.2%}) | {row['count']} | "
            f"{'' if real is None else format(real['share'], '.2%')} |"
        )
    return ["Samples of every condition, equally often:", "\n".join(lines)]


def _directions(directions: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| direction | opposite | flips towards | flips away | leakage |",
        "|---|---|---|---|---|",
    ]
    for entry in directions:
        measured = entry.get("figures", {})
        cells = (
            format(measured[name], form) if name in measured else ""
            for name, form in (("flips_toward", ".1%"), ("flips_away", ".1%"), ("leakage", ".2f"))
        )
        lines.append(f"| {entry['name']} | {entry.get('opposite', '')} | {' | '.join(cells)} |")
    note = (
        "Directions, found by `python -m training.dcgan.directions`, at strength 1 and -1, on "
        "seeds that had no part in finding them: pictures that flip, as a share of those that "
        "could, and the largest change of another attribute over that of its own."
    )
    return [note, "\n".join(lines)]


def _parity(report: PictureReport) -> str:
    largest = max(report.max_abs_difference.values())
    return (
        f"Before rounding no value is off by more than {largest:.1e} of 255 levels in batches of "
        f"{', '.join(report.max_abs_difference)}; rounded, {report.share_off_by_one:.4%} of the "
        "golden pictures' bytes differ by one level, none by more. A row's bytes are the same "
        "alone and in every batch of 2 to 64 (compared bit by bit, of the critic too)."
    )


def _asked(task: ImageGenerationTask) -> str:
    if task.condition == "class":
        return f"Makes a picture of noise and one of the classes {', '.join(task.classes)}."
    if task.condition == "prompt":
        examples = ", ".join(f'"{prompt}"' for prompt in task.example_prompts)
        return (
            f"Makes a picture of noise and a prompt such as {examples}: at most "
            f"{task.prompt_length} of the words {', '.join(task.vocabulary[1:])}."
        )
    return "Makes a picture of noise."


def _shape(task: ImageGenerationTask) -> str:
    return f"[batch, {task.height}, {task.width}, {task.channels}]"


_TENSORS = """\
The same seed is the same picture. `model.onnx`
takes `z`, float32 [batch, {z}], standard normal, beside the condition if there is one, and gives
`image`, uint8 {shape}; `critic.onnx` takes such pictures, real or not, and
gives `probability`, float32 [batch], that they are real. `GET /v1/images/NAME?seed=7` draws the
noise itself."""
_ARCHITECTURE = (
    "Deep convolutional generative adversarial network (Radford, Metz, Chintala 2016); settings, "
    "among them what keeps the game stable, stand in `run.json`."
)
_CRITIC_LIMIT = (
    "The critic learned to tell this generator's pictures from its training data. It does not "
    "detect generated pictures of another origin, nor judge beauty."
)
