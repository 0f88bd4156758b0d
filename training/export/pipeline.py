"""From a trained run to a published version: prove everything first, then rename."""

import logging
from collections.abc import Mapping
from typing import Any

from quartet.artifact import CARD_FILE, CONFIG_FILE, LABELS_FILE
from training.evaluation.runner import stored_evaluation
from training.export.card import CardInputs, PublishedVersion, card_text
from training.export.errors import ExportError
from training.export.publish import Publication
from training.export.record import ExportRequest, Figures, common_record, write_version
from training.export.spec import Exportable, Quantizable, Variant
from training.export.variants import Choice, check_drop, choose

LOG = logging.getLogger(__name__)


def export_run(run: Exportable, request: ExportRequest) -> tuple[PublishedVersion, ...]:
    """Export ``run`` and publish it, the default version last.

    A refused int8 variant does not stop the float32 one; the refusal is logged and recorded.

    Raises:
        ExportError: the run was not evaluated on the test split, or the graph failed a check.
            Nothing is left in the repository.
    """
    evaluation = stored_evaluation(request.run_dir)
    if "test" not in evaluation["splits"]:
        raise ExportError(
            f"{request.run_dir} has no test figures for its present weights, which the model card "
            f"states; run: quartet evaluate {request.run_dir}"
        )
    choice = _prove(run, request.int8)
    tests = {variant.precision: run.test_figure(variant) for variant in choice.variants}
    context = common_record(request, evaluation, choice)
    with Publication(request.repository, request.name) as publication:
        versions = []
        for variant in choice.variants:
            number, folder = publication.add_version()
            figures = Figures(
                number=number,
                default=variant is choice.variants[-1],
                metric=run.metric.name,
                test=tests[variant.precision],
            )
            versions.append(write_version(folder, variant, figures, context))
        publication.commit(
            {CARD_FILE: card_text(_card(run, request, choice, versions, context))},
            _kept_files(run, request, choice.variants[-1]),
        )
    return tuple(versions)


def _prove(run: Exportable, int8: bool) -> Choice:
    """Every check that may refuse the export."""
    float32 = run.float32()
    for file, report in float32.parity.items():
        LOG.info("float32 equals %s: %s: %s", report.reference, file, report.max_abs_difference)
    if not isinstance(run, Quantizable):
        return Choice(variants=(float32,), reason="Models of this family have one form, float32.")
    if not int8:
        return Choice(variants=(float32,), reason="int8 was not asked for.")
    try:
        quantized = run.int8(float32)
        check_drop(run.metric, float32, quantized)
    except ExportError as error:
        LOG.warning("%s", error)
        return Choice(variants=(float32,), reason=f"The default is float32: {error}.")
    choice = choose(run.metric, float32, quantized, run.speed(float32, quantized))
    LOG.info("%s", choice.reason)
    return choice


def _card(
    run: Exportable,
    request: ExportRequest,
    choice: Choice,
    versions: list[PublishedVersion],
    context: Mapping[str, Any],
) -> CardInputs:
    return CardInputs(
        name=request.name,
        facts=run.card(),
        metric=run.metric,
        versions=versions,
        evaluation=run.card_section(context["evaluation"]["splits"]["test"]),
        speed=context["speed"],
        times=[time.as_dict() for time in choice.variants[-1].times],
        decision=choice.reason,
        commands=context["commands"],
    )


def _kept_files(run: Exportable, request: ExportRequest, variant: Variant) -> dict[str, str]:
    """Files that an operator may change: written where there are none.

    Raises:
        ExportError: the repository has other labels under this name already.
    """
    labels = run.labels()
    files = {
        CONFIG_FILE: run.config_text(request.name, variant),
        **({LABELS_FILE: "".join(f"{label}\n" for label in labels)} if labels else {}),
    }
    present = request.repository / request.name / LABELS_FILE
    if labels and present.is_file() and present.read_text(encoding="utf-8") != files[LABELS_FILE]:
        raise ExportError(
            f"{present} names other classes than this run; export under another --name"
        )
    return files
