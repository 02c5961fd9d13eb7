"""λmax of a loss's Hessian, or of the Hessian as an optimizer with a preconditioner sees it, by Lanczos.

`sharpness` hands Hessian-vector products to ARPACK (scipy.sparse.linalg.eigsh), which looks for the largest algebraic
eigenvalue; power iteration would find the largest in magnitude, which may be negative. The products run on the model's
device in its dtype; ARPACK's few vectors live on the host. A warm start, from the result at weights nearby, uses a
smaller subspace; a tenth of it is noise, so that an eigenvector that has been overtaken is left.

With a diagonal preconditioner P the operator is S = P^(−1/2) (H + α) P^(−1/2), symmetric, with the eigenvalues of
P⁻¹(H + α). Its eigenvectors live in the coordinates P^(1/2)w, and `alignment` takes an update there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flatdirs.curvature.hessian_products import Closure, Diagonal, HessianProducts, flat, hessian_products
from flatdirs.errors import CurvatureError

TOLERANCE = {torch.float64: 1e-8}  # float32 and below: 1e-3
DENSE = 40  # so few parameters that as many products give the whole matrix
SUBSPACE, WARM_SUBSPACE = 12, 6  # Lanczos vectors that ARPACK keeps: fewest products on our own network in training
FINE, MORE = 1e-4, 3  # below this tolerance three times as many
NOISE = 0.1  # part of a warm start that is random
Vector = np.ndarray[Any, Any]


class NotFoundError(CurvatureError):
    """The loss or its curvature is not finite, or no eigenvalue converged."""


@dataclass(frozen=True)
class Sharpness:
    """The largest eigenvalue, and how well it is known.

    `vector` (parameters,) is its eigenvector, of length 1, on the model's device: in the coordinates P^(1/2)w where
    there is a preconditioner. `residual` is ‖Sv − λv‖/|λ|, from a product of its own: an eigenvalue lies within
    residual · |λ| of `value`, in practice much nearer. It is above `tolerance`, what was asked for, where rounding or
    `max_products` did not allow more. `loss` is the batch's, at the same weights.
    """

    value: float
    vector: Tensor = field(repr=False)
    residual: float
    tolerance: float
    products: int
    loss: float


def sharpness(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor] | None,
    batch: Any,
    *,
    preconditioner: Mapping[Tensor, Tensor] | None = None,
    weight_decay: Diagonal = 0.0,
    start: Sharpness | None = None,
    tolerance: float | None = None,
    max_products: int = 1000,
    piece_size: int | None = None,
    closure: Closure | None = None,
    seed: int = 0,
) -> Sharpness:
    """The largest eigenvalue of the Hessian of `loss(model(inputs), targets)` over the parameters that are trained.

    Leaves no trace in the model, its buffers and gradients, and in the random generators.

    Args:
        model: on any device; in the mode, training or evaluation, whose loss is meant.
        loss: see `hessian_products`, as for `batch`, `piece_size` and `closure`.
        batch: (inputs, targets), or a mapping.
        preconditioner: parameter → the diagonal of P in its shape, such as `preconditioner(optimizer)`; None for P = 1.
        weight_decay: coupled decay α, which adds α to H: a number, or parameter → number.
        start: the result at weights nearby, of the same model; its eigenvector is the warm start.
        tolerance: of the residual, relative to the eigenvalue; None for 1e-3, in float64 1e-8.
        max_products: about the most that are made; where they do not suffice, a looser tolerance must do.
        piece_size: samples at a time, where a batch is too large for the memory.
        closure: (model, batch) → scalar, instead of `loss`.
        seed: of the cold start.

    Raises:
        CurvatureError: no such products, a loss or curvature that is not finite, or no convergence at all.
    """
    with hessian_products(model, loss, batch, closure=closure, piece_size=piece_size) as products:
        tolerance = TOLERANCE.get(products.example.dtype, 1e-3) if tolerance is None else tolerance
        if not 0 < tolerance < 1:
            raise CurvatureError(f"tolerance={tolerance} must lie between 0 and 1; change tolerance")
        operator = _Operator(products, preconditioner, weight_decay)
        begin = None if start is None else start.vector
        if begin is not None and begin.shape != (products.size,):
            raise CurvatureError(f"start has {len(begin)} values for {products.size} parameters; leave start out")
        if products.size <= DENSE:
            value, vector = _dense(operator)
        else:
            value, vector = _lanczos(operator, begin, tolerance, max_products, seed)
        residual = float(np.linalg.norm(operator(vector) - value * vector))
        residual /= abs(value) if value else 1.0
        found = operator.on_device(vector)
        if begin is not None and float(found @ begin.to(found)) < 0:
            found = -found  # the sign of an eigenvector means nothing but beside an earlier one
        return Sharpness(value, found, residual, tolerance, products.count, float(products.loss))


def alignment(
    update: Mapping[Tensor, Tensor], found: Sharpness, preconditioner: Mapping[Tensor, Tensor] | None = None
) -> float:
    """The cosine between an update (parameter → its change) and the top eigenvector, both in coordinates P^(1/2)w.

    Between −1 and 1; its sign tells only which way along the eigenvector, beside results that were warm-started from
    each other. Parameters in the model's order. Not a number where the update is zero.
    """
    moved = [u if preconditioner is None else u * preconditioner[p].sqrt() for p, u in update.items()]
    along = flat(moved).to(found.vector)
    length = float(along.norm())
    return float(along @ found.vector) / length if length > 0 else math.nan


class _Operator:
    """S on host vectors."""

    def __init__(self, products: HessianProducts, preconditioner: Mapping[Tensor, Tensor] | None, decay: Diagonal):
        self.products, self.size = products, products.size
        self.dtype: Any = np.float64 if products.example.dtype == torch.float64 else np.float32
        self._scale = None if preconditioner is None else _flat_diagonal(products, preconditioner).rsqrt()
        self._decay = _flat_diagonal(products, decay) if isinstance(decay, Mapping) else decay

    def __call__(self, vector: Vector) -> Vector:
        """Sv, (size,) → (size,)."""
        along = self.on_device(vector)
        along = along if self._scale is None else along * self._scale
        product = self.products(along) + self._decay * along
        product = product if self._scale is None else product * self._scale
        result: Vector = product.cpu().to(torch.promote_types(product.dtype, torch.float32)).numpy()
        if not np.isfinite(result).all():
            raise NotFoundError("the loss or its curvature is not finite; measure where the run has not diverged")
        return result

    def on_device(self, vector: Vector) -> Tensor:
        """A host vector where the model is, in its dtype."""
        return torch.from_numpy(np.array(vector, self.dtype).reshape(-1)).to(self.products.example)


def _flat_diagonal(products: HessianProducts, diagonal: Mapping[Tensor, Any]) -> Tensor:
    """A diagonal as one vector in the order of the products. Raises CurvatureError for a parameter without one."""
    example = products.example
    missing = [parameter for parameter in products.parameters if parameter not in diagonal]
    if missing:
        raise CurvatureError(
            f"{len(missing)} trained parameters have no entry in the preconditioner or weight decay; give the "
            f"optimizer all of the model's parameters, or freeze the others with requires_grad_(False)"
        )
    parts = [torch.as_tensor(diagonal[one]).to(example).expand(one.shape) for one in products.parameters]
    return flat(parts)


def _dense(operator: _Operator) -> tuple[float, Vector]:
    """From the whole matrix, a product a column."""
    matrix = np.stack([operator(column) for column in np.eye(operator.size, dtype=operator.dtype)])
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return float(values[-1]), vectors[:, -1]


def _lanczos(
    operator: _Operator, begin: Tensor | None, tolerance: float, max_products: int, seed: int
) -> tuple[float, Vector]:
    """By ARPACK; where it does not converge, again with a looser tolerance, while there are products left."""
    from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh

    vector = np.random.default_rng(seed).standard_normal(operator.size)
    subspace = SUBSPACE * (MORE if tolerance < FINE else 1)
    if begin is not None:
        subspace = subspace * WARM_SUBSPACE // SUBSPACE
        vector = begin.cpu().double().numpy() + NOISE * vector / np.linalg.norm(vector)
    vector = vector.astype(operator.dtype)
    linear = LinearOperator((operator.size, operator.size), matvec=operator, dtype=operator.dtype)
    products = operator.products
    while products.count < max_products:
        restarts = max(1, (max_products - products.count) // (2 * subspace))  # half is for looser tolerances
        try:
            values, vectors = eigsh(linear, 1, which="LA", v0=vector, ncv=subspace, maxiter=restarts, tol=tolerance)
            return float(values[0]), vectors[:, 0]
        except ArpackNoConvergence:
            tolerance, subspace = math.sqrt(tolerance), SUBSPACE
        except ArpackError as error:
            if not operator(vector).any():
                return 0.0, vector / np.linalg.norm(vector)  # a loss without curvature
            raise NotFoundError(f"Lanczos broke down ({error}); try another seed") from error
    raise NotFoundError(f"no eigenvalue within {products.count} products; raise max_products or tolerance")
