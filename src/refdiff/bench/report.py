"""The report of `refdiff bench`: all it measured as JSON, and as a table."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..pipeline import RefDiff
from .measure import STAGES, measure, silent
from .memory import peak_memory


def bench(model: RefDiff, image: Path, counts: Sequence[int], rounds: int,
          show: Callable[[str], None] = silent) -> dict[str, Any]:
    """`measure`, peak memory, and what they were measured on."""
    report = described(model) | measure(model, image, counts, rounds, show)
    show("measuring memory")
    report["reference_peak_gb"] = peak_memory(model, image, None)
    for count in counts:
        report["counts"][count]["peak_gb"] = peak_memory(model, image, count)
    return report


def described(model: RefDiff) -> dict[str, Any]:
    """The model, how it runs, and on what."""
    return {
        "model": model.bundle.name, "dtype": str(model.dtype).removeprefix("torch."), "fast": sorted(model.fast),
        "device": device_name(model.device), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "image_size": model.settings.generative.image_size, "memory_bound_gb": model.memory}


def table(report: dict[str, Any]) -> str:
    """Markdown: for every stage its time and its floor, by number of expressions; then the whole, the reference
    implementation and peak memory."""
    unit, factor, digits = ("s", 1, 1) if report["reference_seconds"] > 20 else ("ms", 1000, 0)

    def number(seconds: float) -> str:
        return f"{seconds * factor:.{digits}f}"

    head, rows = ["stage"], [[stage] for stage in (*STAGES, "all")]
    last = [["the reference implementation"], ["times faster"], ["over the floor"],
            [f"peak GB (reference implementation: {report['reference_peak_gb']:.2f})"]]
    for count, figures in report["counts"].items():
        head += [f"{count} expression{'s' * (int(count) > 1)}, {unit}", "floor"]
        for row, part in zip(rows, [*(figures["stages"][stage] for stage in STAGES), figures], strict=True):
            row += [number(part["seconds"]), number(part["floor_seconds"])]
        values = (number(int(count) * report["reference_seconds"]), f"{figures['times_faster']:.1f}",
                  f"{figures['over_floor']:.2f}", f"{figures['peak_gb']:.2f}")
        for row, value in zip(last, values, strict=True):
            row += [value, ""]
    width, height = report["image"]
    rates = ", ".join(f"{rate / 1e9:.0f} ({dtype})" for dtype, rate in report["operations_per_second"].items())
    bound = f", at most {report['memory_bound_gb']:g} GB" if report["memory_bound_gb"] else ""
    return "\n".join([
        f"{report['model']}, {report['dtype']}, {report['image_size']} px{bound}; an image of {width}x{height}, "
        f"{report['proposals']} proposals that can win; medians of {report['rounds']}",
        f"{report['device']}, {report['threads']} threads, torch {report['torch']}, "
        f"{rates} billion operations/s in matrix products", "", markdown([head, *rows, *last])])


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns; the first row is its head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def device_name(device: torch.device) -> str:
    """What the processor or the accelerator calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
