"""A local server that answers as the API of the Allen Cell Types Database does.

It knows the requests that allensdk 2.16.2 makes (seen by letting it ask), and answers in the form
that the API documents: the RMA envelope, well-known files by their download links, the columns of
ApiCellTypesSpecimenDetail, EphysFeature, Specimen and NeuronalModel that are used or stand beside
them. The numbers are those of the project's own tables, turned back into SI units and into
measured values and factors; lines, layers and features follow from the populations.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import numpy as np

from circuits import allen
from circuits.allen.schema import GLIF3

LIF, LIF_ASC = 395310469, 395310475
COEFFS: dict[str, Any] = {
    "a": 1,
    "b": 1,
    "C": 0.95,
    "G": 1.05,
    "th_inf": 0.875,
    "asc_amp_array": [1.25, 0.8],
}
DT_S = 5e-5
LINES = {
    "e23Cux2": "Cux2-CreERT2",
    "e4Nr5a1": "Nr5a1-Cre",
    "e4Rorb": "Rorb-IRES2-Cre-D",
    "e4Scnn1a": "Scnn1a-Tg3-Cre",
    "e4other": "Cux2-CreERT2",
    "e5Rbp4": "Rbp4-Cre_KL100",
    "e5noRbp4": "Scnn1a-Tg2-Cre",
    "e6Ntsr1": "Ntsr1-Cre_GN220",
    "Pvalb": "Pvalb-IRES-Cre",
    "Sst": "Sst-IRES-Cre",
    "Htr3a": "Htr3a-Cre_NO152",
}


def neuron_config(cell: dict[str, float]) -> dict[str, Any]:
    """The ``neuron_config.json`` of a GLIF3 model whose parameters are the given ones."""
    reference = 1e-3 * cell["V_reset_mV"]
    th_inf = (1e-3 * cell["V_th_mV"] - reference) / COEFFS["th_inf"]
    amps = [1e-12 * cell[f"asc_amp_{k}_pA"] / COEFFS["asc_amp_array"][k - 1] for k in (1, 2)]
    return {
        "type": "GLIF",
        "El": 1e-3 * cell["E_L_mV"] - reference,
        "El_reference": reference,
        "C": 1e-12 * cell["C_m_pF"] / COEFFS["C"],
        "R_input": 1e9 * COEFFS["G"] / cell["g_nS"],
        "th_inf": th_inf,
        "th_adapt": None,
        "spike_cut_length": round(1e-3 * cell["t_ref_ms"] / DT_S),
        "dt": DT_S,
        "dt_multiplier": 10,
        "asc_tau_array": [1e-3 / cell[f"asc_decay_{k}_per_ms"] for k in (1, 2)],
        "asc_amp_array": amps,
        "coeffs": json.loads(json.dumps(COEFFS)),
        "init_voltage": 0.0,
        "init_threshold": th_inf,
        "init_AScurrents": [0.0, 0.0],
        "extrapolation_method_name": "endpoints",
        "voltage_dynamics_method": {"name": "linear_forward_euler", "params": {}},
        "voltage_reset_method": {"name": "zero", "params": {}},
        "threshold_dynamics_method": {"name": "inf", "params": {}},
        "threshold_reset_method": {"name": "inf", "params": {}},
        "AScurrent_dynamics_method": {
            "name": "exp",
            "params": {},
        },
        "AScurrent_reset_method": {"name": "sum", "params": {"r": [1.0, 1.0]}},
    }


@dataclass
class Cell:
    """A specimen as the server knows it; without a configuration it has no GLIF3 model."""

    id: int
    line: str | None
    layer: str
    config: dict[str, Any] | None
    features: dict[str, float | None] = field(default_factory=dict)
    area: str = "VISp"
    reporter: str | None = "positive"
    species: str = "Mus musculus"

    @property
    def detail(self) -> dict[str, Any]:
        """A row of ApiCellTypesSpecimenDetail."""
        return {
            "cell_reporter_status": self.reporter,
            "csl__normalized_depth": 0.48,
            "csl__x": 8881.0,
            "csl__y": 953.8,
            "csl__z": 7768.2,
            "donor__disease_state": "",
            "donor__id": 485250097,
            "donor__name": f"{self.line}-{self.id}",
            "donor__species": self.species,
            "erwkf__id": self.id + 3,
            "line_name": self.line,
            "m__biophys": 0,
            "m__glif": 1 if self.config is None else 2,
            "nr__reconstruction_type": None,
            "specimen__hemisphere": "left",
            "specimen__id": self.id,
            "specimen__name": f"{self.line};Ai14-{self.id}",
            "structure__acronym": f"{self.area}{self.layer}",
            "structure__id": 593,
            "structure__layer": self.layer,
            "structure__name": f'"Primary visual area, layer {self.layer}"',
            "structure_parent__acronym": self.area,
            "structure_parent__id": 385,
            "tag__apical": "NA",
            "tag__dendrite_type": "aspiny",
        }

    @property
    def ephys_feature(self) -> dict[str, Any]:
        """A row of EphysFeature."""
        return {
            "adaptation": 0.02,
            "avg_isi": 60.0,
            "has_burst": False,
            "id": self.id + 4,
            "input_resistance_mohm": 200.0,
            "latency": 0.08,
            "sag": 0.05,
            "specimen_id": self.id,
            "upstroke_downstroke_ratio_long_square": 2.5,
            "vm_for_sag": -85.0,
            **self.features,
        }

    @property
    def models(self) -> list[dict[str, Any]]:
        """Rows of NeuronalModel: a LIF, and the GLIF3 if there is one."""
        kinds = [(self.id + 1, LIF, "1 Leaky Integrate and Fire (LIF)")]
        if self.config is not None:
            kinds.append((self.id + 2, LIF_ASC, "3 LIF + Afterspike Currents (LIF-ASC)"))
        return [
            {
                "id": model,
                "name": f"{name}_{self.id}",
                "neuron_reconstruction_id": None,
                "neuronal_model_template": {"description": None, "id": template, "name": name},
                "neuronal_model_template_id": template,
                "specimen_id": self.id,
                "well_known_files": [well_known_file(model)],
            }
            for model, template, name in kinds
        ]

    @property
    def specimen(self) -> dict[str, Any]:
        """A row of Specimen with its models included."""
        runs = [{"id": 10 * self.id, "well_known_files": []}]
        return {
            "donor_id": 485250097,
            "ephys_result_id": self.id + 5,
            "hemisphere": "left",
            "id": self.id,
            "is_cell_specimen": True,
            "name": f"{self.line};Ai14-{self.id}",
            "neuronal_models": [m | {"neuronal_model_runs": runs} for m in self.models],
            "structure_id": 593,
        }


def well_known_file(model: int) -> dict[str, Any]:
    """The file of a model, as its row of WellKnownFile."""
    return {
        "attachable_id": model,
        "attachable_type": "NeuronalModel",
        "content_type": "application/json",
        "download_link": f"/api/v2/well_known_file_download/{model}0",
        "id": 10 * model,
        "path": f"/external/mousecelltypes/prod/{model}/{model}_neuron_config.json",
        "published_at": "2017-06-01T00:00:00Z",
        "well_known_file_type_id": 329230374,
    }


def database() -> dict[int, Cell]:
    """The cells of the tables that have parameters, and some others.

    324025371 has a model here (the tables have none), 476451456 none; the other five that the
    tables have no parameters of are not there. 900000001 to 5 are not in the tables: two of L4
    Scnn1a (the second has no GLIF3 model), one of another area, a Vip cell, a human one.
    """
    tables = allen.load()
    layer = dict(zip(tables.classes["cell_class"], tables.classes["layer"], strict=True))
    cells = {}
    for row in tables.cells.rows:
        values = {name: column[row].item() for name, column in tables.cells.items()}
        if not np.isnan(values["C_m_pF"]):
            marker = values["population"].lstrip("i0123456789")
            line = LINES.get(values["population"], LINES.get(marker))
            where = layer[values["cell_class"]]
            number = int(values["cell"])
            cells[number] = Cell(
                number,
                line,
                "6a" if where == "6" else where,
                neuron_config(values),
                features(values),
            )
    some = {p.name: float(tables.cells[p.name][4]) for p in GLIF3}
    l4 = ("Scnn1a-Tg3-Cre", "4")
    for other in (
        Cell(324025371, "Rorb-IRES2-Cre-D", "4", neuron_config(some), features(some)),
        Cell(476451456, "Nr5a1-Cre", "4", None, features(some)),
        Cell(900000001, *l4, neuron_config(some), features(some) | {"f_i_curve_slope": None}),
        Cell(900000002, *l4, None, features(some)),
        Cell(900000003, *l4, neuron_config(some), features(some), area="VISl"),
        Cell(900000004, "Vip-IRES-Cre", "2/3", neuron_config(some), features(some)),
        Cell(
            900000005, None, "3", neuron_config(some), features(some), "MTG", None, "Homo Sapiens"
        ),
    ):
        cells[other.id] = other
    return cells


def features(cell: dict[str, float]) -> dict[str, float | None]:
    """Ephys features in the units of EphysFeature, of the model itself."""
    return {
        "vrest": cell["E_L_mV"],
        "tau": cell["C_m_pF"] / cell["g_nS"],
        "ri": 1e3 / cell["g_nS"],
        "threshold_i_long_square": cell["g_nS"] * (cell["V_th_mV"] - cell["E_L_mV"]),
        "f_i_curve_slope": 0.25,
    }


@dataclass
class Fault:
    """What goes wrong with requests whose address contains a text, and how many times."""

    where: str
    kind: str
    times: int = 1_000_000


class Server(ThreadingHTTPServer):
    """The server: `cells` may be changed, `faults` added to; `requests` is what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cells = database()
        self.faults: list[Fault] = []
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def rows(self, model: str, ids: set[int] | None) -> list[dict[str, Any]]:
        """The rows of a model query, what it includes with them."""
        cells = self.cells.values()
        if model == "ApiCellTypesSpecimenDetail":
            return [c.detail for c in cells if ids is None or c.id in ids]
        if model == "EphysFeature":
            return [c.ephys_feature for c in cells if c.features]
        if model == "Specimen":
            return [c.specimen for c in cells if ids is None or c.id in ids]
        if model == "NeuronalModel":
            models = [m for c in cells for m in c.models if ids is None or m["id"] in ids]
            kind = {"id": 329230374, "name": "NeuronalModelParameters"}
            for m in models:
                m["well_known_files"] = [well_known_file(m["id"]) | {"well_known_file_type": kind}]
            return models
        raise LookupError(f"Unknown model: {model}")

    def file(self, number: int) -> dict[str, Any]:
        """A well-known file: the configuration of a model."""
        for cell in self.cells.values():
            if number == 10 * (cell.id + 2) and cell.config is not None:
                return cell.config
            if number == 10 * (cell.id + 1):
                return {"type": "GLIF", "coeffs": {"C": 1}}  # of the LIF: not to be used
        raise LookupError(f"Unknown file: {number}")


