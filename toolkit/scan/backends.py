"""Ways to multiply with a sparse matrix, and to contract the gradient on its pattern."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch

from toolkit.errors import InputError, unknown
from toolkit.scan.connections import Connections

PRODUCTS = ("csr", "dense", "dense_bf16", "native")
GRADIENTS = ("sampled", "dense", "dense_bf16", "native")

_BLOCKS: WeakKeyDictionary[Connections, list[SlotBlock]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Backend:
    """How a scan multiplies.

    On a GPU, dense products of 32-bit numbers use TF32 where
    ``torch.set_float32_matmul_precision("high")`` says so.

    Attributes
    ----------
    product : of J, and of its transpose, with the state: ``"csr"`` (MKL or cuSPARSE), ``"dense"``,
        or ``"dense_bf16"``, which rounds both factors to bfloat16; ``"native"``: the compiled scan,
        which does everything, the gradient too (`toolkit.scan.native`; needs a C++ compiler)
    gradient : ``"sampled"``, inner products for the entries alone (`torch.sparse.sampled_addmm`);
        ``"dense"``, one product for all pairs of which the entries are kept; ``"dense_bf16"``
    block : columns (steps x items) contracted at a time. Whole scans at once would need another
        array of all adjoints, and inner products so long that no cache holds their factors

    Raises
    ------
    InputError : an unknown name
    """

    product: str = "csr"
    gradient: str = "sampled"
    block: int = 256

    def __post_init__(self) -> None:
        if self.product not in PRODUCTS:
            raise unknown("product", self.product, PRODUCTS)
        if self.gradient not in GRADIENTS:
            raise unknown("gradient", self.gradient, GRADIENTS)
        if (self.product == "native") != (self.gradient == "native"):
            raise InputError("product and gradient are native both or neither")


class Products:
    """The products of J and its transpose with states (row, item)."""

    def __init__(self, connections: Connections, values: torch.Tensor, product: str):
        self.connections, self.values, self.product = connections, values, product
        if product == "csr":
            self._forward = connections.matrix(values)
            self._back = connections.to_neurons(values)
            return
        dtype = torch.bfloat16 if product == "dense_bf16" else values.dtype
        self._blocks = slot_blocks(connections)
        self._dense = [block.filled(values, dtype) for block in self._blocks]

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """J z."""
        if self.product == "csr":
            return self._forward @ z
        parts = [
            (dense @ z[block.cols].to(dense.dtype)).to(z.dtype)
            for block, dense in zip(self._blocks, self._dense, strict=True)
        ]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def back(self, adjoint: torch.Tensor) -> torch.Tensor:
        """The transpose of J's columns of neurons, times adjoints of its rows."""
        if self.product == "csr":
            return self._back @ adjoint
        n = self.connections.n
        out = adjoint.new_zeros((self.connections.shape[1], adjoint.shape[1]))
        for block, dense in zip(self._blocks, self._dense, strict=True):
            part = dense.T @ adjoint[block.rows].to(dense.dtype)
            out.index_add_(0, block.cols, part.to(adjoint.dtype))
        return out[:n]

    def back_to_channels(self, adjoint: torch.Tensor) -> torch.Tensor:
        """The transpose of J's columns of channels, times adjoints of its rows."""
        return self.connections.to_channels(self.values) @ adjoint


@dataclass(frozen=True)
class SlotBlock:
    """The part of J for one slot, without the columns that never reach it.

    With Dale's law a slot is reached by neurons of one sign, so that together these blocks are
    hardly larger than neurons x (neurons + channels), however many slots there are.
    """

    rows: slice
    cols: torch.Tensor
    entries: slice
    place: torch.Tensor = field(repr=False)  # of the entries in the flattened block

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, len(self.cols)

    def filled(self, values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The block as a dense matrix."""
        flat = values.new_zeros(self.shape[0] * self.shape[1])
        flat.index_add_(0, self.place, values[self.entries])
        return flat.view(self.shape).to(dtype)


def slot_blocks(connections: Connections) -> list[SlotBlock]:
    """The blocks of all slots, made once and kept with the connections."""
    known = _BLOCKS.get(connections)
    if known is not None and known[0].cols.device == connections.col.device:
        return known
    row, n, blocks = connections.row.long(), connections.n, []
    for slot in range(connections.n_slots):
        first, last = (int(connections.crow[k * n]) for k in (slot, slot + 1))
        cols, within = connections.col[first:last].long().unique(return_inverse=True)
        place = (row[first:last] - slot * n) * len(cols) + within
        rows, entries = slice(slot * n, (slot + 1) * n), slice(first, last)
        blocks.append(SlotBlock(rows, cols, entries, place))
    _BLOCKS[connections] = blocks
    return blocks


def dense_entries(connections: Connections) -> int:
    """Numbers in all dense blocks."""
    n, total = connections.n, 0
    for slot in range(connections.n_slots):
        first, last = (int(connections.crow[k * n]) for k in (slot, slot + 1))
        total += n * len(connections.col[first:last].unique())
    return total


class Contraction:
    """Sums adjoint_i z_j over blocks of columns, for the entries (i, j) of a pattern."""

    def __init__(self, connections: Connections, like: torch.Tensor, gradient: str):
        self.connections, self.gradient = connections, gradient
        if gradient == "sampled":
            self.total = torch.zeros_like(like)
            self._pattern = connections.matrix(torch.zeros_like(like))
            return
        self._blocks = slot_blocks(connections)
        self._sums = [like.new_zeros(block.shape) for block in self._blocks]

    def add(self, adjoints: torch.Tensor, z: torch.Tensor) -> None:
        """Add the products of (row, column) adjoints and (presynaptic, column) rates."""
        if self.gradient == "sampled":
            done = torch.sparse.sampled_addmm(self._pattern, adjoints, z.T, beta=0.0)
            self.total += done.values()
            return
        for block, total in zip(self._blocks, self._sums, strict=True):
            left, right = adjoints[block.rows], z[block.cols].T
            if self.gradient == "dense":
                total.addmm_(left, right)
            else:
                total += left.bfloat16() @ right.bfloat16()

    def result(self) -> torch.Tensor:
        """The sums, in the order of the entries."""
        if self.gradient == "sampled":
            return self.total
        parts = [
            total.view(-1)[block.place]
            for block, total in zip(self._blocks, self._sums, strict=True)
        ]
        return torch.cat(parts)
