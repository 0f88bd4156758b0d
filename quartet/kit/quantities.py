"""Numbers and texts as Kubernetes' YAML writes them."""

import json

GIB_IN_MIB = 1024


def cpu(milli: int) -> str:
    """CPUs: 2, 950m."""
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


def memory(mib: int) -> str:
    """Memory: 960Mi, 2Gi."""
    return f"{mib}Mi" if mib % GIB_IN_MIB else f"{mib // GIB_IN_MIB}Gi"


def fraction(value: float) -> str:
    """A target of hundredths: 700m, 1."""
    return cpu(round(value * 1000))


def quoted(text: str) -> str:
    """Any text as a scalar that YAML and JSON both read."""
    return json.dumps(text, ensure_ascii=False)


def milliseconds(seconds: float) -> str:
    """Three digits at least, never an exponent: 0.514, 12.3, 1840."""
    value = seconds * 1000
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
