from pathlib import Path

import numpy as np
import pytest

from training.data.features import (
    WIDEST_FEATURES,
    ModalityFeatures,
    Standardisation,
    features_of_tokens,
    read_content,
    read_feature_file,
)
from training.data.items import read_items
from training.data.tables import DataError


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_are_aligned_and_missing_ones_flagged(tmp_path: Path, dtype: type):
    path = tmp_path / "visual_feat.npy"
    np.save(path, np.array([[1, 2], [np.nan, np.nan], [0, 0], [5, 6]], dtype=dtype))
    features = read_feature_file(path, np.array([3, -1, 1, 0, 2]), num_rows=4)
    assert features.x_IF.tolist() == [[5, 6], [0, 0], [0, 0], [1, 2], [0, 0]]
    assert features.present_I.tolist() == [True, False, False, True, False]
    assert features.x_IF.dtype == np.float32


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_number_that_float32_cannot_hold_is_named_by_row(tmp_path: Path, value: float):
    path = tmp_path / "visual_feat.npy"
    np.save(path, np.array([[1.0, 2.0], [3.0, value]]))
    with pytest.raises(DataError, match=r"visual_feat\.npy: row 1 \(counted from 0\) holds NaN"):
        read_feature_file(path, np.array([0, 1]), num_rows=2)


def test_another_number_of_rows_is_refused(tmp_path: Path):
    path = tmp_path / "visual_feat.npy"
    np.save(path, np.ones((3, 2)))
    with pytest.raises(DataError, match=r"visual_feat\.npy: has 3 rows, expected 2"):
        read_feature_file(path, np.array([0, 1]), num_rows=2)


@pytest.mark.parametrize(
    "array", [np.ones(3), np.ones((2, 2), dtype=int), np.ones((2, 0)), np.array([["a"]])]
)
def test_an_array_of_another_kind_is_refused(tmp_path: Path, array: np.ndarray):
    path = tmp_path / "visual_feat.npy"
    np.save(path, array)
    with pytest.raises(DataError, match="expected float16, float32 or float64"):
        read_feature_file(path, np.array([0, 1]), num_rows=2)


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "visual_feat.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is not a readable \.npy array"):
        read_feature_file(path, np.array([0]), num_rows=1)


def test_items_that_share_tokens_come_out_alike():
    features = features_of_tokens([["war", "epic"], ["war", "epic"], ["love"], ["love"], ["x"]], 0)
    assert features is not None
    assert features.present_I.tolist() == [True, True, True, True, False]
    np.testing.assert_allclose(features.x_IF[0], features.x_IF[1], atol=1e-6)
    assert abs(float(features.x_IF[0] @ features.x_IF[2])) < 1e-6
    assert not features.x_IF[4].any()


def test_tokens_that_nothing_shares_make_no_modality():
    assert features_of_tokens([["a"], ["b"], []], 0) is None


def test_derived_features_are_deterministic_and_at_most_128_wide():
    rng = np.random.default_rng(0)
    tokens = [[f"t{t}" for t in rng.integers(0, 400, 30)] for _ in range(300)]
    first, again = features_of_tokens(tokens, 7), features_of_tokens(tokens, 7)
    assert first is not None
    assert again is not None
    assert first.x_IF.shape == (300, 128)
    np.testing.assert_array_equal(first.x_IF, again.x_IF)


def test_rows_follow_the_lines_of_the_item_table(tmp_path: Path):
    (tmp_path / "items.tsv").write_text("item\tname\nz\tZ\na\tA\n")
    np.save(tmp_path / "audio_feat.npy", np.array([[1.0], [2.0]]))
    found = read_content(tmp_path, ["a", "m", "z"], read_items(tmp_path), None, seed=0)
    assert list(found) == ["audio"]
    assert found["audio"].x_IF.tolist() == [[2], [0], [1]]
    assert found["audio"].present_I.tolist() == [True, False, True]


def test_without_an_item_table_the_id_is_the_row(tmp_path: Path):
    np.save(tmp_path / "audio_feat.npy", np.array([[1.0], [2.0], [3.0]]))
    found = read_content(tmp_path, ["0", "2"], None, None, seed=0)
    assert found["audio"].x_IF.tolist() == [[1], [3]]


def test_without_an_item_table_ids_must_be_row_numbers(tmp_path: Path):
    np.save(tmp_path / "audio_feat.npy", np.ones((3, 1)))
    with pytest.raises(DataError, match=r"'b' is not a row number; add items\.tsv"):
        read_content(tmp_path, ["0", "b"], None, None, seed=0)


