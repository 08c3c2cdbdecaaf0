"""The report of `refdiff bench`: all it measured as JSON, and as a table."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..pipeline import RefDiff
from .measure import STAGES, measure
from .memory import peak_memory


def bench(model: RefDiff, picture: Path, counts: Sequence[int], rounds: int,
          show: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """`measure`, peak memory, and what they were measured on."""
    report = {
        "model": model.bundle.name, "dtype": str(model.dtype).removeprefix("torch."),
        "device": device_name(model.device), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "image_size": model.settings.image_size, "memory_bound_gb": model.memory}
    report |= measure(model, picture, counts, rounds, show)
    show("measuring memory")
    report["plain_peak_gb"] = peak_memory(model, picture, None)
    for count in counts:
        report["counts"][count]["peak_gb"] = peak_memory(model, picture, count)
    return report


def table(report: dict[str, Any]) -> str:
    """Markdown: a row a stage, for every number of expressions its time and its floor."""
    counts = report["counts"]
    unit, factor = ("s", 1) if report["plain_seconds"] > 20 else ("ms", 1000)
    number = lambda seconds: f"{seconds * factor:.{1 if unit == 's' else 0}f}"  # noqa: E731
    heads = [f"{count} expression{'s' * (count > 1)}, {unit}" for count in counts]
    rows = [["stage"] + [cell for head in heads for cell in (head, "floor")]]
    rows += [[stage] + [number(row["stages"][stage][part]) for row in counts.values()
                        for part in ("seconds", "floor_seconds")] for stage in STAGES]
    rows.append(["all"] + [number(row[part]) for row in counts.values() for part in ("seconds", "floor_seconds")])
    once = lambda name, cell: rows.append([name] + [x for row in counts.items() for x in (cell(*row), "")])  # noqa: E731
    once("the plain way", lambda count, row: number(count * report["plain_seconds"]))
    once("times faster", lambda count, row: f"{row['times_faster']:.1f}")
    once("over the floor", lambda count, row: f"{row['over_floor']:.2f}")
    once(f"peak GB (plain: {report['plain_peak_gb']:.2f})", lambda count, row: f"{row['peak_gb']:.2f}")
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    width, height = report["picture"]
    rates = ", ".join(f"{rate / 1e9:.0f} ({dtype})" for dtype, rate in report["operations_per_second"].items())
    bound = f", at most {report['memory_bound_gb']:g} GB" if report["memory_bound_gb"] else ""
    return "\n".join([
        f"{report['model']}, {report['dtype']}, {report['image_size']} px{bound}; a picture of {width}x{height}, "
        f"{report['proposals']} proposals that can win; medians of {report['rounds']}",
        f"{report['device']}, {report['threads']} threads, torch {report['torch']}, "
        f"{rates} billion operations/s in matrix products", "", *lines])


def device_name(device: torch.device) -> str:
    """What the processor or the accelerator calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
