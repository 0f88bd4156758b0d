"""All rules of a deployment."""

from quartet.monitoring.rules.load import load_group
from quartet.monitoring.rules.objectives import objective_groups
from quartet.monitoring.rules.process import process_group
from quartet.monitoring.rules.service import service_group
from quartet.monitoring.rules.thresholds import Thresholds
from quartet.monitoring.rules.types import Group


def rule_groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """Recording and alerting rules with these thresholds."""
    return (
        *objective_groups(thresholds),
        service_group(thresholds),
        load_group(thresholds),
        process_group(thresholds),
    )
