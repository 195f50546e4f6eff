"""Refreshing the tables through allensdk itself, against a local server in the API's form."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import allen_server
import numpy as np
import pytest
from allen_server import Fault, Server
from allensdk_environment import allensdk_python

from circuits import allen
from circuits.allen.refresh import Unreachable, convert, refresh_tables
from circuits.allen.refresh.database import Database
from circuits.allen.schema import GLIF3
from toolkit.errors import DataError, StriateError

CELL = "475585413"
PATIENT: dict[str, Any] = {"timeout_s": 30.0, "attempts": 2, "backoff_s": 0.05}
HASTY = {**PATIENT, "timeout_s": 1.0}  # for what does not answer: shorter than "silent"
SIMULATOR = Path(__file__).with_name("allensdk_glif.py")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def python() -> Path:
    return allensdk_python()


@pytest.fixture(scope="module")
def running(python: Path) -> Iterator[Server]:
    with allen_server.serving() as server:
        yield server


@pytest.fixture(scope="module")
def connection(python: Path, running: Server) -> Iterator[Database]:
    with Database(python, running.url, **PATIENT) as database:
        yield database


@pytest.fixture(scope="module")
def hasty(python: Path, running: Server) -> Iterator[Database]:
    with Database(python, running.url, **HASTY) as database:
        yield database


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running.cells = allen_server.database()
    running.faults.clear()
    running.requests.clear()
    return running


def refresh(server: Server, python: Path, out: Path, **options: Any) -> Any:
    return refresh_tables(out, url=server.url, python=python, **{**PATIENT, **options})


# ---- what is asked and answered --------------------------------------------------------------


def test_allensdk_brings_the_parameters_of_all_cells(
    server: Server, python: Path, tmp_path: Path
) -> None:
    server.cells[int(CELL)].config["R_input"] /= 2  # type: ignore[index]
    refreshed = refresh(server, python, tmp_path / "tables")
    old, new = allen.load().cells, allen.load(tmp_path / "tables").cells
    for p in GLIF3:
        same = np.isclose(old[p.name], new[p.name], rtol=0, atol=1e-12) | np.isnan(old[p.name])
        assert same[1:].all(), p.name
    assert new["g_nS"][0] == pytest.approx(2 * old["g_nS"][0], abs=1e-8)
    assert np.isnan(new["g_nS"]).sum() == 6
    assert refreshed.answers.allensdk == "2.16.2"
    assert len(refreshed.found.rows) == 111
    asked = [request for request in server.requests if "ApiCellTypesSpecimenDetail" in request]
    assert asked == [
        "/api/v2/data/query.json?q=model::ApiCellTypesSpecimenDetail,rma::options[num_rows$eq'all']"
    ]
    n_models = 111 - 6
    assert sum("model::Specimen," in request for request in server.requests) == 111
    assert sum("model::NeuronalModel," in request for request in server.requests) == n_models
    assert sum("well_known_file_download" in x for x in server.requests) == n_models


def test_the_glif3_model_is_taken_among_the_others(server: Server, connection: Database) -> None:
    answer = connection.glif3(CELL)
    assert answer == {"model": int(CELL) + 2, "config": server.cells[int(CELL)].config}
    for without in ("476451456", "12"):
        assert connection.glif3(without) is None
    assert len(connection.cells()) == len(server.cells)
    assert {"vrest", "tau", "specimen_id"} <= set(connection.ephys_features()[0])


def test_the_conversion_is_what_allensdk_makes_of_the_configuration(python: Path) -> None:
    """Its simulator fires alike from the configuration with factors and from our parameters."""
    cells = allen.load().cells
    neurons, configs, currents = [], [], []
    for row in range(0, len(cells.rows), 20):
        neuron = {p.name: float(cells[p.name][row]) for p in GLIF3}
        configs.append(allen_server.neuron_config(neuron))
        neurons.append(convert.glif3(configs[-1], cells["cell"][row]))
        currents.append(2 * neuron["g_nS"] * (neuron["V_th_mV"] - neuron["E_L_mV"]))
    asked = {"currents_pA": currents, "dts_ms": [0.05], "duration_ms": 300.0}
    spikes = []
    for given in ({"configs": configs}, {"neurons": neurons}):
        ran = subprocess.run(
            [python, "-I", SIMULATOR],
            input=json.dumps(asked | given),
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr[-2000:]
        spikes.append(json.loads(ran.stdout))
    assert all(len(times) > 3 for times in spikes[0])
    for with_factors, converted in zip(*spikes, strict=True):
        assert with_factors == pytest.approx(converted, abs=1e-9)


# ---- what goes wrong -------------------------------------------------------------------------

DETAILS, FEATURES, SPECIMEN = "ApiCellTypesSpecimenDetail", "EphysFeature", "model::Specimen"
MODEL, FILE = "model::NeuronalModel,", "well_known_file_download"
SLOW = ("silent", "drip")
FAULTS = [
    # where, what, error, words, how often it is asked
    (SPECIMEN, "500", DataError, r"HTTP status 500 \(Internal Server Error\)", 2),
    (SPECIMEN, "503", DataError, "HTTP status 503", 2),
    (SPECIMEN, "404", DataError, "HTTP status 404", 1),
    (SPECIMEN, "html", DataError, "the answer is not JSON .*: a web page, or cut short", 2),
    (SPECIMEN, "truncated", DataError, "the answer is not JSON", 2),
    (SPECIMEN, "cut", Unreachable, "the connection broke: IncompleteRead", 2),
    (SPECIMEN, "silent", Unreachable, "no answer within 1 s", 2),
    (SPECIMEN, "drip", Unreachable, "no answer within 1 s", 2),
    (SPECIMEN, "failed", DataError, "the query failed: Query failed: RMA::Parser error", 1),
    (SPECIMEN, "bare", DataError, "the answer has another form than documented", 1),
    (
        SPECIMEN,
        "no msg",
        DataError,
        r"the answer has another form than documented \(KeyError\('msg'\)",
        1,
    ),
    (MODEL, "failed", DataError, "the answer has another form than documented", 1),
    (MODEL, "500", DataError, "HTTP status 500", 2),
    (FILE, "404", DataError, "HTTP status 404", 1),
    (FILE, "html", DataError, "the answer is not JSON", 2),
    (FILE, "bare", DataError, "the file of its GLIF3 model is no JSON object", 1),
]


@pytest.mark.parametrize(("where", "kind", "error", "words", "times"), FAULTS)
def test_a_broken_answer_is_explained(
    server: Server,
    connection: Database,
    hasty: Database,
    where: str,
    kind: str,
    error: type[StriateError],
    words: str,
    times: int,
) -> None:
    server.faults.append(Fault(where, kind))
    database = hasty if kind in SLOW else connection
    with pytest.raises(error, match=f"^cell {CELL}, asked of {server.url}: {words}"):
        database.glif3(CELL)
    assert sum(where in request for request in server.requests) == times
    server.faults.clear()
    assert connection.glif3(CELL), "the connection goes on"


@pytest.mark.parametrize(("where", "kind", "error", "words", "times"), FAULTS[:5])
def test_a_broken_list_is_explained(
    server: Server,
    connection: Database,
    where: str,
    kind: str,
    error: type[StriateError],
    words: str,
    times: int,
) -> None:
    server.faults += [Fault(DETAILS, kind), Fault(FEATURES, kind)]
    with pytest.raises(error, match=f"^the list of cells, asked of {server.url}: {words}"):
        connection.cells()
    with pytest.raises(error, match=f"^the ephys features, asked of {server.url}: {words}"):
        connection.ephys_features()


@pytest.mark.parametrize("kind", ["500", "html", "cut", "silent"])
def test_what_goes_wrong_once_is_asked_again(
    server: Server, connection: Database, hasty: Database, kind: str
) -> None:
    server.faults += [Fault(SPECIMEN, kind, 1), Fault(MODEL, kind, 1)]
    answer = (hasty if kind in SLOW else connection).glif3(CELL)
    assert answer and answer["model"] == int(CELL) + 2
    assert len(server.requests) == 5  # two of them twice


@pytest.mark.parametrize("key", ["neuronal_models", "id", "neuronal_model_template_id"])
def test_a_record_without_a_key_is_explained(
    server: Server, connection: Database, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    def rows(model: str, ids: set[int] | None) -> list[dict[str, Any]]:
        specimen = server.cells[int(CELL)].specimen
        for record in (specimen, *specimen["neuronal_models"]):
            record.pop(key, None)
        return [specimen]

    monkeypatch.setattr(server, "rows", rows)
    with pytest.raises(DataError, match=rf"cell {CELL}.*KeyError\('{key}'\)"):
        connection.glif3(CELL)


def test_a_value_that_is_no_number_arrives_and_is_refused(
    server: Server, python: Path, tmp_path: Path
) -> None:
    server.cells[487661754].config["C"] = float("nan")  # type: ignore[index]
    # NaN is no JSON: whether allensdk reads it all the same depends on its version of simplejson
    with pytest.raises(DataError, match=r"cell 487661754(: C is nan|, asked of .* is not JSON)"):
        refresh(server, python, tmp_path / "tables", cells=[CELL, "487661754"])
    assert not (tmp_path / "tables").exists()


def test_without_a_network_it_says_so(server: Server, python: Path, tmp_path: Path) -> None:
    out = tmp_path / "tables"
    refresh(server, python, out, cells=[CELL])
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable, match=r"Connection refused.* for 0 cells"):
        refresh_tables(out, url=f"http://127.0.0.1:{port}", python=python, force=True, **PATIENT)
    server.faults.append(Fault(SPECIMEN, "silent"))
    with pytest.raises(Unreachable, match=r"no answer within 1 s\).* 1 of the 111 cells"):
        refresh(server, python, out, force=True, **HASTY)
    assert allen.load(out).cells["C_m_pF"][0] == allen.load().cells["C_m_pF"][0]


def test_an_asker_that_dies_is_explained(server: Server, python: Path) -> None:
    with Database(python, server.url, **PATIENT) as database:
        os.kill(database._child.pid, signal.SIGKILL)
        with pytest.raises(StriateError, match="the program that asks through allensdk ended"):
            database.glif3(CELL)


# ---- the command -----------------------------------------------------------------------------


def command(server: Server, python: Path, *words: str) -> list[str]:
    code = "from circuits.cli import main; main()"
    start = [sys.executable, "-c", code, "data", "refresh", "--url", server.url]
    return [*start, "--python", str(python), *words]


def run(line: list[str]) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(line, capture_output=True, text=True, check=False, env=environment)


def test_the_command_as_a_user_runs_it(server: Server, python: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "tables")
    server.cells[int(CELL)].config["C"] *= 1.5  # type: ignore[index]
    done = run(command(server, python, "--cells", f"{CELL},478107198", "--out", out))
    assert done.returncode == 0, done.stderr
    assert "2 cells of the tables: 1 changed in 1 parameters" in done.stdout
    assert "+50.00%" in done.stdout
    server.faults.append(Fault(DETAILS, "html"))
    broken = command(server, python, "--out", f"{out}2", "--attempts", "1", "--timeout-s", "5")
    for file in (tmp_path / "cache").rglob("cells.json"):
        file.unlink()
    done = run(broken)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("striate: the list of cells, asked of http://127.0.0.1")
    assert "Traceback" not in done.stderr and not Path(f"{out}2").exists()


def test_the_example_runs(server: Server, python: Path, tmp_path: Path) -> None:
    example = ROOT / "examples" / "refresh_allen.py"
    words = ["--url", server.url, "--python", str(python), "--out", str(tmp_path / "tables")]
    done = run([sys.executable, str(example), *words])
    assert done.returncode == 0, done.stderr
    assert "900000001        no   e4Scnn1a     4" in done.stdout
    assert "model's over recorded rheobase: median 1.00" in done.stdout
    assert "3,000 neurons, " in done.stdout


def test_an_interruption_leaves_nothing_half_done(
    server: Server, python: Path, tmp_path: Path
) -> None:
    server.faults.append(Fault("[id$in488501071]", "silent"))  # the sixth cell
    started = threading.Event()
    server.requests = _Watched(started, "[id$in488501071]")
    line = command(server, python, "--out", str(tmp_path / "tables"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def listen() -> None:
        """Undo what a shell does that runs the tests in the background: it has SIGINT ignored."""
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with subprocess.Popen(
        line, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=listen
    ) as process:
        assert started.wait(30)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "interrupted" in said
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    server.faults.clear()
    assert refresh(server, python, tmp_path / "tables").answers.n_cached == 5


class _Watched(list):
    """A list that tells when something is put into it."""

    def __init__(self, event: threading.Event, text: str):
        super().__init__()
        self.event, self.text = event, text

    def append(self, item: str) -> None:
        super().append(item)
        if self.text in item:
            self.event.set()
