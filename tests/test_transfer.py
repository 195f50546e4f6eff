"""Transfer functions: interpolation, isotonic tables, and tables against runs of the neuron."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import reference_glif3 as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits import allen
from converters import to_brian2, transfer_tables
from converters.transfer_tables import Cell, find_or_make, pack, tabulate, unpack
from toolkit import Input, Network, Receptor, Synapses, Table
from toolkit.errors import InputError
from toolkit.neurons import glif3
from toolkit.transfer import FLOOR_HZ, TableTransfer, monotone

few = settings(max_examples=60, deadline=None)
MU = np.array([-10.0, -4.0, 0.0, 1.0, 8.0])
SIGMA = np.array([0.5, 2.0, 7.0])
DT_MS = 0.25
CELL = Cell(
    {
        "C_m_pF": 110.0,
        "g_nS": 6.0,
        "E_L_mV": -74.0,
        "V_th_mV": -49.0,
        "V_reset_mV": -74.0,
        "t_ref_ms": 3.1,
        "asc_decay_1_per_ms": 0.01,
        "asc_decay_2_per_ms": 0.2,
        "asc_amp_1_pA": -8.0,
        "asc_amp_2_pA": -60.0,
    },
    Receptor(5.5),
)


def _tables(n_models: int, seed: int = 0) -> np.ndarray:
    """Random tables, ascending in mu, from 0 to some 100 Hz."""
    steps = np.random.default_rng(seed).gamma(0.5, 20, (n_models, len(MU), len(SIGMA)))
    tables = np.cumsum(steps, axis=1)
    tables[:, 0] = 0
    return tables


# ---- interpolation -------------------------------------------------------------------------


def test_interpolation_is_exact_at_the_nodes() -> None:
    tables = _tables(3)
    model = np.array([0, 2, 1, 2])
    transfer = TableTransfer(tables, MU, SIGMA, model)
    for i, mu in enumerate(MU):
        for j, sigma in enumerate(SIGMA):
            rates = transfer(torch.full((4,), float(mu)), torch.full((4,), float(sigma)))
            assert rates.numpy() == pytest.approx(tables[model, i, j], rel=1e-5, abs=1e-6)


def test_interpolation_between_nodes_is_linear_in_the_logarithm() -> None:
    table = _tables(1)
    transfer = TableTransfer(table, MU, SIGMA, np.array([0]))
    logs = np.log(table[0] + FLOOR_HZ)
    # A quarter of the way from mu = 1 to 8, a fifth of the way from sigma = 2 to 7.
    weights = np.outer([0.75, 0.25], [0.8, 0.2])
    expected = np.exp((weights * logs[3:5, 1:3]).sum()) - FLOOR_HZ
    assert transfer(torch.tensor([2.75]), torch.tensor([3.0])).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_beyond_the_grid_the_ends_hold() -> None:
    table = _tables(1)
    transfer = TableTransfer(table, MU, SIGMA, np.array([0]))
    ends = {(-1e4, 0.0): (0, 0), (1e4, 0.0): (4, 0), (-1e4, 1e4): (0, 2), (1e4, 1e4): (4, 2)}
    for (mu, sigma), (i, j) in ends.items():
        rate = transfer(torch.tensor([mu]), torch.tensor([sigma])).item()
        assert rate == pytest.approx(table[0, i, j], rel=1e-5, abs=1e-6)


@few
@given(
    seed=st.integers(0, 100),
    mus=st.lists(st.floats(-15, 12), min_size=2, max_size=20),
    sigma=st.floats(0, 10),
)
def test_rates_never_fall_with_mu(seed: int, mus: list[float], sigma: float) -> None:
    mu = torch.tensor(sorted(mus))
    transfer = TableTransfer(_tables(1, seed), MU, SIGMA, np.zeros(len(mus), int))
    rates = transfer(mu, torch.full_like(mu, sigma))
    assert (rates >= 0).all()
    assert (torch.diff(rates) >= -1e-4 * (1 + rates[1:])).all()


@few
@given(seed=st.integers(0, 20), mu=st.floats(-12, 10), sigma=st.floats(0.3, 9))
def test_gradients_are_finite_and_those_of_the_function(seed: int, mu: float, sigma: float) -> None:
    transfer = TableTransfer(_tables(1, seed), MU, SIGMA, np.array([0])).double()
    at = torch.tensor([mu], dtype=torch.float64, requires_grad=True)
    spread = torch.tensor([sigma], dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad(transfer(at, spread).sum(), (at, spread))
    assert all(torch.isfinite(g).all() for g in gradients)
    h = 1e-6
    away = min(np.abs(MU - mu).min(), np.abs(SIGMA - sigma).min())
    if away > 2 * h:  # the nodes are kinks
        with torch.no_grad():
            slopes = (
                (transfer(at + h, spread) - transfer(at - h, spread)) / (2 * h),
                (transfer(at, spread + h) - transfer(at, spread - h)) / (2 * h),
            )
        for gradient, slope in zip(gradients, slopes, strict=True):
            assert gradient.item() == pytest.approx(slope.item(), rel=1e-4, abs=1e-5)


def test_batches_and_neurons_keep_their_places() -> None:
    tables, model = _tables(3), np.array([2, 0, 1, 1, 0])
    transfer = TableTransfer(tables, MU, SIGMA, model)
    rng = np.random.default_rng(1)
    mu = torch.tensor(rng.uniform(-5, 8, (4, 3, 5)), dtype=torch.float32)
    sigma = torch.tensor(rng.uniform(0.5, 7, (4, 3, 5)), dtype=torch.float32)
    rates = transfer(mu, sigma)
    assert rates.shape == (4, 3, 5)
    for neuron in range(5):
        alone = TableTransfer(tables, MU, SIGMA, model[neuron : neuron + 1])
        one = alone(mu[..., neuron : neuron + 1], sigma[..., neuron : neuron + 1])
        assert torch.equal(one[..., 0], rates[..., neuron])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(rates_Hz=np.zeros((5, 3))), r"rates of shape \(5, 3\)"),
        (dict(mu_mV=MU[:4]), "do not fit a grid of 4 x 3"),
        (dict(mu_mV=MU[::-1]), "must ascend"),
        (dict(sigma_mV=np.array([1.0, 1.0, 2.0])), "must ascend"),
        (dict(sigma_mV=np.array([1.0, 2.0, 3.00001])), "sigma must be multiples of a common step"),
        (dict(rates_Hz=np.zeros((1, 1, 3)), mu_mV=MU[:1]), "mu must ascend and have two points"),
        (dict(rates_Hz=np.full((1, 5, 3), -1.0)), "finite and not negative"),
        (dict(rates_Hz=np.full((1, 5, 3), np.nan)), "finite and not negative"),
        (dict(model=np.array([0, 1])), "there are 1 tables"),
        (dict(model=np.array([-1])), "there are 1 tables"),
    ],
)
def test_bad_tables(changes: dict, words: str) -> None:
    good = dict(rates_Hz=_tables(1), mu_mV=MU, sigma_mV=SIGMA, model=np.array([0]))
    with pytest.raises(InputError, match=words):
        TableTransfer(**{**good, **changes})


# ---- isotonic tables -----------------------------------------------------------------------


def test_monotone_ascends_and_leaves_ascending_tables_alone() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.poisson(np.linspace(0, 30, 40)[:, None] * np.ones(4), (2, 40, 4)) / 5
    fitted = monotone(noisy, seconds=5)
    assert fitted.shape == noisy.shape
    assert (np.diff(noisy, axis=1) < 0).any() and (np.diff(fitted, axis=1) >= 0).all()
    ascending = np.sort(noisy, axis=1)
    assert monotone(ascending, seconds=5) == pytest.approx(ascending)


def test_monotone_pools_neighbours_by_their_precision() -> None:
    """Two points out of order become their mean, weighted with seconds / (rate + 1 / seconds)."""
    fitted = monotone(np.array([[1.0], [9.0], [4.0], [20.0]]), seconds=10)[:, 0]
    weights = np.array([10 / 9.1, 10 / 4.1])
    pooled = (weights * [9.0, 4.0]).sum() / weights.sum()
    assert fitted == pytest.approx([1.0, pooled, pooled, 20.0])


@pytest.mark.parametrize("level_Hz", [0.5, 5.0])
def test_monotone_is_all_but_unbiased(level_Hz: float) -> None:
    """On a flat stretch, the worst case, where a running maximum is far too high."""
    seconds, rng = 100.0, np.random.default_rng(1)
    counted = rng.poisson(level_Hz * seconds, (20, 60)) / seconds
    fitted = monotone(counted.T, seconds)
    deviation = np.sqrt(level_Hz / seconds)
    assert abs(fitted.mean() - level_Hz) < 1.5 / seconds
    assert np.maximum.accumulate(counted, axis=1).mean() - level_Hz > deviation
    assert np.abs(fitted - level_Hz).mean() < np.abs(counted - level_Hz).mean()


# ---- tables of a cell ----------------------------------------------------------------------

GRID_MU = np.array([-6.0, -3.0, -0.3, 1.5, 5.0, 15.0, 40.0])
GRID_SIGMA = np.array([1e-4, 2.0, 5.0])
SECONDS = 120.0


DOUBLE = Cell(CELL.parameters, Receptor(1.7, "double_alpha", tau_slow_ms=4.4, amp_slow=0.6))


@pytest.fixture(scope="module")
def tables() -> dict[str, np.ndarray]:
    """The tables of one cell with two receptors over a small grid, (mu, sigma)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer_tables, "MU_MV", GRID_MU)
        patch.setattr(transfer_tables, "SIGMA_MV", GRID_SIGMA)
        other = Cell({**CELL.parameters, "g_nS": 9.0, "t_ref_ms": 1.0}, Receptor(2.8))
        made = tabulate([other, DOUBLE, CELL], dt_ms=DT_MS, seconds=SECONDS)
    assert made.shape == (3, len(GRID_MU), len(GRID_SIGMA))
    assert not np.allclose(made[0], made[2], rtol=0.1)
    assert np.allclose(made[1, :, 0], made[2, :, 0], atol=1 / SECONDS), "without fluctuations"
    return {"double_alpha": made[1], "alpha": made[2]}


