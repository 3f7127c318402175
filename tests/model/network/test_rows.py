import torch
from torch.nn import functional

from model.network.rows import unit_rows


def test_unit_rows_are_normalised_and_a_zero_row_stays_zero() -> None:
    row_XD = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    row_XD[2] = 0
    assert torch.allclose(unit_rows(row_XD), functional.normalize(row_XD, dim=-1))
    assert torch.autograd.gradcheck(unit_rows, row_XD[[0, 1, 3]].requires_grad_())
    zero_XD = torch.zeros(1, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(unit_rows(zero_XD).sum(), zero_XD)
    assert torch.isfinite(gradient).all()
