"""Unit rows and their cosines in every channel.

Letters: B users, C candidates, V views, M modalities, G = V * M similarity channels, D dimension.
"""

from torch import Tensor


def unit_rows(x: Tensor) -> Tensor:
    """L2-normalise the last axis; a zero row stays zero.

    One reciprocal per row, because `functional.normalize` divides every entry: 1.3 times as long
    (docs/adr/0020).
    """
    rows: Tensor = x * x.norm(dim=-1, keepdim=True).clamp_min(1e-12).reciprocal()
    return rows


def shared_similarity(user_BVMD: Tensor, item_CVMD: Tensor) -> Tensor:
    """Cosines of all users with all candidates, both unit rows, in every channel [G, B, C]."""
    user_GBD = user_BVMD.flatten(1, 2).transpose(0, 1)
    item_GDC = item_CVMD.flatten(1, 2).permute(1, 2, 0)
    return user_GBD @ item_GDC


def own_similarity(user_BVMD: Tensor, item_BCVMD: Tensor) -> Tensor:
    """Cosines of every user with their own candidates, unit rows, in every channel [G, B, C]."""
    item_GBCD = item_BCVMD.flatten(2, 3).movedim(2, 0)
    user_GBD1 = unit_rows(user_BVMD).flatten(1, 2).transpose(0, 1).unsqueeze(-1)
    return (item_GBCD @ user_GBD1).squeeze(-1)
