"""What a reader makes of manifests of other commits."""

from model.artifact.manifest import EpochRecord

EPOCH = {
    "epoch": 1,
    "stage": "coverage",
    "loss": 3.0,
    "valid_ndcg20": 0.1,
    "coverage_entropy": 0.9,
    "pair_entropy": 0.8,
    "expert_shares": [0.5, 0.5],
    "seconds": 1.0,
}


def test_an_epoch_from_before_the_terms_of_its_loss_were_told_can_be_read() -> None:
    assert EpochRecord.model_validate(EPOCH).loss_terms == {}
    terms = {"ranking": 2.5, "alignment": 0.5}
    told = EpochRecord.model_validate(EPOCH | {"loss_terms": terms})
    assert EpochRecord.model_validate_json(told.model_dump_json()).loss_terms == terms