@pytest.fixture
def table(tables: dict[str, np.ndarray]) -> np.ndarray:
    return tables["alpha"]


@pytest.mark.parametrize("i", range(len(GRID_MU)))
def test_without_fluctuations_the_table_is_the_deterministic_f_I_curve(
    table: np.ndarray, i: int
) -> None:
    cell, mu = CELL.parameters, GRID_MU[i]
    current = cell["g_nS"] * (mu + cell["V_th_mV"] - cell["E_L_mV"])
    seconds = 4.0
    n_steps = round(1000 * (transfer_tables.WARM_UP_S + seconds) / DT_MS)
    _, steps = reference.run({**cell, "I_ext_pA": current}, np.zeros((n_steps, 0)), [], DT_MS)
    rate = (steps * DT_MS > 1000 * transfer_tables.WARM_UP_S).sum() / seconds
    # Both rates are counts of a regular train in a window.
    assert table[i, 0] == pytest.approx(rate, abs=1.5 / seconds)
    assert (rate == 0) if mu <= 0 else (rate > 5)


@pytest.mark.parametrize("kernel", ["alpha", "double_alpha"])
def test_with_fluctuations_the_table_is_the_rate_of_poisson_driven_neurons(
    tables: dict[str, np.ndarray], kernel: str
) -> None:
    """Mean and fluctuation are set here by sums over the PSP, on the other Brian2 device; neurons
    that cannot fire show that the free membrane has them."""
    table, receptor = tables[kernel], {"alpha": CELL, "double_alpha": DOUBLE}[kernel].receptor
    cell, per_ms = CELL.parameters, 1.0
    points = [(0, 1), (1, 1), (2, 1), (0, 2), (3, 2), (5, 2)]
    copies, free, seconds = 60, 12, 5.0
    each = copies + free
    n = each * len(points)
    fine = np.arange(0.005, 400, 0.01)
    psp = sum(
        peak * glif3.alpha_psp(fine, cell["C_m_pF"], cell["g_nS"], tau)
        for peak, tau in receptor.components
    )
    mu, sigma = (np.repeat([grid[p[k]] for p in points], each)
                 for k, grid in ((0, GRID_MU), (1, GRID_SIGMA)))  # fmt: skip
    weight = sigma / np.sqrt(per_ms * (psp**2).sum() * 0.01)
    above_rest = mu + cell["V_th_mV"] - cell["E_L_mV"]
    columns = {name: np.full(n, value) for name, value in cell.items()}
    columns["I_ext_pA"] = (above_rest - weight * per_ms * psp.sum() * 0.01) * cell["g_nS"]
    columns["V_init_mV"] = columns["E_L_mV"] + np.minimum(above_rest, 20.0)
    cannot = np.arange(n) % each >= copies
    columns["V_th_mV"] = np.where(cannot, 1e6, columns["V_th_mV"])
    columns |= dict(population=["p"] * n, cell_class=["c"] * n, sign=np.ones(n, int))
    who = np.arange(n)
    noise = Input(n, Synapses(who, who, weight, np.full(n, 0.5), np.zeros(n)), 1000.0 * per_ms)
    network = Network(Table(columns), Synapses.none(), {"e": receptor}, {"bg": noise})
    silent = np.flatnonzero(cannot)
    simulation = to_brian2(network, dt_ms=DT_MS, record_voltage=silent)
    spikes = simulation.run(duration_ms=1000 * (1 + seconds), seed=3, target="numpy")
    rates = spikes.mean_rates_Hz(1000).reshape(len(points), each)[:, :copies]
    assert simulation.voltage_mV is not None
    V = simulation.voltage_mV[round(1000 / DT_MS) :].reshape(-1, len(points), free)
    for k, (i, j) in enumerate(points):
        assert V[:, k].mean() - cell["V_th_mV"] == pytest.approx(
            GRID_MU[i], abs=0.15 * GRID_SIGMA[j]
        )
        assert V[:, k].std() == pytest.approx(GRID_SIGMA[j], rel=0.1)
        error = np.hypot(rates[k].std() / np.sqrt(copies), np.sqrt(table[i, j] / SECONDS))
        assert table[i, j] > 0.05
        assert rates[k].mean() == pytest.approx(table[i, j], abs=3.5 * error)