def test_a_text_file_takes_precedence_over_titles(tmp_path: Path):
    (tmp_path / "items.tsv").write_text("item\ttitle\na\tsame word\nb\tsame word\n")
    derived = read_content(tmp_path, ["a", "b"], read_items(tmp_path), None, seed=0)
    assert derived["text"].present_I.all()
    np.save(tmp_path / "text_feat.npy", np.array([[4.0], [5.0]]))
    given = read_content(tmp_path, ["a", "b"], read_items(tmp_path), None, seed=0)
    assert given["text"].x_IF.tolist() == [[4], [5]]


def test_only_wanted_modalities_are_read(tmp_path: Path):
    np.save(tmp_path / "good_feat.npy", np.ones((1, 1)))
    np.save(tmp_path / "bad_feat.npy", np.ones((9, 1)))
    assert list(read_content(tmp_path, ["0"], None, ["behaviour", "good"], seed=0)) == ["good"]


def test_the_built_in_modality_takes_no_file(tmp_path: Path):
    np.save(tmp_path / "behaviour_feat.npy", np.ones((1, 1)))
    with pytest.raises(DataError, match="bears the name of the built-in modality"):
        read_content(tmp_path, ["0"], None, None, seed=0)


def write_graph(folder: Path) -> None:
    (folder / "x.link").write_text("item_id:token\tentity_id:token\na\tm.1\nb\tm.2\nc\tm.3\n")
    (folder / "x.kg").write_text(
        "head_id:token\trelation_id:token\ttail_id:token\n"
        "m.1\tdirector\tm.9\nm.2\tdirector\tm.9\nm.8\tacts_in\tm.3\nm.3\tdirector\tm.7\n"
    )


def test_knowledge_relates_items_through_shared_facts(tmp_path: Path):
    write_graph(tmp_path)
    found = read_content(tmp_path, ["a", "b", "c", "d"], None, None, seed=0)
    assert found["knowledge"].present_I.tolist() == [True, True, False, False]
    np.testing.assert_allclose(found["knowledge"].x_IF[0], found["knowledge"].x_IF[1], atol=1e-6)


def test_facts_count_in_both_directions(tmp_path: Path):
    write_graph(tmp_path)
    (tmp_path / "x.kg").write_text("head\trelation\ttail\nm.8\tacts_in\tm.1\nm.8\tacts_in\tm.3\n")
    found = read_content(tmp_path, ["a", "b", "c"], None, ["knowledge"], seed=0)
    assert found["knowledge"].present_I.tolist() == [True, False, True]


def test_half_a_graph_is_refused(tmp_path: Path):
    write_graph(tmp_path)
    (tmp_path / "x.link").unlink()
    with pytest.raises(DataError, match=r"one \.kg and one \.link file .* found x\.kg"):
        read_content(tmp_path, ["a"], None, None, seed=0)


def features_of(x_IF: np.ndarray, missing: int = 0) -> ModalityFeatures:
    present_I = np.arange(len(x_IF)) >= missing
    return ModalityFeatures(
        x_IF=np.where(present_I[:, None], x_IF, 0).astype(np.float32), present_I=present_I
    )


def drawn(rows: int, width: int) -> np.ndarray:
    return 3 + 5 * np.random.default_rng(0).normal(size=(rows, width))


def test_mean_zero_unit_mean_variance_and_missing_rows_zero() -> None:
    features = features_of(drawn(50, 6) * np.arange(1, 7), missing=5)
    x_IF = Standardisation.of(features)(features)
    assert not x_IF[:5].any()
    np.testing.assert_allclose(x_IF[5:].mean(axis=0), 0, atol=1e-6)
    assert x_IF[5:].std() == pytest.approx(1, abs=1e-6)
    assert x_IF[5:, 5].std() > 3 * x_IF[5:, 0].std()  # one scale for all columns


def test_wide_features_keep_their_leading_components() -> None:
    width = WIDEST_FEATURES + 72
    x_IF = drawn(300, 3) @ np.random.default_rng(1).normal(size=(3, width))
    features = features_of(x_IF)
    kept_IG = Standardisation.of(features)(features)
    assert kept_IG.shape == (300, WIDEST_FEATURES)
    centred_IF = x_IF - x_IF.mean(axis=0)
    full, kept = centred_IF @ centred_IF.T, kept_IG @ kept_IG.T
    assert np.corrcoef(full.ravel(), kept.ravel())[0, 1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("width", [6, WIDEST_FEATURES + 10])
def test_others_are_treated_as_the_first_were(width: int) -> None:
    features = features_of(drawn(200, width))
    standardise = Standardisation.of(features)
    some = features_of(features.x_IF[:20])
    np.testing.assert_allclose(standardise(some), standardise(features)[:20], atol=1e-5)


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="5 wide, expected 6"):
        Standardisation.of(features_of(drawn(20, 6)))(features_of(drawn(20, 5)))
