"""`run_study`: a trained network converted, its controls, and their responses to the test items."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from circuits.conversion import backends, controls
from circuits.conversion.calibration import PER, WINDOW_MS, adjusted, calibrate
from circuits.conversion.fine_tuning import fine_tune, with_weights
from circuits.conversion.gratings import Selectivity, of_rates, selectivity
from circuits.conversion.measures import SPIKES_IN
from circuits.conversion.parts import Parts
from circuits.conversion.responses import (
    BIN_MS,
    PAUSE_MS,
    Responses,
    Shown,
    accuracy_of_items,
    mean_inputs_Hz,
    own_timing,
    rate_responses,
    spiking_responses,
    stimulus_held,
    together,
)
from circuits.conversion.time_constants import fit_tau_r, using
from circuits.training.setup import Prepared
from converters import to_spiking
from converters.conversion.checks import ConversionCheck, check_conversion
from toolkit.errors import DataError, InputError, unknown
from toolkit.files import whole_file, write_text
from toolkit.learning import TrainableRates
from toolkit.network import Network
from toolkit.rng import stream
from toolkit.runs import versions

PARTS = "parts"
NO_W, SHUFFLED, ONE_FACTOR = "W = 0", "shuffled W", "one factor"
CONTROLS = {
    NO_W: "the converted network without recurrent synapses",
    SHUFFLED: "charges permuted among the synapses of each presynaptic neuron (column of W)",
    ONE_FACTOR: "the published conversion: all rate weights times one number, the best of a grid",
}
OWN, HELD = "own timing", "stimulus held"
FACTORS = (0.5, 0.71, 1.0, 1.41, 2.0)  # of the mean charge (our choice)
GRID_ITEMS = 64  # validation items of each task for the grid
GRATING_TRIALS = 8


@dataclass(frozen=True)
class Options:
    """What is simulated.

    Attributes
    ----------
    items : test items of each task
    trials : of each item; controls have 1 with the tasks' own timing and at most 2 otherwise
    replicas : spiking neurons for each rate unit, one network each
    windows_ms : decision windows while the stimulus is held
    seed : of spikes, shuffling and bootstraps
    workers : simulations at a time
    pause_ms : of grey before every item
    calibrate : a gain and a constant current for each ``"neuron"`` or ``"class"``
        (`circuits.conversion.calibration`), or none
    fine_tune : steps of training through the spikes, after that
        (`circuits.conversion.fine_tuning`)
    backend : of the simulations, ``"brian2"``, ``"nest"`` or ``"cuda"``

    Raises
    ------
    InputError : a number below 1, no replicas, one twice, a pause that does not fit, fine-tuning of
        replicas
    """

    items: int = 500
    trials: int = 4
    replicas: tuple[int, ...] = (1,)
    windows_ms: tuple[float, ...] = (20.0, 50.0, 100.0, 200.0, 500.0)
    seed: int = 0
    workers: int = 1
    pause_ms: float = PAUSE_MS
    calibrate: str | None = None
    fine_tune: int = 0
    backend: str = "brian2"

    def __post_init__(self) -> None:
        for name in ("items", "trials", "workers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.items < 2:
            raise InputError("items must be 2 or more: R2 is across items")
        if (
            not self.replicas
            or min(self.replicas) < 1
            or len(set(self.replicas)) < len(self.replicas)
        ):
            raise InputError(f"replicas are numbers of 1 or more, each once: {self.replicas}")
        if self.pause_ms <= 0 or self.pause_ms % BIN_MS:
            raise InputError(f"a pause is a multiple of {BIN_MS:g} ms above 0: {self.pause_ms:g}")
        if self.calibrate is not None and self.calibrate not in PER:
            raise unknown("calibrate", self.calibrate, PER)
        if self.backend not in backends.BACKENDS:
            raise unknown("backend", self.backend, backends.BACKENDS)
        if self.fine_tune < 0:
            raise InputError(f"fine_tune is a number of steps, 0 or more; got {self.fine_tune}")
        if self.fine_tune and self.replicas != (1,):
            raise InputError(
                "fine-tuning is of one spiking neuron for each rate unit: replicas=(1,), not "
                f"{self.replicas}"
            )
        if self.seed < 0:
            raise InputError(f"seed must be 0 or more, got {self.seed}")


@dataclass(frozen=True, eq=False)
class Study:
    """What was found: responses by form and timing (`OWN`, `HELD`).

    forms : the converted networks, the first of `Options.replicas` first, then the controls
    spikes_in : responses of the rate network to spikes of the input's cells instead of their rates
    factors : accuracy on validation items of each factor of the one-factor method
    network : the first converted one, calibrated if that was asked for
    check : what was predicted of it before it was simulated
    calibration : R2 of log rates on held-out items after each step, if it was
    fine_tuning : error on held-out items at each look, if it was (`fine_tune`)
    tau_r_ms : time constants of the neurons with which rates follow the calibrated network's spikes
    rate_fitted : responses of the rate network with these, the stimulus held
    """

    trained: Prepared
    options: Options
    shown: Mapping[str, Shown]
    rate: Mapping[str, list[Responses]]
    spikes_in: Mapping[str, list[Responses]]
    forms: Mapping[str, Mapping[str, list[Responses]]]
    gratings: Selectivity
    factors: Mapping[float, float]
    seconds: Mapping[str, float]
    network: Network
    check: ConversionCheck
    calibration: Sequence[float] = ()
    fine_tuning: Sequence[float] = ()
    tau_r_ms: np.ndarray | None = None
    rate_fitted: Sequence[Responses] = ()

    @property
    def converted(self) -> str:
        """Name of the first converted network."""
        return next(iter(self.forms))


def name_of(replicas: int) -> str:
    """Of a converted network.

    >>> name_of(1), name_of(4)
    ('converted', 'converted, M = 4')
    """
    return "converted" if replicas == 1 else f"converted, M = {replicas}"


class _Compiled:
    """A network that is compiled when it is first needed."""

    def __init__(self, network: Network, parts: Parts, backend: str):
        self._network, self._parts, self._backend = network, parts, backend
        self._simulation: backends.Simulation | None = None

    def __call__(self) -> backends.Simulation:
        if self._simulation is None:
            with self._parts.timed("compiling"):
                again, self._parts.compiled = self._parts.compiled > 0, self._parts.compiled + 1
                self._simulation = backends.simulation(self._network, self._backend, again=again)
        return self._simulation


def run_study(
    trained: Prepared,
    folder: str | Path,
    options: Options,
    *,
    force: bool = False,
    show_progress: bool | None = None,
) -> Study:
    """Convert a trained network and show it, its controls and the rate network the test items.

    Trials of each network are files in ``folder/parts``: a run that was stopped goes on.

    Parameters
    ----------
    trained : of `circuits.training.load_trained`
    folder : made if need be
    options : what is simulated
    force : replace the parts of another network or other options
    show_progress : bars; by default on a terminal

    Raises
    ------
    InputError : parts of another network or other options in the folder
    """
    parts = Parts(Path(folder) / PARTS)
    parts.prepare(description(trained, options), force)
    model = trained.model
    shown = {
        OWN: own_timing(trained, options.items),
        HELD: stimulus_held(trained, options.items, options.windows_ms),
    }
    with parts.timed("rate network"):
        rate = {name: rate_responses(model, each) for name, each in shown.items()}
    with parts.timed(SPIKES_IN):
        spikes_in = _on_spikes(model, shown, parts, options)
    pools = model.pools.cpu().numpy()
    how = dict(pause_ms=options.pause_ms, workers=options.workers, show_progress=show_progress)

    def trials(form: str, compiled: _Compiled, n: Mapping[str, int]) -> dict[str, list[Responses]]:
        found: dict[str, list[Responses]] = {}
        for timing, each in shown.items():
            done = []
            for trial in range(n[timing]):

                def make(
                    each: Shown = each, timing: str = timing, trial: int = trial
                ) -> list[Responses]:
                    simulation = compiled()
                    with parts.timed(form):
                        return spiking_responses(
                            simulation, each, pools, trial=trial, seed=options.seed,
                            label=f"{form}, {timing}, trial {trial + 1}", **how,
                        )  # fmt: skip

                done.append(parts.responses(f"{form} {timing} {trial}", make))
            found[timing] = together(done)
        return found

    many = {OWN: options.trials, HELD: options.trials}
    few = {OWN: 1, HELD: min(2, options.trials)}
    forms = {}
    with parts.timed("conversion"):
        first = to_spiking(model, trained.network, replicas=options.replicas[0])
    with parts.timed("prediction"):
        expected = np.mean([each.rates_Hz.mean((0, 1), dtype=float) for each in rate[HELD]], axis=0)
        check = check_conversion(
            model,
            trained.network,
            expected,
            mean_inputs_Hz(shown[HELD]),
            replicas=options.replicas[0],
        )
    adjustment, calibration, tau_r_ms = _calibrated(trained, first, parts, options, how)
    rate_fitted: list[Responses] = []
    if tau_r_ms is not None:
        with using(model, tau_r_ms):
            rate_fitted = rate_responses(model, shown[HELD])

    def converted(replicas: int) -> Network:
        made = to_spiking(model, trained.network, replicas=replicas)
        return made if adjustment is None else adjusted(made, *adjustment)

    first, fine_tuning = _fine_tuned(trained, converted(options.replicas[0]), parts, options, how)
    compiled = _Compiled(first, parts, options.backend)
    forms[name_of(options.replicas[0])] = trials(name_of(options.replicas[0]), compiled, many)
    tuned = _gratings(trained, compiled, parts, options, how)
    for replicas in options.replicas[1:]:
        more = _Compiled(converted(replicas), parts, options.backend)
        forms[name_of(replicas)] = trials(name_of(replicas), more, many)
    factors = _grid(trained, first, parts, options, how)
    best = max(factors, key=lambda factor: factors[factor])
    for form, network in (
        (NO_W, controls.without_recurrence(first)),
        (SHUFFLED, controls.shuffled(first, options.seed)),
        (ONE_FACTOR, controls.one_factor(first, best)),
    ):
        forms[form] = trials(form, _Compiled(network, parts, options.backend), few)
    return Study(
        trained,
        options,
        shown,
        rate,
        spikes_in,
        forms,
        tuned,
        factors,
        dict(parts.seconds),
        first,
        check,
        calibration,
        fine_tuning,
        tau_r_ms,
        rate_fitted,
    )


def _on_spikes(
    model: TrainableRates, shown: Mapping[str, Shown], parts: Parts, options: Options
) -> dict[str, list[Responses]]:
    """Responses of the rate network to spikes of the input's cells, by timing."""

    def trial(timing: str, number: int) -> list[Responses]:
        spikes = stream(options.seed, SPIKES_IN, timing, number)
        return parts.responses(
            f"{SPIKES_IN} {timing} {number}", lambda: rate_responses(model, shown[timing], spikes)
        )

    return {
        timing: together([trial(timing, number) for number in range(options.trials)])
        for timing in shown
    }


