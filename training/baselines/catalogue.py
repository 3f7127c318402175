"""The baselines by name: how reports call them and among which settings validation chooses.

Knows settings only. Where a grid cannot be finished in time its later settings are left untried,
so the first is the one to trust on a data set that nothing is known of.
"""

from dataclasses import dataclass
from itertools import product

from training.baselines.ease import EASE, RecencyEASE
from training.baselines.freedom import Freedom
from training.baselines.item_knn import ItemKNN
from training.baselines.lightgcn import LightGCN
from training.baselines.popularity import Popularity
from training.baselines.random_walk import P3Alpha, RP3Beta
from training.baselines.vbpr import VBPR

ClosedForm = Popularity | ItemKNN | P3Alpha | RP3Beta | EASE | RecencyEASE
Trained = LightGCN | VBPR | Freedom
Baseline = ClosedForm | Trained


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One kind of baseline."""

    label: str
    grid: tuple[Baseline, ...]
    uses_content: bool = False


CATALOGUE = {
    "popularity": Entry(label="popularity", grid=(Popularity(),)),
    "item_knn": Entry(
        label="ItemKNN",
        grid=tuple(
            ItemKNN(neighbours=n, shrinkage=s, user_damping=d)
            for d, s, n in product((0.5, 0.0), (10.0, 0.0, 100.0), (50, 200, 20, 10, 5))
        ),
    ),
    "p3alpha": Entry(
        label="P3alpha",
        grid=tuple(
            P3Alpha(alpha=a, neighbours=n)
            for n, a in product((400, 100), (0.8, 1.0, 0.6, 1.2, 0.4))
        ),
    ),
    "rp3beta": Entry(
        label="RP3beta",
        grid=tuple(
            RP3Beta(alpha=a, beta=b, neighbours=n)
            for n, b, a in product((100, 400), (0.4, 0.6, 0.2, 0.7, 0.8), (0.6, 0.8, 0.4, 1.0, 0.2))
        ),
    ),
    "ease": Entry(
        label="EASE",
        grid=tuple(
            EASE(penalty=p, user_damping=d)
            for p, d in product((100.0, 200.0, 30.0, 500.0, 10.0), (0.0, 0.5))
        ),
    ),
    "ease_recency": Entry(
        label="EASE, recency-weighted histories",
        grid=tuple(
            RecencyEASE(ease=EASE(penalty=p, user_damping=d), power=a)
            for p, d, a in product((200.0, 500.0), (0.0, 0.5), (0.5, 0.75, 0.25))
        ),
    ),
    "lightgcn_bpr": Entry(
        label="LightGCN, BPR",
        grid=tuple(
            LightGCN(loss="bpr", num_layers=layers, l2=l2)
            for layers, l2 in product((2, 3), (1e-3, 1e-2))
        ),
    ),
    "lightgcn_ssm": Entry(
        label="LightGCN, sampled softmax",
        grid=tuple(
            LightGCN(loss="sampled-softmax", num_layers=layers, temperature=temperature)
            for layers, temperature in product((2, 3), (0.15, 0.2, 0.1))
        ),
    ),
    "vbpr": Entry(
        label="VBPR",
        grid=tuple(VBPR(l2=l2) for l2 in (1e-1, 1e-2, 1.0)),
        uses_content=True,
    ),
    "freedom": Entry(
        label="FREEDOM",
        grid=tuple(
            Freedom(dropped=dropped, l2=l2)
            for l2, dropped in product((1e-3, 1e-2), (0.5, 0.8, 0.2))
        ),
        uses_content=True,
    ),
}
