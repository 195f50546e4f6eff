"""``striate train``: train the firing-rate V1 on visual tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from circuits.cli.analyse import weights_file
from circuits.cli.options import Force, Out, seeds_of, size_of
from toolkit.errors import InputError

DEFAULTS: dict[str, Any] = {
    **dict(size="300", scenario="default", seed=1, seeds=None, lgn=True, tasks="images"),
    **dict(dynamics="low_pass", dt_ms=5.0, output_layer="L5", output_cells="excitatory"),
    **dict(tau_r="sampled", hebbian_rule="oja", images=None, change_images=None),
    **dict(
        epochs=None, steps=None, minutes=None, learning_rate=0.05, batch=64, warm_up=50, lesson=0
    ),
    **dict(schedule="cosine", evaluate_every=50, validation_items=1000, patience=None),
    **dict(rate_distribution=0.02, rate_cap=1.0, noise=0.05, max_gradient_norm=1.0),
    **dict(start=None, cells_per_channel=1, max_psp=None, input_noise=False),
    **dict(noise_steps=0, counting_steps=None, limit_steps=None, held=None, pool_size=None),
    **dict(precision="mixed", test_items=None, device="auto", threads=None),
}
# Training for conversion to spikes: our choices, found on the 3k column (docs/architecture.md).
FOR_SPIKES: dict[str, Any] = {
    "output_layer": "all",
    "pool_size": 150,
    "cells_per_channel": 21,  # Billeh et al. 2020 (Neuron 106:388): 17,400 LGN units, 832 channels
    "max_psp": 4.0,
    "limit_steps": 500,
    "noise": 0.02,
    "input_noise": True,
    "noise_steps": 50,
    "counting_steps": 400,
}
DEFAULT_EPOCHS = 10.0  # where neither epochs, steps nor minutes are given


def train(
    out: Out,
    size: Annotated[str, typer.Option(help="3k, 6k, or a number of neurons.")] = DEFAULTS["size"],
    scenario: Annotated[
        str,
        typer.Option(help="default, uniform_neurons, random_synapses, no_dale or hybrid."),
    ] = DEFAULTS["scenario"],
    seed: Annotated[int, typer.Option(help="Of circuit and items.")] = DEFAULTS["seed"],
    seeds: Annotated[
        str | None, typer.Option(help="Several, as 1,2 or 1-3: a folder each in --out.")
    ] = DEFAULTS["seeds"],
    lgn: Annotated[bool, typer.Option(help="Input by the LGN, or pixels.")] = DEFAULTS["lgn"],
    tasks: Annotated[
        str, typer.Option(help="Some of orientation,images,change; or all.")
    ] = DEFAULTS["tasks"],
    dynamics: Annotated[
        str, typer.Option(help="instantaneous, low_pass or equilibrium.")
    ] = DEFAULTS["dynamics"],
    dt_ms: Annotated[float, typer.Option(help="Time step, ms.")] = DEFAULTS["dt_ms"],
    output_layer: Annotated[
        str, typer.Option(help="Of the output pools: L1, L2/3, L4, L5, L6 or all.")
    ] = DEFAULTS["output_layer"],
    output_cells: Annotated[
        str, typer.Option(help="In the output pools: excitatory or all.")
    ] = DEFAULTS["output_cells"],
    pool_size: Annotated[
        int | None, typer.Option(help="Neurons in an output pool; 30 by default.", min=1)
    ] = DEFAULTS["pool_size"],
    tau_r: Annotated[str, typer.Option(help="Of the rates: sampled or fixed.")] = DEFAULTS["tau_r"],
    hebbian_rule: Annotated[str, typer.Option(help="Of hybrid: oja or bcm.")] = DEFAULTS[
        "hebbian_rule"
    ],
    images: Annotated[
        str | None,
        typer.Option(help="mnist, cifar10 or digits; MNIST if the data folder has it."),
    ] = DEFAULTS["images"],
    change_images: Annotated[
        str | None,
        typer.Option(help="cifar10, mnist or photographs; CIFAR-10 if the data folder has it."),
    ] = DEFAULTS["change_images"],
    epochs: Annotated[
        float | None, typer.Option(help=f"Or --steps, --minutes; {DEFAULT_EPOCHS:g} by default.")
    ] = DEFAULTS["epochs"],
    steps: Annotated[int | None, typer.Option(help="Of the optimiser.")] = DEFAULTS["steps"],
    minutes: Annotated[
        float | None,
        typer.Option(help="Of training. Without --epochs and --steps these are planned by it."),
    ] = DEFAULTS["minutes"],
    learning_rate: Annotated[float, typer.Option(help="Of Adam, for log weights.")] = DEFAULTS[
        "learning_rate"
    ],
    batch: Annotated[int, typer.Option(help="Items in a step.")] = DEFAULTS["batch"],
    warm_up: Annotated[
        int, typer.Option(help="Steps in which the learning rate rises.")
    ] = DEFAULTS["warm_up"],
    lesson: Annotated[
        int,
        typer.Option(help="Steps of each of four lessons with shorter pauses between pictures."),
    ] = DEFAULTS["lesson"],
    schedule: Annotated[
        str, typer.Option(help="Of the learning rate: cosine or constant.")
    ] = DEFAULTS["schedule"],
    evaluate_every: Annotated[
        int, typer.Option(help="Steps between looks at validation items.")
    ] = DEFAULTS["evaluate_every"],
    validation_items: Annotated[int, typer.Option(help="Items that are looked at.")] = DEFAULTS[
        "validation_items"
    ],
    patience: Annotated[
        int | None, typer.Option(help="Looks without a better accuracy that end the training.")
    ] = DEFAULTS["patience"],
    rate_distribution: Annotated[
        float, typer.Option(help="Penalty: nats per Hz from recorded rates.")
    ] = DEFAULTS["rate_distribution"],
    rate_cap: Annotated[float, typer.Option(help="Penalty of rates above 50 Hz.")] = DEFAULTS[
        "rate_cap"
    ],
    noise: Annotated[
        float, typer.Option(help="Penalty of recurrent against background noise.")
    ] = DEFAULTS["noise"],
    max_gradient_norm: Annotated[
        float, typer.Option(help="Longer gradients are shortened.")
    ] = DEFAULTS["max_gradient_norm"],
    start: Annotated[
        Path | None,
        typer.Option(help="Begin with the weights of a run's folder or file, of the same circuit."),
    ] = DEFAULTS["start"],
    for_spikes: Annotated[
        bool,
        typer.Option(
            "--for-spikes",
            help="Train for conversion: sets the six options below, --noise, --output-layer and "
            "--pool-size, where not given.",
        ),
    ] = False,
    cells_per_channel: Annotated[
        int, typer.Option(help="LGN cells with independent spikes that a channel stands for.")
    ] = DEFAULTS["cells_per_channel"],
    max_psp: Annotated[
        float | None, typer.Option(help="Largest response to one spike, mV; no limit by default.")
    ] = DEFAULTS["max_psp"],
    limit_steps: Annotated[
        int | None, typer.Option(help="Steps in which --max-psp comes down from 16 times itself.")
    ] = DEFAULTS["limit_steps"],
    held: Annotated[
        float | None,
        typer.Option(
            help="In every other batch single stimuli stay on until windows this wide end, ms."
        ),
    ] = DEFAULTS["held"],
    input_noise: Annotated[
        bool, typer.Option(help="Whether --noise counts that of LGN spikes, too.")
    ] = DEFAULTS["input_noise"],
    noise_steps: Annotated[
        int, typer.Option(help="Steps after which F is taken at the noise spikes would make.")
    ] = DEFAULTS["noise_steps"],
    counting_steps: Annotated[
        int | None, typer.Option(help="Steps in which noise of counted spikes comes into answers.")
    ] = DEFAULTS["counting_steps"],
    precision: Annotated[
        str, typer.Option(help="mixed (bfloat16 or TF32 where faster) or float32.")
    ] = DEFAULTS["precision"],
    test_items: Annotated[
        int | None, typer.Option(help="Test items at the end; all by default.")
    ] = DEFAULTS["test_items"],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = DEFAULTS["device"],
    threads: Annotated[
        int | None, typer.Option(help="Of PyTorch on the CPU; all cores by default.", min=1)
    ] = DEFAULTS["threads"],
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where a run stopped, or after its end with more."),
    ] = False,
    force: Force = False,
) -> None:
    """Train the firing-rate V1 on visual tasks: in a minute on 300 neurons and embedded digits.

    The folder --out gets weights.npz, results.csv (accuracies on test items with intervals),
    learning_curves.csv and .png, a checkpoint and a manifest. While it is trained these are in
    OUT.unfinished; --resume goes on from there, bit for bit on a CPU.

    Example: striate train --out runs/first

    striate train --size 3k --tasks all --seeds 1-3 --minutes 30 --out runs/default_3k

    torchrun --no-python --nproc-per-node 2 striate train --size 3k --tasks all --epochs 2
    --out runs/two
    """
    given = {name: value for name, value in locals().items() if name in DEFAULTS}
    if for_spikes:
        given |= {
            name: value for name, value in FOR_SPIKES.items() if given[name] == DEFAULTS[name]
        }
    import torch

    from circuits import cli
    from circuits.training import Penalties, Setup, TrainingOptions
    from circuits.training.folders import TrainingRun
    from circuits.training.setup import TASKS
    from toolkit.learning.processes import together

    cli.plain_warnings()
    if threads is not None:
        torch.set_num_threads(threads)
    numbers = [seed] if seeds is None else seeds_of(seeds)
    if epochs is None and steps is None and minutes is None:
        epochs = DEFAULT_EPOCHS
    setups = [
        Setup(
            size=size_of(size),
            seed=number,
            lgn=lgn,
            scenario=scenario,
            tasks=TASKS if tasks == "all" else tuple(tasks.split(",")),
            dynamics=dynamics,
            dt_ms=dt_ms,
            output_layer=given["output_layer"],
            pool_size=given["pool_size"],
            output_cells=output_cells,
            tau_r=tau_r,
            hebbian_rule=hebbian_rule,
            images=images,
            change_images=change_images,
            cells_per_channel=given["cells_per_channel"],
            max_psp_mV=given["max_psp"],
        ).resolved()
        for number in numbers
    ]
    planned = epochs is None and steps is None and schedule == "cosine"
    options = TrainingOptions(
        learning_rate=learning_rate,
        batch_size=batch,
        epochs=epochs,
        max_steps=1 if planned else steps,  # until it is planned
        max_minutes=minutes,
        warm_up_steps=warm_up,
        lesson_steps=lesson,
        schedule=schedule,
        max_gradient_norm=max_gradient_norm,
        evaluate_every=evaluate_every,
        validation_items=validation_items,
        patience=patience,
        precision=precision,
        noise_steps=given["noise_steps"],
        counting_steps=given["counting_steps"],
        limit_steps=given["limit_steps"],
        held_ms=given["held"],
        penalties=Penalties(
            rate_distribution=rate_distribution,
            rate_cap=rate_cap,
            noise=given["noise"],
            input_noise=given["input_noise"],
        ),
    )
    with together() as processes:
        for setup in setups:
            folder = out if seeds is None else out / f"seed_{setup.seed}"
            run = TrainingRun(
                setup,
                options,
                folder,
                planned=planned,
                test_items=test_items,
                device=_device(device),
                start=None if start is None else weights_file(start),
                processes=processes,
                say=typer.echo,
            )
            own = {**given, "seed": setup.seed, "seeds": None}
            words = [_option(name, own[name]) for name in own if own[name] != DEFAULTS[name]]
            command = " ".join([f"striate train --out {folder}", *words])
            run(command, {"out": folder, **own}, resume=resume, force=force)


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no GPU here; take cpu, or auto")
    if name not in ("cpu", "cuda"):
        raise InputError(f"--device takes auto, cpu or cuda; got {name!r}")
    return name


def _option(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name.replace('_', '-')} {value}"