QUERY = re.compile(
    r"model::(?P<model>\w+)(,rma::criteria,(?P<criteria>.+?))?(,rma::include,(?P<include>.+?))?"
    r"(,rma::options(?P<options>\[.+\]))?"
)


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(unquote(self.path))
        for fault in self.server.faults:
            if fault.where in unquote(self.path) and fault.times:
                fault.times -= 1
                if self.broken(fault.kind):
                    return
        try:
            self.send(*self.answer(unquote(self.path)))
        except LookupError as error:
            self.send(404, {"error": str(error)})

    def answer(self, path: str) -> tuple[int, Any]:
        file = re.fullmatch(r"/api/v2/well_known_file_download/(\d+)", path)
        if file:
            return 200, self.server.file(int(file[1]))
        query = re.fullmatch(r"/api/v2/data/query\.json\?q=(.+)", path)
        parsed = query and QUERY.fullmatch(query[1])
        if not parsed:
            raise LookupError(path)
        ids = re.match(r"\[\w+\$(?:in|eq)([\d,]+)\]", parsed["criteria"] or "")
        wanted = {int(text) for text in ids[1].split(",")} if ids else None
        try:
            rows = self.server.rows(parsed["model"], wanted)
        except LookupError as error:
            return 200, self.envelope(str(error), success=False)
        return 200, self.envelope(rows)

    @staticmethod
    def envelope(msg: Any, success: bool = True) -> dict[str, Any]:
        n = len(msg) if isinstance(msg, list) else 0
        return {
            "success": success, "id": 0, "start_row": 0, "num_rows": n, "total_rows": n, "msg": msg,
        }  # fmt: skip

    def send(self, status: int, value: Any) -> None:
        self.send_bytes(status, json.dumps(value).encode())

    def send_bytes(
        self, status: int, body: bytes, kind: str = "application/json", missing: int = 0
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.wfile.write(body)

    def broken(self, kind: str) -> bool:
        """Answer badly; False if the answer is only late."""
        if kind.isdigit():
            self.send(int(kind), {"error": "Internal Server Error"})
        elif kind == "html":
            self.send_bytes(200, b"<!DOCTYPE html><title>Maintenance</title>", "text/html")
        elif kind == "truncated":  # by something on the way that adapts the length
            self.send_bytes(200, b'{"success": true, "id": 0, "msg": [{"id": 47')
        elif kind == "cut":  # the connection goes away
            self.send_bytes(200, b'{"success": true, "id": 0, "msg": [{"id": 47', missing=1000)
        elif kind == "drip":  # alive, but never done
            self.send_bytes(200, b"[", missing=1000)
            with contextlib.suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.05)
        elif kind == "silent":
            time.sleep(2.5)
            return False
        elif kind == "failed":
            self.send(200, self.envelope("Query failed: RMA::Parser error", success=False))
        elif kind == "bare":
            self.send(200, [1, 2, 3])
        elif kind == "no msg":
            self.send(200, {"success": True, "id": 0})
        else:
            raise ValueError(kind)
        return True

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # of an asker that gave up
            super().handle()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server that runs."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
