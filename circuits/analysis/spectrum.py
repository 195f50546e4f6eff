"""The spectrum of responses to images, and how stable its leading components are in noise.

Mean rates in the response window to test images. Noisy presentations have a Gaussian current that
is new in every step for every neuron, in units of each neuron's rheobase
(`circuits.analysis.robustness`): two of them for cross-validated PCA, beside one without noise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from circuits.analysis.accuracy import tabulated
from circuits.analysis.result import NotApplicable, Options, Result
from circuits.analysis.robustness import rheobase_pA
from circuits.analysis.trials import presented, respond
from toolkit import plots
from toolkit.metrics.components import (
    component_overlap,
    permutation_null,
    rotation_null,
    subspace_overlap,
)
from toolkit.metrics.spectrum import (
    PowerLaw,
    component_variances,
    estimate_power_law,
    principal_components,
)
from toolkit.rng import stream_key
from toolkit.table import Table
from toolkit.tasks.images import ImageClassification

if TYPE_CHECKING:
    from circuits.training import Prepared

NAME = "spectrum"
NOISE = 0.1  # rheobases in a step (our choice: about where the accuracy of V1 begins to fall)
IMAGES_PER_ITEM = 4  # images for each item asked for
N_COMPONENTS = 5  # whose stability is looked at
N_NULL = 1000


def responses_Hz(trained: Prepared, n_images: int, noise: float, *, seed: int = 0) -> np.ndarray:
    """Mean rates in the response window of test images, Hz, (presentation, image, neuron).

    The first presentation is without noise, the others have noise of their own.

    Parameters
    ----------
    trained : the network and its tasks
    n_images : the first so many, or all there are
    noise : standard deviation of the current in a step, rheobases
    seed : of the noise

    Raises
    ------
    NotApplicable : none of its tasks is the classification of images
    """
    tasks = trained.data.tasks
    numbers = [k for k, task in enumerate(tasks) if isinstance(task, ImageClassification)]
    if not numbers:
        names = ", ".join(task.name for task in tasks)
        raise NotApplicable(f"it needs a network that classifies images; this one has {names}")
    model = trained.model
    device = model.constant_pA.device
    unit = torch.as_tensor(noise * rheobase_pA(trained.network), dtype=torch.float32)[None, :, None]
    found = []
    for count, batch in enumerate(presented(trained.data, n_images)):
        own = batch.task == numbers[0]
        if not own.any():
            continue
        response = batch.response[own]
        batch = replace(batch, inputs=batch.inputs[own], response=response)
        key = stream_key(seed, "noisy presentations", count)
        generator = torch.Generator().manual_seed(key)
        window = response[:, :, None] / response.sum(1)[:, None, None]
        items, steps, _ = batch.inputs.shape
        each = []
        for presentation in range(3):
            current = None
            if presentation:
                draw = torch.randn((steps, model.n, items), generator=generator)
                current = (unit * draw).to(device)
            rates = respond(model, batch, noise_pA=current)
            each.append((rates * window).sum(1).cpu().numpy())
        found.append(np.stack(each))
    return np.concatenate(found, axis=1).astype(np.float64)[:, :n_images]


def analyse(trained: Prepared, options: Options) -> Result:
    """Spectrum, exponent and stability of components; `IMAGES_PER_ITEM` times the items."""
    clean, first, second = responses_Hz(
        trained, IMAGES_PER_ITEM * options.items, NOISE, seed=options.seed
    )
    if len(clean) // 4 < 16:
        raise NotApplicable(f"a spectrum needs 64 images or more, there are {len(clean)}: --items")
    try:
        variances, raw, law = estimate_power_law(first, second, seed=options.seed)
    except ValueError as error:
        raise NotApplicable(str(error)) from error
    overlaps = overlap_table(
        [principal_components(each, N_COMPONENTS) for each in (clean, first, second)],
        trained.network.neurons["cell_class"],
        seed=options.seed,
    )
    spectrum = spectrum_table(clean, first, variances)
    laws = tabulated(
        [
            {"estimate": name, "exponent": each.exponent, "low": each.low, "high": each.high}
            | {"first": each.first, "last": each.last, "r_squared": each.r_squared}
            for name, each in (("cross-validated", raw), ("corrected", law))
        ]
    )
    signal = float(((first - first.mean(0)) * (second - second.mean(0))).sum())
    share = signal / float(((first - first.mean(0)) ** 2).sum())
    return Result(
        "Spectrum of responses to images",
        {"spectrum": spectrum, "exponent": laws, "component_overlap": overlaps},
        tuple(_findings(len(clean), share, raw, law, overlaps)),
        lambda: _figure(spectrum, raw, law, overlaps),
        f"Mean rates in the response window; noise of {NOISE:g} rheobases a step, new for each "
        "neuron and step. (a) Variance of the principal components: without noise, with noise, "
        "and cross-validated between two noisy presentations, with the fitted power law. (b) "
        "Overlap |<u, v>| of each leading component with that of the same rank, and of the space "
        f"of the first {N_COMPONENTS} (mean squared cosine); grey: 95 % of random rotations, "
        "hatched: of permutations of the neurons within their classes.",
    )


def spectrum_table(clean: np.ndarray, noisy: np.ndarray, cross_validated: np.ndarray) -> Table:
    """Variances of the components, Hz^2: without noise, of one noisy presentation, of stimuli."""
    n = len(cross_validated)
    return Table(
        {
            "component": np.arange(1, n + 1),
            "clean_Hz2": component_variances(clean, n),
            "noisy_Hz2": component_variances(noisy, n),
            "cross_validated_Hz2": cross_validated,
        }
    )


def overlap_table(components: list[np.ndarray], cell_class: np.ndarray, *, seed: int) -> Table:
    """Overlaps of components, with nulls; a row a component, and one for the space of all.

    Parameters
    ----------
    components : of responses without noise and of two noisy presentations, (neuron, component)
    cell_class : of each neuron
    seed : of the nulls

    Columns: `clean_noisy`, `noisy_noisy` (what noise alone leaves), upper 95 % bounds and p of
    both nulls for `clean_noisy`.
    """
    clean, first, second = components
    n = clean.shape[1]
    observed = np.array([*component_overlap(clean, first), subspace_overlap(clean, first)])
    again = np.array([*component_overlap(first, second), subspace_overlap(first, second)])
    nulls = {
        "rotation": rotation_null(len(clean), n, n=N_NULL, seed=seed),
        "permutation": permutation_null(clean, first, n=N_NULL, seed=seed, groups=cell_class),
    }
    columns: dict[str, np.ndarray] = {}
    for name, null in nulls.items():
        columns[f"{name}_95"] = np.quantile(null, 0.95, axis=0)
        columns[f"{name}_p"] = (1 + (null >= observed).sum(axis=0)) / (1 + N_NULL)
    names = [*map(str, range(1, n + 1)), f"space of {n}"]
    return Table({"component": names, "clean_noisy": observed, "noisy_noisy": again, **columns})


def _findings(
    n_images: int, share: float, raw: PowerLaw, law: PowerLaw, overlaps: Table
) -> list[str]:
    compared = "includes" if law.low <= 1 <= law.high else "excludes"
    stable = overlaps["rotation_p"][:-1] < 0.05
    within = overlaps["permutation_p"][:-1] < 0.05
    low, high = float(overlaps["clean_noisy"][:-1].min()), float(overlaps["clean_noisy"][:-1].max())
    seen = f"{n_images:,} images; {100 * share:.0f} % of the variance of noisy responses repeats."
    exponent = (
        f"Variances of components {law.first} to {law.last} fall with the exponent "
        f"{law.exponent:.2f} (95 % interval {law.low:.2f} to {law.high:.2f}, which {compared} 1); "
        f"cross-validated PCA itself gives {raw.exponent:.2f} ({raw.low:.2f} to {raw.high:.2f}), "
        "before the correction of the bias that noise and the number of images make. A power law "
        f"explains {100 * raw.r_squared:.1f} % of the variance of log variances."
    )
    stability = (
        f"The first {len(stable)} components with and without noise overlap by {low:.2f} to "
        f"{high:.2f}; {int(stable.sum())} of them more than rotated ones (p < 0.05) and "
        f"{int(within.sum())} more than with neurons permuted within classes. The spaces of all "
        f"{len(stable)} overlap by {overlaps['clean_noisy'][-1]:.2f} (two noisy presentations "
        f"{overlaps['noisy_noisy'][-1]:.2f}, rotated {overlaps['rotation_95'][-1]:.3f})."
    )
    return [seen, exponent, stability]


def _figure(spectrum: Table, raw: PowerLaw, law: PowerLaw, overlaps: Table) -> Figure:
    figure = plots.new_figure(9.6, 3.8)
    left, right = figure.subplots(1, 2)
    n = spectrum["component"]
    for column, colour, label in (
        ("clean_Hz2", plots.MIDDLE, "without noise"),
        ("noisy_Hz2", plots.ORANGE, "with noise"),
        ("cross_validated_Hz2", plots.BLUE, "cross-validated"),
    ):
        values = spectrum[column]
        left.plot(n[values > 0], values[values > 0], color=colour, lw=1.3, label=label)
    at = np.array([law.first, law.last])
    for each, line, name in ((raw, ":", "fit"), (law, "--", "corrected")):
        label = f"{name}: exponent {each.exponent:.2f} ({each.low:.2f} to {each.high:.2f})"
        left.plot(at, each.scale * at**-each.exponent, line, color=plots.INK, lw=1.2, label=label)
    left.set(xscale="log", yscale="log", xlabel="component", ylabel="variance (Hz$^2$)")
    left.set_title("a")
    left.legend(loc="lower left")
    _overlaps(right, overlaps)
    right.set_title("b")
    figure.tight_layout()
    return figure


def _overlaps(axes: Axes, overlaps: Table) -> None:
    place = np.arange(len(overlaps.rows))
    axes.bar(place, overlaps["rotation_95"], 0.8, color=plots.PALE, label="rotations, 95 %")
    axes.bar(
        place, overlaps["permutation_95"], 0.8, fill=False, hatch="///", lw=0, edgecolor="#999999",
        label="permutations, 95 %",
    )  # fmt: skip
    axes.plot(place, overlaps["clean_noisy"], "o", color=plots.BLUE, label="clean and noisy")
    axes.plot(place, overlaps["noisy_noisy"], "_", ms=14, color=plots.INK, label="noisy twice")
    axes.set_xticks(place, overlaps["component"].tolist())
    axes.set(xlabel="component", ylabel="overlap", ylim=(0, 1.05))
    axes.legend(loc="center left", bbox_to_anchor=(0, 0.5))
