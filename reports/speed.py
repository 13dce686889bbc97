"""The benchmark's numbers as the report shows them."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from reports import figures
from reports.document import Content, Figure, Table

# case: must and aim, for one thread and two; the first also where there is only one
TARGETS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "MLP training step": ((0.95, 1.10), (0.80, 0.90)),
    "CNN training step": ((1.00, 1.25), (0.75, 0.90)),
    "64->64 convolution": ((1.6, 1.8), (1.0, 1.1)),
    "MLP, one image": ((0.75, 0.75), (0.5, 0.5)),
    "CNN, one image": ((0.75, 0.75), (0.5, 0.5)),
}
MEMORY, IMPORT = (1.0, 0.7), (0.15, 0.10)
# a layer that is slower than this needs a reason: on one thread, and on several
SLOWEST, SLOWEST_THREADED = 1.5, 3.0
# a ratio may wander this much from the smallest size of an axis to the largest
DRIFT = 1.3
# why a target is missed, should it be
WHY_MISSED = {
    "MLP training step": (
        "most of it are matrix products, which NumPy's BLAS takes longer for than torch's, and the "
        "optimizer's step is bound by memory"
    ),
    "64->64 convolution": (
        "it takes no longer than its bare matrix products alone, which NumPy's BLAS is slower at "
        "than torch's convolutions are"
    ),
    "CNN, one image": (
        "half of the time passes before NumPy's loops start; torch's convolutions share an image "
        "among threads, which handing work to a Python thread is too slow for"
    ),
}
# why a layer is slower than that
_COPY = "torch returns a view; here results share no memory with inputs, so this is a copy"
_SMALL = (
    "one pass per NumPy operation, whose start counts at this size; too small to share "
    "among threads"
)
_WINDOWS = (
    "the matrix of windows is written out before the product, which torch's convolution never does"
)
_SLOPE = "the slope is one more array, written in forward and read in backward"
_PASSES = "one pass over memory per NumPy operation, and threads take turns at the interpreter lock"
_EXP = "exp, and one pass over the cache per NumPy operation"
_ROWS = (
    "some twenty passes over the cache where torch has three, and a value a row costs NumPy 16 ns "
    "a row and pass"
)
WHY_SLOW: dict[str, str] = {
    "Conv2d, depthwise": "one filter a channel has no matrix product: strided sums over nine taps",
    "Conv2d, 4 groups": (
        "half of the time goes into copying windows: a group's eight channels are a short run"
    ),
    **dict.fromkeys(("Conv2d, the CNN's second", "Conv2d, stride 2", "Conv1d"), _WINDOWS),
    **dict.fromkeys(("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"), _WINDOWS),
    "BatchNorm2d": _PASSES,
    "BatchNorm3d": _PASSES,
    "SyncBatchNorm": _PASSES,
    "BatchNorm1d": _SMALL,
    **dict.fromkeys(("ReLU", "LeakyReLU", "ReLU6", "Hardtanh"), _PASSES),
    **dict.fromkeys(("Sigmoid", "SiLU", "GLU(1)", "ELU", "CELU", "SELU", "Softplus"), _EXP),
    **dict.fromkeys(("LogSigmoid", "GELU('tanh')"), _EXP),
    "GELU": "NumPy has no erf: a polynomial, two passes over the cache for each of its terms",
    **dict.fromkeys(("Hardsigmoid", "Hardswish", "Hardshrink", "Softshrink"), _PASSES),
    "Threshold(0.1, 20.0)": _PASSES,
    "Softmax2d": _PASSES,
    **dict.fromkeys(("LayerNorm", "GroupNorm"), _ROWS),
    **dict.fromkeys(("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"), _ROWS),
    "AdaptiveAvgPool3d": _PASSES,
    **dict.fromkeys(("MaxUnpool1d", "MaxUnpool2d"), "a scatter by index, on one thread"),
    "Tanh": _SLOPE,
    "Muon": "torch multiplies in bfloat16 where the processor can; NumPy has float32 alone",
    **dict.fromkeys(("Softmax", "LogSoftmax", "Softmin", "SmoothL1Loss", "HuberLoss"), _SMALL),
    "AdaptiveLogSoftmaxWithLoss": (
        "log-softmaxes in passes, and a gradient array of all classes for the one that counts"
    ),
    "MultiLabelMarginLoss": "each label is set against all classes: a pass for each of them",
    "CTCLoss": "some fifteen NumPy calls on small arrays for every time step, there and back",
    **dict.fromkeys(
        ("LSTM", "LSTM, 2 layers, both directions"),
        "the bare products take NumPy's BLAS about as long as torch the whole layer; then some "
        "twenty calls on small arrays for every time step",
    ),
    "Identity": _COPY,
    "Flatten": _COPY,
    "Unflatten": _COPY,
}


def slowest(threads: str) -> float:
    """The ratio above which a layer needs a reason, with that many threads."""
    return SLOWEST if threads == "1" else SLOWEST_THREADED


def ratio(sample: Mapping[str, Any]) -> tuple[float, float, float]:
    """Median, least and largest of NumPy / PyTorch, round by round."""
    ratios = [a / b for a, b in zip(sample["numpy"], sample["torch"], strict=True)]
    return median(ratios), min(ratios), max(ratios)


def _threads(number: str) -> str:
    return f"{number} thread{'s' * (number != '1')}"


def _ms(values: list[float]) -> str:
    milliseconds = 1000 * median(values)
    return f"{milliseconds:.3g}" if milliseconds < 100 else f"{milliseconds:.0f}"


def _ratio_cell(sample: Mapping[str, Any]) -> str:
    middle, low, high = ratio(sample)
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def _targets_table(numbers: Mapping[str, Any]) -> Table:
    threads = sorted(numbers["threads"], key=int)
    lines = []
    for case, (must, aim) in TARGETS.items():
        for i, t in enumerate(threads):
            sample = numbers["threads"][t][case]
            floor = numbers["floors"][t].get(case)
            lines.append(
                [
                    case,
                    t,
                    _ms(sample["numpy"]),
                    _ms(sample["torch"]),
                    _ratio_cell(sample),
                    f"{must[i]:.2f}",
                    f"{aim[i]:.2f}",
                    f"{median(sample['numpy']) / median(floor):.2f}" if floor else "–",
                ]
            )
    header = ["case", "threads", "NumPy, ms", "PyTorch, ms", "ratio (least–largest)"]
    return Table("benchmark", [*header, "must", "aim", "NumPy / bare GEMMs"], lines)


def _process_table(numbers: Mapping[str, Any]) -> Table:
    memory, imports = numbers["memory"], numbers["import"]
    peak = {b: median([m["peak"] for m in memory[b]]) for b in memory}
    own = {b: median([m["peak"] - m["imported"] for m in memory[b]]) for b in memory}
    lines = [
        [
            "peak memory of CNN training, MiB",
            f"{peak['numpy']:.0f}",
            f"{peak['torch']:.0f}",
            f"{peak['numpy'] / peak['torch']:.2f}",
            f"{MEMORY[0]:.2f}",
            f"{MEMORY[1]:.2f}",
        ],
        [
            "the same, above what the imports take, MiB",
            f"{own['numpy']:.0f}",
            f"{own['torch']:.0f}",
            f"{own['numpy'] / own['torch']:.2f}",
            "–",
            "–",
        ],
        [
            "import, ms",
            _ms(imports["numpy"]),
            _ms(imports["torch"]),
            f"{median(imports['numpy']) / median(imports['torch']):.2f}",
            f"{IMPORT[0]:.2f}",
            f"{IMPORT[1]:.2f}",
        ],
    ]
    return Table("process", ["case", "NumPy", "PyTorch", "ratio", "must", "aim"], lines)


def _layers_table(numbers: Mapping[str, Any], names: list[str]) -> Table:
    threads = sorted(numbers["threads"], key=int)
    lines = []
    for name in names:
        samples = [numbers["threads"][t][name] for t in threads]
        cells = [cell for s in samples for cell in (_ms(s["numpy"]), _ms(s["torch"]))]
        ratios = [_ratio_cell(s) for s in samples]
        slow = any(ratio(s)[0] > slowest(t) for s, t in zip(samples, threads, strict=True))
        reason = WHY_SLOW.get(name, "no reason is known") if slow else ""
        lines.append([name, *cells, *ratios, reason])
    header = ["part"]
    for t in threads:
        header += [f"NumPy, ms, {_threads(t)}", f"PyTorch, ms, {t}"]
    header += [f"ratio, {t}" for t in threads]
    limits = " and ".join(f"{slowest(t):g} ({_threads(t)})" for t in threads)
    header.append(f"if above {limits}, why")
    return Table("layers", header, lines, fold=f"{len(lines)} layers, losses and optimizers")


def _programs_table(numbers: Mapping[str, Any]) -> Table:
    threads = sorted(numbers["threads"], key=int)
    lines = []
    for name in sorted(numbers["programs"]):
        samples = [numbers["threads"][t][name] for t in threads]
        cells = [cell for s in samples for cell in (_ms(s["numpy"]), _ms(s["torch"]))]
        lines.append([name, *cells, *map(_ratio_cell, samples)])
    header = ["training step"]
    for t in threads:
        header += [f"NumPy, ms, {_threads(t)}", f"PyTorch, ms, {t}"]
    return Table("programs", [*header, *(f"ratio, {t}" for t in threads)], lines)


def _growth_table(numbers: Mapping[str, Any]) -> Table:
    threads = sorted(numbers["threads"], key=int)
    lines = []
    for axis, sizes in numbers["growth"].items():
        for n in sizes:
            samples = [numbers["threads"][t][f"{axis}: {n}"] for t in threads]
            lines.append(
                [axis, str(n), *[_ms(s["numpy"]) for s in samples], *map(_ratio_cell, samples)]
            )
    header = ["what grows", "size", *(f"NumPy, ms, {_threads(t)}" for t in threads)]
    header += [f"ratio, {_threads(t)}" for t in threads]
    return Table("growth", header, lines, fold="How the ratio grows with size, in numbers")


def misses(numbers: Mapping[str, Any]) -> list[str]:
    """What is slower (or larger) than it must be, a line each."""
    found = []
    threads = sorted(numbers["threads"], key=int)
    for case, (must, _) in TARGETS.items():
        for i, t in enumerate(threads):
            middle = ratio(numbers["threads"][t][case])[0]
            if middle > must[i]:
                why = f" ({WHY_MISSED[case]})" if case in WHY_MISSED else ""
                found.append(
                    f"{case}, {_threads(t)}: {middle:.2f}, must be at most {must[i]:.2f}{why}"
                )
    for row, limit in zip(_process_table(numbers).rows, (MEMORY[0], None, IMPORT[0]), strict=True):
        if limit is not None and float(row[3]) > limit:
            found.append(f"{row[0]}: {row[3]}, must be at most {limit:.2f}")
    for t in threads:
        for name in numbers["layers"]:
            middle = ratio(numbers["threads"][t][name])[0]
            if middle > slowest(t) and name not in WHY_SLOW:
                found.append(f"{name}, {_threads(t)}: {middle:.2f}, without a reason")
    for axis, sizes in numbers["growth"].items():
        for t in threads:
            ends = [ratio(numbers["threads"][t][f"{axis}: {n}"])[0] for n in sizes]
            if ends[-1] > DRIFT * max(ends[0], ends[len(ends) // 2]):
                found.append(
                    f"{axis}, {_threads(t)}: the ratio drifts {ends[0]:.2f} → {ends[-1]:.2f}"
                )
    return found


def content(numbers: Mapping[str, Any]) -> Content:
    """What speed.j2 shows: the benchmark's tables and pictures, and what it missed."""
    threads = sorted(numbers["threads"], key=int)
    ratios = {
        f"{case}, {_threads(t)}": (ratio(numbers["threads"][t][case]), must[i])
        for case, (must, _) in TARGETS.items()
        for i, t in enumerate(threads)
    }
    growth = {
        axis: (
            sizes,
            {t: [ratio(numbers["threads"][t][f"{axis}: {n}"]) for n in sizes] for t in threads},
        )
        for axis, sizes in numbers["growth"].items()
    }
    sklearn = sorted(numbers["scikit-learn"].items())
    return Content(
        [
            _targets_table(numbers),
            _process_table(numbers),
            _programs_table(numbers),
            _layers_table(numbers, numbers["layers"]),
            _growth_table(numbers),
        ],
        {
            "speed": [
                Figure("benchmark.png", figures.ratios(ratios)),
                Figure("growth.png", figures.growth(growth)),
            ]
        },
        {
            "benchmark": numbers,
            "misses": misses(numbers),
            "drift": DRIFT,
            "sklearn": ", ".join(f"{_ms(values)} ms with {_threads(t)}" for t, values in sklearn),
        },
    )
