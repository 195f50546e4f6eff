"""Which entries of a sparse matrix exist, by rows and by columns."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from toolkit.errors import InputError


class Connections(torch.nn.Module):
    """The pattern of a sparse matrix J; its values are kept elsewhere, in the order of `pairs`.

    Rows are synaptic currents, slot x neuron (all neurons of slot 0, then of slot 1, ...); columns
    are presynaptic rates, those of the neurons first, then those of the input channels. Two
    synapses of one pair are two entries.

    Parameters
    ----------
    row, col : of every entry, ascending by row
    n_neurons, n_slots, n_channels : numbers that make up the shape

    Raises
    ------
    InputError : entries out of range or out of order

    Memory: 16 bytes an entry.

    >>> two = Connections([0, 1], [1, 2], n_neurons=2, n_slots=1, n_channels=1)
    >>> two.matrix(torch.tensor([3.0, 4.0])).to_dense()
    tensor([[0., 3., 0.],
            [0., 0., 4.]])
    """

    crow: torch.Tensor
    col: torch.Tensor
    crow_back: torch.Tensor
    col_back: torch.Tensor
    back: torch.Tensor

    def __init__(
        self,
        row: np.ndarray | list[int],
        col: np.ndarray | list[int],
        *,
        n_neurons: int,
        n_slots: int,
        n_channels: int,
    ):
        super().__init__()
        row, col = np.asarray(row, dtype=np.int64), np.asarray(col, dtype=np.int64)
        self.n, self.n_slots, self.n_channels = n_neurons, n_slots, n_channels
        n_rows, n_cols = self.shape
        for name, index, limit in (("row", row, n_rows), ("column", col, n_cols)):
            if len(index) and not (0 <= index.min() and index.max() < limit):
                raise InputError(f"an entry's {name} is outside 0 to {limit - 1}")
        if len(row) != len(col) or (np.diff(row) < 0).any():
            raise InputError("entries need a row and a column each, in ascending order of rows")
        back = np.argsort(col, kind="stable")
        kept = {
            "crow": _starts(row, n_rows),
            "col": col,
            "crow_back": _starts(col, n_cols),
            "col_back": row[back],
            "back": back,
        }
        for name, index in kept.items():
            self.register_buffer(name, torch.from_numpy(index.astype(np.int32)), persistent=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.n_slots * self.n, self.n + self.n_channels

    def __len__(self) -> int:
        return len(self.col)

    @property
    def row(self) -> torch.Tensor:
        """Row of every entry, int32."""
        each = torch.arange(self.shape[0], dtype=torch.int32, device=self.col.device)
        return each.repeat_interleave((self.crow[1:] - self.crow[:-1]).long())

    def matrix(self, values: torch.Tensor) -> torch.Tensor:
        """J, torch CSR."""
        return csr(self.crow, self.col, values, self.shape)

    def to_neurons(self, values: torch.Tensor) -> torch.Tensor:
        """The transpose of J's columns of neurons, torch CSR (neuron, slot x neuron)."""
        end = int(self.crow_back[self.n])
        values = values[self.back[:end].long()]
        shape = (self.n, self.shape[0])
        return csr(self.crow_back[: self.n + 1], self.col_back[:end], values, shape)

    def to_channels(self, values: torch.Tensor) -> torch.Tensor:
        """The transpose of J's columns of channels, torch CSR (channel, slot x neuron)."""
        end = int(self.crow_back[self.n])
        crow = self.crow_back[self.n :] - end
        values = values[self.back[end:].long()]
        return csr(crow, self.col_back[end:], values, (self.n_channels, self.shape[0]))


def csr(
    crow: torch.Tensor, col: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]
) -> torch.Tensor:
    """A torch CSR matrix, unchecked and without the warning that CSR is new."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(crow, col, values, size=shape, check_invariants=False)


def _starts(index: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(index, minlength=n))])
