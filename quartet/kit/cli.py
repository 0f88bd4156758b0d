"""The command ``quartet kit``."""

import sys
from collections.abc import Sequence

from quartet.config import load_config
from quartet.kit.errors import KitError
from quartet.kit.measure import measure
from quartet.kit.measurements import Measurements, dump_measurements, load_measurements
from quartet.kit.options import KitOptions
from quartet.kit.output import MEASUREMENTS_FILE, kit_files, prepare_folder, write_kit
from quartet.kit.sizing import size

DESCRIPTION = (
    "Measure a model repository under load and write manifests, scaling rules, alerts and a "
    "dashboard with numbers that follow from it. The folder works with kubectl apply -k; SIZING.md "
    "in it says where each number comes from. Measure on a quiet machine with the processor that "
    "the replicas will have."
)


def main(argv: Sequence[str]) -> int:
    """Run ``quartet kit``; the exit status.

    Raises:
        ConfigError: the kit cannot be made; the text says why.
    """
    options = load_config(KitOptions, argv, prog="quartet kit", description=DESCRIPTION)
    prepare_folder(options.out, force=options.force)
    measurements = _measurements(options)
    sizing = size(measurements, options)
    for doubt in sizing.doubts:
        sys.stderr.write(f"doubt: {doubt.text}\n")
    if any(doubt.grave for doubt in sizing.doubts) and not options.accept_doubts:
        write_kit(options.out, {MEASUREMENTS_FILE: dump_measurements(measurements)})
        raise KitError(
            "numbers from this measurement would mislead: measure again, or --accept-doubts. It is "
            f"in {options.out / MEASUREMENTS_FILE}"
        )
    write_kit(options.out, kit_files(measurements, sizing, options))
    of_one = sizing.load * sizing.capacity_rps
    sys.stdout.write(
        f"{options.out}: {len(measurements.models)} model(s), {of_one:.4g} requests/s a replica; "
        f"read {options.out / 'SIZING.md'}\n"
    )
    return 0


def _measurements(options: KitOptions) -> Measurements:
    if options.measurements is None:
        return measure(options)
    found = load_measurements(options.measurements)
    if options.settings and dict(options.settings) != dict(found.environment.settings):
        raise KitError("--settings: measurements.json was made with others; measure anew")
    if options.models:
        raise KitError("--models: measurements.json says which; use --mix to weigh them")
    return found
