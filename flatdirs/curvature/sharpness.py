"""λmax of the Hessian of a loss, or of the Hessian as an optimizer with a preconditioner sees it, by Lanczos.

`sharpness` gives Hessian-vector products to ARPACK (scipy.sparse.linalg.eigsh), which finds the largest algebraic
eigenvalue; power iteration would find the largest in magnitude, which may be negative. The products run on the device
of the model in its dtype; ARPACK's few vectors are on the host. A warm start from the result at nearby weights uses a
smaller subspace; a tenth of it is noise, so that an eigenvector that another has overtaken is left.

With a diagonal preconditioner P the operator is S = P^(−1/2) (H + α) P^(−1/2), symmetric, with the eigenvalues of
P⁻¹(H + α). Its eigenvectors are in the coordinates P^(1/2)w, and `alignment` maps an update to them.
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
from flatdirs.setting_checks import require_number

TOLERANCE = {torch.float64: 1e-8}  # float32 and below: 1e-3
DENSE = 40  # with at most so many parameters the whole matrix is computed
SUBSPACE, WARM_SUBSPACE = 12, 6  # Lanczos vectors of ARPACK, chosen for the fewest products
FINE, MORE = 1e-4, 3  # below this tolerance three times as many
NOISE = 0.1  # random fraction of a warm start
Vector = np.ndarray[Any, Any]


class NotFoundError(CurvatureError):
    """The loss or its curvature is not finite, or no eigenvalue converged."""


@dataclass(frozen=True)
class Sharpness:
    """The largest eigenvalue, `value`, and its error.

    `vector` (parameters,) is the eigenvector, of length 1, on the device of the model; in the coordinates P^(1/2)w with
    a preconditioner. `residual` is ‖Sv − λv‖/|λ|: an eigenvalue is within residual · |λ| of `value`. It is above
    the `tolerance` setting if rounding or `max_products` did not allow more. `loss` is that of the batch.
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
    """The largest eigenvalue of the Hessian of `loss(model(inputs), targets)` over the trainable parameters.

    Model, buffers, gradients and random generators are unchanged afterwards.

    Args:
        model: on any device; in training or evaluation mode.
        loss: see `hessian_products`, also for `batch`, `piece_size` and `closure`.
        batch: (inputs, targets), or a mapping.
        preconditioner: parameter → the diagonal of P in its shape; None for P = 1.
        weight_decay: added to H, as coupled decay is: a number, or parameter → number.
        start: the result at nearby weights of the same model, for a warm start.
        tolerance: of the residual, relative to the eigenvalue; None for 1e-3, in float64 1e-8.
        max_products: about the most products; if they do not suffice, the tolerance is relaxed.
        piece_size: samples at a time, for batches too large for the memory.
        closure: (model, batch) → scalar, instead of `loss`.
        seed: of the cold start.

    Raises:
        CurvatureError: unusable arguments, a loss or curvature that is not finite, or no convergence.
    """
    with hessian_products(model, loss, batch, closure=closure, piece_size=piece_size) as products:
        tolerance = TOLERANCE.get(products.example.dtype, 1e-3) if tolerance is None else tolerance
        require_number("tolerance", tolerance, 0, 1, above=True, below=True, error=CurvatureError)
        operator = _Operator(products, preconditioner, weight_decay)
        begin = None if start is None else start.vector
        if begin is not None and begin.shape != (products.size,):
            raise CurvatureError(
                f"start has {len(begin)} values for {products.size} parameters; use that of the same model", key="start"
            )
        if products.size <= DENSE:
            value, vector = _dense(operator)
        else:
            value, vector = _lanczos(operator, begin, tolerance, max_products, seed)
        residual = float(np.linalg.norm(operator(vector) - value * vector))
        residual /= abs(value) if value else 1.0
        found = operator.on_device(vector)
        if begin is not None and float(found @ begin.to(found)) < 0:
            found = -found  # keep the sign of the earlier eigenvector
        return Sharpness(value, found, residual, tolerance, products.count, float(products.loss))


def alignment(
    update: Mapping[Tensor, Tensor], found: Sharpness, preconditioner: Mapping[Tensor, Tensor] | None = None
) -> float:
    """The cosine between an update (parameter → its change) and the top eigenvector, both in coordinates P^(1/2)w.

    Its sign is comparable only between results that were warm-started from each other. Parameters in the order of the
    model; nan if the update is zero.
    """
    moved = [u if preconditioner is None else u * preconditioner[p].sqrt() for p, u in update.items()]
    along = flat(moved).to(found.vector)
    length = float(along.norm())
    return float(along @ found.vector) / length if length > 0 else math.nan


class _Operator:
    """S for host vectors."""

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
            raise NotFoundError("the loss or its curvature is not finite; measure before the run diverges", key="model")
        return result

    def on_device(self, vector: Vector) -> Tensor:
        """A host vector on the device of the model, in its dtype."""
        return torch.from_numpy(np.array(vector, self.dtype).reshape(-1)).to(self.products.example)


def _flat_diagonal(products: HessianProducts, diagonal: Mapping[Tensor, Any]) -> Tensor:
    """A diagonal as one vector in the order of the parameters. Raises CurvatureError if it lacks a parameter."""
    example = products.example
    missing = [parameter for parameter in products.parameters if parameter not in diagonal]
    if missing:
        raise CurvatureError(
            f"{len(missing)} trainable parameters have no entry in preconditioner or weight_decay; give the optimizer "
            f"all parameters of the model, or freeze the others with requires_grad_(False)",
            key="preconditioner",
        )
    parts = [torch.as_tensor(diagonal[one]).to(example).expand(one.shape) for one in products.parameters]
    return flat(parts)


def _dense(operator: _Operator) -> tuple[float, Vector]:
    matrix = np.stack([operator(column) for column in np.eye(operator.size, dtype=operator.dtype)])
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return float(values[-1]), vectors[:, -1]


def _lanczos(
    operator: _Operator, begin: Tensor | None, tolerance: float, max_products: int, seed: int
) -> tuple[float, Vector]:
    """By ARPACK; without convergence again with a looser tolerance, as long as products are left."""
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
        restarts = max(1, (max_products - products.count) // (2 * subspace))  # half for looser tolerances
        try:
            values, vectors = eigsh(linear, 1, which="LA", v0=vector, ncv=subspace, maxiter=restarts, tol=tolerance)
            return float(values[0]), vectors[:, 0]
        except ArpackNoConvergence:
            tolerance, subspace = math.sqrt(tolerance), SUBSPACE
        except ArpackError as error:
            if not operator(vector).any():
                return 0.0, vector / np.linalg.norm(vector)  # a loss without curvature
            raise NotFoundError(f"Lanczos failed ({error}); change seed", key="seed") from error
    raise NotFoundError(
        f"no eigenvalue within {products.count} products; raise max_products or tolerance", key="max_products"
    )
