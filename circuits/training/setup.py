"""`Setup`: which column learns what; `prepare` makes it ready."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from circuits import v1
from circuits.v1.scenarios import SCENARIOS, named
from converters.rates import TAU_R_MS
from converters.trainable import neuron_tau_s_ms, trainable
from toolkit import tasks
from toolkit.errors import InputError, unknown
from toolkit.learning import TrainableRates, localized_pools
from toolkit.learning.hebbian import LEARNING_RATE, RULES
from toolkit.learning.pools import POOL_SIZE
from toolkit.learning.time_constants import sampled_tau_r_ms, uniform_tau_r_ms
from toolkit.network import Network
from toolkit.rate_dynamics import DYNAMICS
from toolkit.tasks.pictures import first_there

TASKS = ("orientation", "images", "change")
TRAINED_SCENARIOS = ("default", *SCENARIOS, "hybrid")
OUTPUT_LAYERS = ("L1", "L2/3", "L4", "L5", "L6", "all")
OUTPUT_CELLS = ("excitatory", "all")
TAU_RS = ("sampled", "fixed")
N_FULL_DRIVE = 3000  # neurons; smaller columns get weaker LGN synapses (our choice)


@dataclass(frozen=True)
class Setup:
    """A column and what it learns; the same setup, the same untrained model and items.

    Attributes
    ----------
    size : ``"3k"``, ``"6k"`` or a number of neurons
    seed : of the circuit, of the scenario's draws and of the time constants
    lgn : whether inputs are the rates of 832 LGN channels or of 832 pixels
    scenario : ``"default"``, ``"uniform_neurons"``, ``"random_synapses"``, ``"no_dale"``, or
        ``"hybrid"``: the default circuit, in which a Hebbian rule trains the connections within a
        layer
    tasks : any of ``"orientation"``, ``"images"``, ``"change"``, learnt together
    dynamics, dt_ms : of `toolkit.rate_dynamics`
    output_layer : of the output pools: ``"L1"``, ``"L2/3"``, ``"L4"``, ``"L5"``, ``"L6"`` or
        ``"all"``
    output_cells : ``"excitatory"`` or ``"all"``
    pool_size : neurons in a pool, 30 by default; fewer where a small column has not so many
    cells_per_channel : LGN cells with independent spikes that a channel stands for
        (`converters.trainable.trainable`)
    max_psp_mV : largest response to a single spike; no limit by default
    tau_r : time constants of the rates, ``"sampled"`` (`toolkit.learning.time_constants`) or
        ``"fixed"`` at 3 ms
    hebbian_rule, hebbian_rate : of ``"hybrid"`` (`toolkit.learning.hebbian`)
    images, change_images : sets of pictures (`toolkit.tasks`); by default MNIST and CIFAR-10 if the
        data folder has them, else those that come with scikit-learn. `prepare` fills the name in

    Raises
    ------
    InputError : a name that is unknown, no task or one twice

    >>> Setup(scenario="no dale")
    Traceback (most recent call last):
        ...
    toolkit.errors.InputError: unknown scenario 'no dale'; accepted: default, uniform_neurons,
    random_synapses, no_dale, hybrid. Did you mean 'no_dale'?
    """

    size: str | int = "3k"
    seed: int = 1
    lgn: bool = True
    scenario: str = "default"
    tasks: tuple[str, ...] = TASKS
    dynamics: str = "low_pass"
    dt_ms: float = 5.0
    output_layer: str = "L5"
    output_cells: str = "excitatory"
    pool_size: int | None = None
    cells_per_channel: int = 1
    max_psp_mV: float | None = None
    tau_r: str = "sampled"
    hebbian_rule: str = "oja"
    hebbian_rate: float = LEARNING_RATE
    images: str | None = None
    change_images: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(self.tasks))
        for what, value, accepted in (
            ("scenario", self.scenario, TRAINED_SCENARIOS),
            ("dynamics", self.dynamics, DYNAMICS),
            ("output layer", self.output_layer, OUTPUT_LAYERS),
            ("output cells", self.output_cells, OUTPUT_CELLS),
            ("tau_r", self.tau_r, TAU_RS),
            ("Hebbian rule", self.hebbian_rule, RULES),
            *(("task", task, TASKS) for task in self.tasks),
        ):
            if value not in accepted:
                raise unknown(what, value, accepted)
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise InputError(f"some tasks are needed, each once; got {self.tasks}")
        if self.pool_size is not None and self.pool_size < 1:
            raise InputError(f"pool_size must be 1 or more, got {self.pool_size}")

    def resolved(self) -> Setup:
        """The same with the names of the sets of pictures that are there."""
        images, change = self.images, self.change_images
        if images is None and "images" in self.tasks:
            images = first_there("mnist", "digits")
        if change is None and "change" in self.tasks:
            change = first_there("cifar10", "photographs")
        return dataclasses.replace(self, images=images, change_images=change)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Setup:
        """From `dataclasses.asdict`, as in files.

        >>> import json
        >>> setup = Setup(size=300, tasks=["images"])
        >>> Setup.of(json.loads(json.dumps(dataclasses.asdict(setup)))) == setup
        True
        """
        known = {each.name for each in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise unknown("field of a setup", name, known)
        return cls(**values)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A setup made ready.

    setup : with the names of its pictures
    network : the circuit, before training
    model : trained in place
    data : its tasks
    start : the parameters before training, by name
    start_sigma_mV : that F was taken at before training, (neuron,)
    trained : what is known of a training that was loaded (options, accuracies)
    """

    setup: Setup
    network: Network
    model: TrainableRates
    data: tasks.Batches
    start: Mapping[str, torch.Tensor]
    start_sigma_mV: np.ndarray | None
    trained: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cell_class(self) -> np.ndarray:
        """Of each neuron."""
        return self.network.neurons["cell_class"]

    @property
    def layer(self) -> np.ndarray:
        """Of each neuron, ``"L1"`` to ``"L6"``."""
        return layer_of(self.network)