def test_tables_ascend_with_mu_and_noise_helps_below_threshold(table: np.ndarray) -> None:
    assert (np.diff(table, axis=0) >= 0).all()
    assert (np.diff(table[:3], axis=1) >= 0).all() and table[0, 2] > table[0, 0]


def test_no_cells_is_an_error() -> None:
    with pytest.raises(InputError, match="no cell models"):
        tabulate([], dt_ms=DT_MS)


# ---- the store -----------------------------------------------------------------------------


@few
@given(rate=st.floats(0, 4000))
def test_packed_rates_are_accurate(rate: float) -> None:
    """To 0.03 % or, below the rate of one spike in 200 s, to a thousandth of that."""
    assert unpack(pack(np.array([rate])))[0] == pytest.approx(rate, rel=3e-4, abs=5e-6)


def test_packing_keeps_silence_and_order() -> None:
    rates = np.array([0.0, 0.005, 0.01, 1.0, 1.001, 400.0, 4000.0])
    back = unpack(pack(rates))
    assert back[0] == 0 and (np.diff(back) > 0).all()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[Cell]]:
    """What `tabulate` was asked for; it answers at once, with a table that tells the cell."""
    asked: list[list[Cell]] = []

    def fake(cells, *, dt_ms, workers, show_progress):
        asked.append(list(cells))
        shape = len(transfer_tables.MU_MV), len(transfer_tables.SIGMA_MV)
        return np.stack([np.full(shape, cell.parameters["g_nS"]) for cell in cells])

    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transfer_tables, "tabulate", fake)
    return asked


