import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.network.experts import BALANCED_RATIO, ExpertTemplates, structured_experts

MODALITIES = ("behaviour", "text", "picture", "audio", "knowledge")


def bent(num_modalities: int, seed: int, spread: float) -> ExpertTemplates:
    """Templates with arbitrary parameters, as training could leave them."""
    templates = ExpertTemplates(MODALITIES[:num_modalities])
    generator = torch.Generator().manual_seed(seed)
    for parameter in templates.parameters():
        parameter.data.normal_(std=spread, generator=generator)
    return templates


@given(st.integers(1, 5), st.integers(0, 10_000), st.sampled_from([0.1, 1.0, 30.0]))
def test_no_parameter_can_break_a_role(num_modalities: int, seed: int, spread: float) -> None:
    templates = bent(num_modalities, seed, spread)
    template_KM = templates().detach()
    assert torch.allclose(template_KM.sum(1), torch.ones(len(template_KM)), atol=1e-6)
    assert (template_KM >= 0).all()
    modalities = MODALITIES[:num_modalities]
    for expert, template_M in zip(templates.experts, template_KM, strict=True):
        own = template_M[modalities.index(expert.modality)]
        if expert.role == "dominant":
            assert own >= template_M.max() - 1e-6
        elif expert.role == "complementary":
            assert own <= template_M.min() + 1e-6
        else:
            assert template_M.max() / template_M.min() <= BALANCED_RATIO + 1e-4


def test_three_modalities_have_nine_experts_that_differ_from_the_start() -> None:
    templates = ExpertTemplates(MODALITIES[:3])
    assert [expert.name for expert in templates.experts] == [
        f"{role}_{modality}"
        for role in ("dominant", "balanced", "complementary")
        for modality in MODALITIES[:3]
    ]
    template_KM = templates().detach()
    assert len({tuple(row) for row in template_KM.tolist()}) == 9


@pytest.mark.parametrize(
    ("num_modalities", "roles"),
    [
        (1, {"dominant"}),
        (2, {"dominant", "balanced"}),
        (3, {"dominant", "balanced", "complementary"}),
    ],
)
def test_roles_that_would_repeat_each_other_are_left_out(
    num_modalities: int, roles: set[str]
) -> None:
    experts = structured_experts(MODALITIES[:num_modalities])
    assert {expert.role for expert in experts} == roles
    assert len(experts) == num_modalities * len(roles)


def test_training_moves_the_templates() -> None:
    templates = ExpertTemplates(MODALITIES[:3])
    templates()[0, 0].backward()
    assert templates.own_K.grad is not None
    assert templates.own_K.grad[0] > 0
