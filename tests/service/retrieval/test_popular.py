import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.retrieval.query import Eligible, most_popular


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=30),
    st.sets(st.integers(0, 29)),
    st.integers(1, 40),
)
def test_it_is_the_head_of_the_order_of_what_is_eligible(counts, out, count) -> None:
    popularity_I = np.array(counts)
    order_I = np.argsort(-popularity_I, kind="stable").astype(np.int32)
    excluded = np.array([row for row in out if row < len(counts)], dtype=np.intp)
    found = most_popular(order_I, popularity_I, Eligible(len(counts), excluded), count)
    assert found.rows.tolist() == [row for row in order_I if row not in out][:count]
    assert np.allclose(found.scores, np.log1p(popularity_I[found.rows]))