def test_tables_are_made_once(calls: list[list[Cell]], tmp_path: Path) -> None:
    second = Cell({**CELL.parameters, "g_nS": 9.0}, CELL.receptor)
    first = find_or_make([CELL], dt_ms=DT_MS)
    assert calls == [[CELL]]
    assert first[0] == pytest.approx(6.0, rel=3e-4)
    assert [f.name for f in (tmp_path / "cache").iterdir()] == [f"transfer_{CELL.key(DT_MS)}.npz"]
    both = find_or_make([second, CELL, second], dt_ms=DT_MS)
    assert calls == [[CELL], [second]], "only what is missing is made, and once"
    assert both[:, 0, 0] == pytest.approx([9.0, 6.0, 9.0], rel=3e-4)
    again = find_or_make([CELL, second], dt_ms=DT_MS)
    assert len(calls) == 2
    assert np.array_equal(again[0], first[0]), "made and found tables are the same"
    find_or_make([CELL], dt_ms=0.1)
    assert len(calls) == 3


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another"])
def test_a_damaged_table_is_made_again(
    calls: list[list[Cell]], tmp_path: Path, damage: str
) -> None:
    made = find_or_make([CELL], dt_ms=DT_MS)
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(
        {
            "cut": whole[:middle],
            "flipped": whole[: middle - 20] + bytes(20) + whole[middle:],
            "empty": b"",
            "another": b"no table at all",
        }[damage]
    )
    assert np.array_equal(find_or_make([CELL], dt_ms=DT_MS), made)
    assert len(calls) == 2
    assert file.read_bytes() == whole