def layer_of(network: Network) -> np.ndarray:
    """The layer of each neuron, ``"L1"``, ``"L2/3"``, ...

    >>> from circuits import v1
    >>> sorted(set(layer_of(v1.column(300, seed=1)).tolist()))
    ['L1', 'L2/3', 'L4', 'L5', 'L6']
    """
    of_class = {name: f"L{layer}" for layer, names in v1.layers(network).items() for name in names}
    return np.array([of_class[name] for name in network.neurons["cell_class"].tolist()])


def prepare(setup: Setup, *, device: torch.device | str = "cpu") -> Prepared:
    """Build the circuit, its trainable form and its tasks.

    Parameters
    ----------
    setup : `Setup`
    device : where the model and its inputs will be

    Raises
    ------
    InputError : a layer with too few neurons for the pools of the tasks
    DataError : pictures that are not there, or damaged

    Examples
    --------
    >>> ready = prepare(Setup(size=300, tasks=["images"], images="digits"))
    >>> ready.network.n, ready.model.pools.shape, ready.data.n_items("train")
    (300, torch.Size([10, 4]), 1257)
    """
    setup = setup.resolved()
    network = circuit(setup)
    made: dict[str, Callable[[], tasks.Task]] = {
        "orientation": tasks.fine_orientation,
        "images": lambda: tasks.image_classification(setup.images),
        "change": lambda: tasks.visual_change(setup.change_images),
    }
    data = tasks.Batches(
        [made[name]() for name in setup.tasks],
        v1.lgn(network) if setup.lgn else None,
        dt_ms=setup.dt_ms,
        device=device,
    )
    model = trainable(
        network,
        output_pools(setup, network, data.n_pools),
        setup.dynamics,
        dt_ms=setup.dt_ms,
        tau_r_ms=time_constants_ms(setup, network),
        cells_per_channel=setup.cells_per_channel,
        max_psp_mV=setup.max_psp_mV,
    ).to(device)
    start = {name: value.detach().clone() for name, value in model.named_parameters()}
    return Prepared(setup, network, model, data, start, model.curve.sigma_mV)


def circuit(setup: Setup) -> Network:
    """The untrained circuit of a setup.

    In the image layout every LGN channel has 60 synapses whatever the size. With fewer than 3,000
    neurons these are more for each of them: they are weakened by n / 3,000, so that the drive is
    that of the 3k column.

    Without Dale's law weights start as they are and may change their signs (``signs="kept"``, as in
    the released code): with signs mixed before training E fires at 37 Hz on average.
    """
    network = v1.column(setup.size, seed=setup.seed, lgn_layout="image")
    if network.n < N_FULL_DRIVE:
        source = network.inputs["lgn"]
        weaker = dataclasses.replace(
            source.synapses, weight=source.synapses.weight * (network.n / N_FULL_DRIVE)
        )
        lgn = dataclasses.replace(source, synapses=weaker)
        network = network.replace(inputs={**network.inputs, "lgn": lgn})
    if setup.scenario == "no_dale":
        return v1.no_dale(network, seed=setup.seed, signs="kept")
    chosen = [setup.scenario] if setup.scenario in SCENARIOS else []
    for scenario in named(chosen):
        network = scenario(network, setup.seed)
    return network


def output_pools(setup: Setup, network: Network, n_pools: int) -> np.ndarray:
    """Pools of neighbouring cells of the output layer, or of all layers, (pool, member).

    Raises
    ------
    InputError : the layer has too few
    """
    chosen = np.ones(network.n, dtype=bool)
    if setup.output_layer != "all":
        chosen = layer_of(network) == setup.output_layer
    if setup.output_cells == "excitatory":
        chosen &= network.excitatory
    candidates = np.flatnonzero(chosen)
    size = max(1, min(setup.pool_size or POOL_SIZE, len(candidates) // n_pools))
    try:
        x, z = network.neurons["x_um"], network.neurons["z_um"]
        return localized_pools(x, z, candidates, n_pools, size=size)
    except InputError as error:
        raise InputError(
            f"output_layer {setup.output_layer} ({setup.output_cells} cells): {error}"
        ) from None


def time_constants_ms(setup: Setup, network: Network) -> np.ndarray | float:
    """tau_r of the neurons: one for E and one for I in the scenario of uniform neurons."""
    if setup.tau_r == "fixed":
        return TAU_R_MS
    tau_s = neuron_tau_s_ms(network)
    if setup.scenario == "uniform_neurons":
        return uniform_tau_r_ms(tau_s, network.excitatory, mean_ms=TAU_R_MS)
    return sampled_tau_r_ms(tau_s, setup.seed, mean_ms=TAU_R_MS)
