"""``striate simulate``: run a saved network as spikes, in the simulator of one's choice."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from circuits.cli.options import Force, Out, network_of
from toolkit.errors import InputError, unknown

if TYPE_CHECKING:
    import numpy as np

    from toolkit.network import Network
    from toolkit.network_blocks import NetworkFile
    from toolkit.recording import Recording

BACKENDS = ("brian2", "nest", "cuda")
STIMULI = ("grey", "grating", "poisson", "none")
N_RASTER = 600  # rows at most
DEFAULTS: dict[str, Any] = {
    **dict(backend="brian2", device="cpp_standalone", model="builtin", threads=1),
    **dict(stimulus="grey", seconds=1.0, orientation_deg=0.0, contrast=0.8, rate_hz=10.0),
    **dict(seed=1, dt_ms=0.25, csv=False, input_spikes=None),
}


def simulate(
    file: Annotated[
        Path, typer.Argument(help="A network file, or a SONATA folder or its circuit_config.json.")
    ],
    out: Out,
    backend: Annotated[
        str,
        typer.Option(help="brian2, nest, or cuda (Brian2 on a GPU): they fire the same spikes."),
    ] = DEFAULTS["backend"],
    device: Annotated[
        str, typer.Option(help="Of brian2: cpp_standalone (compiled) or runtime.")
    ] = DEFAULTS["device"],
    model: Annotated[
        str, typer.Option(help="Of nest: builtin, or nestml (compiled once).")
    ] = DEFAULTS["model"],
    threads: Annotated[
        int, typer.Option(help="Of nest, and of brian2's cpp_standalone.", min=1)
    ] = DEFAULTS["threads"],
    stimulus: Annotated[
        str,
        typer.Option(
            help="grey or grating, seen by the LGN; poisson: all external inputs at --rate-hz; "
            "none: they are silent."
        ),
    ] = DEFAULTS["stimulus"],
    input_spikes: Annotated[
        Path | None,
        typer.Option(
            help="Recorded spikes as the input, instead of --stimulus: CSV with time_ms, source "
            "(and input, if there are several), or .h5 as of SONATA.",
        ),
    ] = DEFAULTS["input_spikes"],
    seconds: Annotated[float, typer.Option(help="Simulated time, s.")] = DEFAULTS["seconds"],
    orientation_deg: Annotated[
        float, typer.Option(help="Direction of the grating's motion; 0: right, 90: up.")
    ] = DEFAULTS["orientation_deg"],
    contrast: Annotated[float, typer.Option(help="Of the grating, 0 to 1.")] = DEFAULTS["contrast"],
    rate_hz: Annotated[float, typer.Option(help="Of each source, for --stimulus poisson.")] = (
        DEFAULTS["rate_hz"]
    ),
    seed: Annotated[int, typer.Option(help="Of the random input.")] = DEFAULTS["seed"],
    dt_ms: Annotated[float, typer.Option(help="Time step, ms.")] = DEFAULTS["dt_ms"],
    csv: Annotated[bool, typer.Option("--csv", help="Spikes as CSV, too.")] = DEFAULTS["csv"],
    force: Force = False,
) -> None:
    """Run a network file or a SONATA circuit as spikes: grey screen, grating, Poisson or recorded.

    The folder --out gets spikes.h5 (SONATA), rates.csv (mean rate by class), raster.png and a
    manifest.

    Example: striate simulate column.h5 --backend nest --stimulus grating --out runs/grating

    striate simulate v1.h5 --backend cuda --seconds 5 --out runs/gpu

    striate simulate column.h5 --input-spikes lgn.csv --threads 2 --out runs/recorded
    """
    given = {name: value for name, value in locals().items() if name in DEFAULTS}
    for what, value, accepted in (
        ("backend", backend, BACKENDS),
        ("stimulus", stimulus, STIMULI),
    ):
        if value not in accepted:
            raise unknown(what, value, accepted)
    if not seconds > 0:
        raise InputError(f"--seconds must be above 0, got {seconds:g}")
    if input_spikes is not None and stimulus != DEFAULTS["stimulus"]:
        raise InputError("--input-spikes takes the place of --stimulus: give one of them")
    from circuits import cli
    from toolkit.network import Network
    from toolkit.runs import run_folder

    cli.plain_warnings()
    words = [f"striate simulate {file} --out {out}"]
    words += [_option(name, value) for name, value in given.items() if value != DEFAULTS[name]]
    parameters = {"file": file, "out": out, **given}
    with (
        _processes(backend) as first,
        run_folder(out, " ".join(words), parameters, force=force)
        if first
        else nullcontext(out) as folder,
    ):
        say = typer.echo if first else (lambda _: None)
        circuit, n_synapses = _circuit(file, backend)
        network = circuit if isinstance(circuit, Network) else circuit.sample
        say(f"{file}: {network.n:,} neurons, {n_synapses:,} recurrent connections")
        driving: dict[str, Recording] | None
        if input_spikes is not None:
            driving = _recorded(network, input_spikes, seconds, say)
        else:
            driving = _inputs(network, stimulus, seconds, orientation_deg, contrast, rate_hz)
            if stimulus in ("grey", "grating"):
                say(f"LGN: {_lgn_filters(network)}")
        started = time.perf_counter()
        simulation = _simulation(circuit, backend, device, model, threads, dt_ms)
        made_s = time.perf_counter() - started
        spikes = simulation.run(driving, seed=seed, duration_ms=1000 * seconds)
        took_s = time.perf_counter() - started - made_s
        if first:
            _write(network, spikes, folder, csv)
    n_spikes = len(spikes.spike_times_ms if spikes.spike_times_ms is not None else ())
    say(
        f"{backend}: {n_spikes:,} spikes in {seconds:g} s, "
        f"{n_spikes / network.n / seconds:.3g} Hz on average; "
        f"{made_s:.1f} s to make the simulation, {took_s:.1f} s to run it\n"
        f"{out}: spikes.h5, rates.csv, raster.png, manifest.json{', spikes.csv' if csv else ''}"
    )


def _processes(backend: str) -> AbstractContextManager[bool]:
    """Whether this process writes and prints: NEST may run in several, that mpirun started."""
    if backend != "nest":
        return nullcontext(True)
    from converters.nest import kernel, processes

    return processes.together(kernel.load())


def _circuit(file: Path, backend: str) -> tuple[Network | NetworkFile, int]:
    """What to simulate, and its number of synapses; NEST takes those of a file in blocks."""
    if backend == "nest" and file.is_file() and file.suffix != ".json":
        from toolkit.network_blocks import NetworkFile

        opened = NetworkFile.open(file)
        return opened, opened.n_synapses[""]
    network = network_of(file)
    return network, len(network.synapses)


def _option(name: str, value: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    return option if value is True else f"{option} {value}"


def _inputs(
    network: Network,
    stimulus: str,
    seconds: float,
    orientation_deg: float,
    contrast: float,
    rate_hz: float,
) -> dict[str, Recording] | None:
    """What drives the external inputs: rates in steps of 1 ms."""
    import math

    import numpy as np

    from toolkit.recording import Recording

    duration_ms = float(math.ceil(1000 * seconds))
    if stimulus == "none":
        return None
    if stimulus == "poisson":
        if not 0 <= rate_hz < 1e6:
            raise InputError(f"--rate-hz must be 0 or more and below 1e6, got {rate_hz:g}")
        shape = round(duration_ms)
        return {
            name: Recording.rates(np.full((shape, source.n), rate_hz), dt_ms=1.0)
            for name, source in network.inputs.items()
            if source.rate_Hz is None
        }
    from circuits import v1
    from toolkit import stimuli

    lgn = network.inputs.get("lgn")
    if lgn is None or lgn.sources is None:
        raise InputError(
            f"--stimulus {stimulus} needs an input 'lgn' whose cells are described, as networks of "
            "`striate build` have it; --stimulus poisson drives every input, none leaves it silent"
        )
    if stimulus == "grey":
        movie = stimuli.grey(duration_ms=duration_ms)
    else:
        movie = stimuli.drifting_grating(
            orientation_deg=orientation_deg, contrast=contrast, duration_ms=duration_ms
        )
    return {"lgn": v1.lgn(network).respond(movie)}


def _recorded(
    network: Network, file: Path, seconds: float, say: Callable[[str], None]
) -> dict[str, Recording]:
    """Recorded spikes of the external inputs."""
    from circuits.cli.input_spikes import read_input_spikes

    n_sources = {name: i.n for name, i in network.inputs.items() if i.rate_Hz is None}
    found, late = read_input_spikes(file, n_sources, 1000 * seconds)
    for name, recording in found.items():
        ids = recording.spike_ids
        say(f"{file}: {0 if ids is None else len(ids):,} spikes of input {name!r}")
    if late:
        say(f"{file}: {late:,} spikes after {seconds:g} s are left out")
    return found


def _lgn_filters(network: Network) -> str:
    """Whose filters the LGN cells have: both generations' are the same, their sizes are not."""
    published = "filters of Billeh et al. 2020"
    if "biorealistic-v1-model" in str(network.provenance.get("data")):
        return f"{published}, as the second generation has none of its own; sizes are its own"
    return published