def test_tables_of_the_bundled_cells_are_shipped(calls: list[list[Cell]], tmp_path: Path) -> None:
    """Nobody waits for them; they have the cells' rates."""
    tables = allen.load()
    cells, classes = tables.cells, tables.classes
    sign = dict(zip(classes["cell_class"], classes["sign"], strict=True))
    ready = np.flatnonzero(np.isfinite(cells["C_m_pF"]))
    asked = [
        Cell(
            {name: float(cells[name][row]) for name in CELL.parameters},
            Receptor(5.5 if sign[cells["cell_class"][row]] > 0 else 2.8),
        )
        for row in ready
    ]
    found = find_or_make(asked, dt_ms=0.25)
    assert calls == [] and not (tmp_path / "cache").exists()
    assert len(found) == len(ready) > 100
    assert (np.diff(found, axis=1) >= 0).all()
    silent = transfer_tables.MU_MV < -10
    assert found[:, silent, 0].max() == 0
    # Well above threshold, a regular train: below the rate that refractoriness allows, above 5 Hz.
    t_ref = np.array([cell.parameters["t_ref_ms"] for cell in asked])
    assert (found[:, -1, 0] < 1000 / t_ref).all() and (found[:, -1, 0] > 5).all()


KEYED = {
    "C_m_pF": 110.1,
    "g_nS": 6.01,
    "E_L_mV": -74.1,
    "V_th_mV": -49.1,
    "V_reset_mV": -74.1,
    "t_ref_ms": 3.2,
    "asc_decay_1_per_ms": 0.011,
    "asc_decay_2_per_ms": 0.21,
    "asc_amp_1_pA": -8.1,
    "asc_amp_2_pA": -60.1,
}


@pytest.mark.parametrize("name", [*KEYED, "dt_ms", "MU_MV", "SIGMA_MV", "VERSION"])
def test_key_changes_with_everything_that_a_table_depends_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cell, dt_ms = CELL.key(DT_MS), CELL, DT_MS
    if name in KEYED:
        cell = Cell({**CELL.parameters, name: KEYED[name]}, CELL.receptor)
    elif name == "dt_ms":
        dt_ms = 0.1
    else:
        monkeypatch.setattr(transfer_tables, name, getattr(transfer_tables, name) + 1)
    assert cell.key(dt_ms) != key


def test_key_changes_with_every_value_of_the_receptor() -> None:
    receptors = [Receptor(5.5), Receptor(5.6), Receptor(5.5, "exponential")]
    slow = [(1.7, 4.4, 0.6), (1.8, 4.4, 0.6), (1.7, 4.5, 0.6), (1.7, 4.4, 0.7)]
    receptors += [Receptor(tau, "double_alpha", *rest) for tau, *rest in slow]
    assert len({Cell(CELL.parameters, each).key(DT_MS) for each in receptors}) == len(receptors)


@few
@given(shift=st.floats(-40, 20).map(lambda mV: round(mV, 3)))
def test_key_does_not_change_when_all_potentials_shift(shift: float) -> None:
    moved = {
        name: value + shift if name.endswith("mV") else value
        for name, value in CELL.parameters.items()
    }
    assert Cell(moved, CELL.receptor).key(DT_MS) == CELL.key(DT_MS)
    assert set(KEYED) == set(CELL.parameters)


def test_cells_of_a_network_are_counted_once() -> None:
    n = 6
    columns = {name: np.full(n, value) for name, value in CELL.parameters.items()}
    columns["g_nS"] = np.array([6.0, 6.0, 9.0, 6.0, 9.0, 6.0])
    columns |= dict(population=["p"] * n, cell_class=["c"] * n, sign=np.ones(n, int))
    # Neuron 5 gets its excitation through the other receptor: another cell model.
    receptor = np.array([0, 0, 0, 0, 0, 1])
    drive = Synapses(np.zeros(n), np.arange(n), np.ones(n), np.ones(n), receptor)
    receptors = {"slow": Receptor(5.5), "fast": Receptor(2.8)}
    network = Network(Table(columns), Synapses.none(), receptors, {"in": Input(1, drive)})
    cells, model = transfer_tables.cells_of(network)
    assert len(cells) == 3
    for neuron in range(n):
        cell = cells[model[neuron]]
        assert cell.parameters["g_nS"] == columns["g_nS"][neuron]
        assert cell.receptor.tau_ms == (2.8 if neuron == 5 else 5.5)
