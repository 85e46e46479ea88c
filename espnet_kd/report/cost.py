"""What models cost, as a table."""

from collections.abc import Mapping
from typing import Any

from espnet_kd.report.section import Section

HEAD = (
    "model",
    "parameters",
    "MB on disk",
    "encoder GMAC/s",
    "encoder RTF",
    "median ms",
    "search RTF",
    "median ms",
    "faster",
)


def cost_section(
    results: Mapping[str, Any], names: Mapping[str, str] | None = None, figure: str = ""
) -> Section:
    """Tell what each model costs, a row a model, with its speed beside the first's.

    Args:
        results: What ``espnet_kd.bin.measure`` writes.
        names: Experiment directory to the name shown; without one, the directory.
        figure: SVG of the same numbers.
    """
    models = results["models"]
    first = next(iter(models.values()))
    rows = [
        [
            (names or {}).get(exp, exp),
            f"{found['parameters']:,}",
            f"{found['bytes'] / 1e6:.2f}",
            f"{found['macs_a_second'] / 1e9:.3f}",
            f"{found['encoder']['rtf']:.4f}",
            f"{1e3 * found['encoder']['latency']:.1f}",
            f"{found['search']['rtf']:.4f}",
            f"{1e3 * found['search']['latency']:.1f}",
            f"{first['search']['rtf'] / found['search']['rtf']:.2f}x",
        ]
        for exp, found in models.items()
    ]
    return Section("Cost", HEAD, rows, figure=figure, text=_setting(results["setting"]))


def _setting(setting: Mapping[str, Any]) -> str:
    return (
        f"{setting['utterances']} utterances, {setting['seconds']} s; "
        f"{setting['threads']} thread(s), warm-up of {setting['warm_up']}; "
        f"{setting['versions']}; search: "
        f"{setting['search'] or 'the defaults of asr_inference'}; peak memory of all "
        f"{setting['peak_memory'] / 1e6:.0f} MB."
    )