def _calibrated(
    trained: Prepared, first: Network, parts: Parts, options: Options, how: dict[str, Any]
) -> tuple[tuple[np.ndarray, np.ndarray] | None, list[float], np.ndarray | None]:
    """Currents and gains of the units, held-out R2 after each step, and time constants."""
    if options.calibrate is None:
        return None, [], None
    path = parts.folder / "calibration.npz"
    if not path.is_file():
        with parts.timed("calibration"):
            made = calibrate(
                trained, first, per=options.calibrate, seed=options.seed + 3,
                backend=options.backend, **how,
            )  # fmt: skip
        with parts.timed("time constants"):
            fitted = fit_tau_r(
                trained, made.shown, made.responses, show_progress=how["show_progress"]
            )
        with whole_file(path) as aside, open(aside, "wb") as file:
            np.savez_compressed(
                file,
                current_pA=made.current_pA,
                gain=made.gain,
                held_out_log_R2=made.steps["held_out_log_R2"],
                tau_r_ms=fitted.tau_r_ms,
            )
    try:
        with np.load(path, allow_pickle=False) as file:
            adjustment = file["current_pA"], file["gain"]
            return adjustment, file["held_out_log_R2"].tolist(), file["tau_r_ms"]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged; remove it: {error}") from error


def _fine_tuned(
    trained: Prepared, first: Network, parts: Parts, options: Options, how: dict[str, Any]
) -> tuple[Network, list[float]]:
    """The network after training through its spikes, and the error at each look."""
    if not options.fine_tune:
        return first, []
    path = parts.folder / "fine_tuning.npz"
    if not path.is_file():
        with parts.timed("fine-tuning"):
            made = fine_tune(
                trained, first, steps=options.fine_tune, held_ms=WINDOW_MS,
                seed=options.seed + 4, show_progress=how["show_progress"],
            )  # fmt: skip
        looks = made.steps["held_out_error"]
        with whole_file(path) as aside, open(aside, "wb") as file:
            np.savez_compressed(
                file,
                weight=made.weight,
                current_pA=made.current_pA,
                held_out_error=looks[np.isfinite(looks)],
            )
    try:
        with np.load(path, allow_pickle=False) as file:
            network = with_weights(first, file["weight"], file["current_pA"])
            return network, file["held_out_error"].tolist()
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged; remove it: {error}") from error