def _simulation(
    circuit: Network | NetworkFile,
    backend: str,
    device: str,
    model: str,
    threads: int,
    dt_ms: float,
) -> Any:
    """A simulation; all have ``run(inputs, seed=, duration_ms=)``."""
    from converters import to_brian2, to_nest
    from toolkit.network_blocks import NetworkFile

    if backend == "nest" or isinstance(circuit, NetworkFile):
        return to_nest(circuit, model, dt_ms=dt_ms, threads=threads)
    if backend == "cuda":
        from converters import cuda_system

        cuda_system.need_tools()
        cuda_system.need_card()  # now, not after compiling
        device = "cuda_standalone"
    return to_brian2(circuit, device, dt_ms=dt_ms, threads=threads)


def _write(network: Network, spikes: Recording, folder: Path, csv: bool) -> None:
    import numpy as np
    import pandas as pd

    from converters.sonata import write_spikes
    from toolkit import plots

    write_spikes(spikes, folder / "spikes.h5", "v1")
    frame = pd.DataFrame(
        {
            "cell_class": network.neurons["cell_class"],
            "sign": network.neurons["sign"],
            "rate_Hz": spikes.mean_rates_Hz(),
        }
    )
    groups = frame.groupby("cell_class", sort=False)
    table = groups.agg(
        sign=("sign", "first"), neurons=("sign", "size"), rate_Hz=("rate_Hz", "mean")
    )
    table.round({"rate_Hz": 6}).to_csv(folder / "rates.csv")
    if csv:
        times_ms = np.asarray(spikes.spike_times_ms).round(6)
        columns = {"time_ms": times_ms, "neuron": spikes.spike_ids}
        pd.DataFrame(columns).to_csv(folder / "spikes.csv", index=False)
    rows = _raster_rows(network)
    with plots.style():
        figure = plots.new_figure(7, 4.5)
        axes = figure.add_axes((0.09, 0.11, 0.89, 0.85))
        colours = np.where(network.excitatory[rows], plots.VERMILION, plots.BLUE).tolist()
        plots.raster(axes, spikes, rows, colours=colours)
        axes.set_xlabel("time (ms)")
        axes.set_ylabel(f"{len(rows):,} of {network.n:,} neurons, by class")
        (folder / "raster.png").write_bytes(plots.png(figure))


def _raster_rows(network: Network) -> np.ndarray:
    """Neurons of the raster from top to bottom: by class, evenly spread within each."""
    import numpy as np

    order = np.argsort(
        [network.classes.index(name) for name in network.neurons["cell_class"].tolist()],
        kind="stable",
    )
    n = min(N_RASTER, network.n)
    return order[np.linspace(0, network.n - 1, n).round().astype(int)]