def _gratings(
    trained: Prepared, compiled: _Compiled, parts: Parts, options: Options, how: dict[str, Any]
) -> Selectivity:
    path = parts.folder / "gratings.npz"
    if not path.is_file():
        simulation = compiled()
        with parts.timed("gratings"):
            made = selectivity(
                trained, simulation, trials=GRATING_TRIALS, seed=options.seed + 1,
                label="gratings", **how,
            )  # fmt: skip
        with whole_file(path) as aside, open(aside, "wb") as file:
            np.savez_compressed(file, rate_Hz=made.rate_Hz, spiking_Hz=made.spiking_Hz)
    try:
        with np.load(path, allow_pickle=False) as file:
            return of_rates(file["rate_Hz"], file["spiking_Hz"])
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged; remove it: {error}") from error


def _grid(
    trained: Prepared, first: Network, parts: Parts, options: Options, how: dict[str, Any]
) -> dict[float, float]:
    """Accuracy of each factor on validation items in the tasks' own windows, all tasks together."""
    path = parts.folder / "one_factor.json"
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        return {float(factor): accuracy for factor, accuracy in known.items()}
    start, stop = trained.data.tasks[0].timing.response_ms
    items = min(GRID_ITEMS, options.items)
    shown = Shown(trained.data, (stop - start,), items, "validation")
    pools, found = trained.model.pools.cpu().numpy(), {}
    for factor in FACTORS:
        simulation = _Compiled(controls.one_factor(first, factor), parts, options.backend)()
        with parts.timed("grid of one factor"):
            seen = spiking_responses(
                simulation, shown, pools, trial=0, seed=options.seed + 2,
                label=f"factor {factor:g}", **how,
            )  # fmt: skip
        right = [accuracy_of_items(shown, k, each).mean() for k, each in enumerate(seen)]
        found[factor] = float(np.mean(right))
    write_text(path, json.dumps(found))
    return found


def description(trained: Prepared, options: Options) -> dict[str, Any]:
    """What parts belong to, as plain JSON values."""
    weights = trained.model.weights().detach().cpu().numpy()
    return {
        "network": trained.network.digest(),
        "weights": hashlib.sha256(weights.tobytes()).hexdigest(),
        "items": options.items,
        "replicas": options.replicas[0],
        "windows_ms": list(options.windows_ms),
        "seed": options.seed,
        "pause_ms": options.pause_ms,
        "calibrate": options.calibrate,
        "fine_tune": options.fine_tune,
        "backend": options.backend,
        "striate": versions()["striate"],
    }
