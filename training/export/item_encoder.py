"""The item encoder as an ONNX graph: features of new items -> what an artifact has of cold items.

Training's encoders are linear, so a new item needs of its content neighbours only their rows of the
interaction view, which an artifact has as directions (`item_embeddings`) and lengths
(`item_lengths`). Who the neighbours are, numpy finds (`model.runtime.item_encoder`).

Letters: X new items, I items, E content modalities, M = E + 1 modalities, V views, D dimension,
F width of a modality's features, G width that its encoder takes, J routing channels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from model.artifact.build import Tensors
from model.artifact.manifest import ITEM_ENCODER, little_endian
from model.artifact.tables import IdTable
from model.network.config import VIEWS
from model.network.magnet import Magnet
from model.network.rows import unit_rows
from model.runtime.item_encoder import INPUTS, OUTPUTS, TEXT, feature_input, key_output
from model.runtime.scorer import open_session
from training.data.features import ModalityFeatures, Standardisation
from training.export.onnx import PARITY_TOLERANCE, ParityError
from training.fit.trained_model import TrainedModel

_CHECKED_ITEMS = (1, 33)
_SHORTEST = 1e-12
"""A row of less than this length is divided by it, as `unit_rows` does."""
_MODALITY = """
    centred_{m} = Sub (feature_{m}, mean_{m})
    projected_{m} = MatMul (centred_{m}, axis_{m})
    content_{m} = Mul (projected_{m}, given_{m})
    length_{m} = ReduceL2 <keepdims: int = 1> (content_{m}, last)
    divisor_{m} = Max (length_{m}, shortest)
    key_{m} = Div (content_{m}, divisor_{m})
    encoded_{m} = MatMul (content_{m}, weight_{m})
    row_{m} = Unsqueeze (encoded_{m}, second)
"""
_ITEM = """
    nothing = Mul (row_0, zero)
    own_XMD = Concat <axis: int = 1> (nothing, {rows})
    weighted = Mul (neighbours, edge_weight)
    others_XMD = ReduceSum <keepdims: int = 0> (weighted, second)
    both_XMD = Add (own_XMD, others_XMD)
    own_X1MD = Unsqueeze (own_XMD, second)
    both_X1MD = Unsqueeze (both_XMD, second)
    foldin = Concat <axis: int = 1> (own_X1MD, both_X1MD)
    length = ReduceL2 <keepdims: int = 1> (foldin, last)
    divisor = Max (length, shortest)
    unit = Div (foldin, divisor)
    item = Mul (unit, reliability)
    flat = Reshape (unit, to_XF)
    routing = MatMul (flat, evidence)
    count = ReduceSum <keepdims: int = 0> (given, second)
    none = Mul (count, zero)
    bias = Add (none, cold_bias)
"""


def export_item_encoder(
    model: TrainedModel, features: Mapping[str, ModalityFeatures]
) -> tuple[dict[str, bytes], Tensors]:
    """The graph and the tensors that go with it; nothing for a model without content.

    Args:
        model: what is exported.
        features: of each content modality, as the model was trained with.

    Raises:
        ParityError: the graph differs from torch by more than `PARITY_TOLERANCE`.
    """
    if not features:
        return {}, {}
    magnet = model.magnet
    standards = [Standardisation.of(x) for x in features.values()]
    graph = item_encoder_graph(magnet, standards)
    for count in _CHECKED_ITEMS:
        _check_parity(graph, magnet, standards, count)
    return {ITEM_ENCODER: graph}, {
        "item_content": content_keys(magnet),
        "item_lengths": little_endian(_lengths(model)),
        **text_encoder_tensors(features),
    }


def content_keys(magnet: Magnet) -> NDArray[np.float16]:
    """What `ItemEncoder` finds neighbours by: unit rows of every modality [I, all G]."""
    keys = torch.cat([unit_rows(part) for part in _content(magnet)], dim=1)
    return little_endian(keys.cpu().numpy().astype(np.float16))


def text_encoder_tensors(features: Mapping[str, ModalityFeatures]) -> Tensors:
    """What text features were made with; nothing if they were read."""
    made_with = features[TEXT].made_with if TEXT in features else None
    if made_with is None:
        return {}
    terms = IdTable.of(made_with.terms)
    return {
        "text_terms_blob": terms.blob,
        "text_terms_offsets": terms.offsets,
        "text_idf": little_endian(made_with.idf_T.astype(np.float32)),
        "text_axes": little_endian(made_with.axis_TF.astype(np.float32)),
    }


def _content(magnet: Magnet) -> Sequence[Tensor]:
    """The standardised features of every modality [I, G]."""
    widths = [x.in_features for x in magnet.encoders if isinstance(x, nn.Linear)]
    parts: Sequence[Tensor] = magnet.feature_IF.split(widths, dim=1)
    return parts


@torch.no_grad()
def _lengths(model: TrainedModel) -> NDArray[np.float32]:
    """What brings `item_embeddings` to the length of what was propagated [I, M].

    Of the interaction view. A fold-in row is such a row over the root of the item's degree; an item
    without interactions has its own features alone.
    """
    magnet, embeddings = model.magnet, model.embeddings
    degree_I = np.asarray(model.train_weight_UI.sum(axis=0)).ravel()
    root_I1 = torch.from_numpy(np.sqrt(degree_I).astype(np.float32)).unsqueeze(1)
    propagated_IM = root_I1 * embeddings.foldin_IVMD[:, 0].norm(dim=-1).cpu()
    own_IM = torch.stack(
        [torch.zeros(len(root_I1)), *(x.norm(dim=-1).cpu() for x in _encoded(magnet))], dim=1
    )
    length_IM = torch.where(root_I1 > 0, propagated_IM, own_IM)
    lengths: NDArray[np.float32] = (length_IM / magnet.head.reliability_M.cpu()).numpy()
    return lengths


def _encoded(magnet: Magnet) -> list[Tensor]:
    return magnet.encode_content(magnet.feature_IF)


def item_encoder_graph(magnet: Magnet, standards: Sequence[Standardisation]) -> bytes:
    """`item_encoder.onnx` for features that are standardised like this."""
    config = magnet.config
    contents = range(len(standards))
    vectors = f"{len(VIEWS)},{config.num_modalities},{config.embedding_dim}"
    inputs = [f"float[X,{len(each.mean_F)}] {feature_input(m)}" for m, each in enumerate(standards)]
    given, neighbours = INPUTS
    inputs += [
        f"float[X,{len(contents)}] {given}",
        f"float[X,{len(contents)},{config.num_modalities},{config.embedding_dim}] {neighbours}",
    ]
    outputs = [
        f"float[X,{part.shape[1]}] {key_output(m)}" for m, part in enumerate(_content(magnet))
    ]
    shapes = (f"X,{vectors}", f"X,{vectors}", f"X,{magnet.head.num_experts + 1}", "X")
    outputs += [f"float[{shape}] {name}" for shape, name in zip(shapes, OUTPUTS, strict=True)]
    split = ", ".join(f"given_{m}" for m in contents)
    body = f"{split} = Split <axis: int = 1, num_outputs: int = {len(contents)}> (given)\n"
    body += "".join(_MODALITY.format(m=m) for m in contents)
    body += _ITEM.format(rows=", ".join(f"row_{m}" for m in contents))
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 20]> '
        f"item_encoder ({', '.join(inputs)}) => ({', '.join(outputs)}) {{ {body} }}"
    )
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name)
        for name, array in _constants(magnet, standards).items()
    )
    onnx.checker.check_model(model, full_check=True)
    exported: bytes = model.SerializeToString()
    return exported


@torch.no_grad()
def _constants(
    magnet: Magnet, standards: Sequence[Standardisation]
) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    """Weights, settings and shapes by their names in the graph."""
    router = magnet.head.router
    weights: dict[str, Tensor | NDArray[np.float64] | float] = {
        "reliability": magnet.head.reliability_M.unsqueeze(1),
        "evidence": router.scale * (router.item_out.weight @ router.item_low.weight).T,
        "edge_weight": magnet.log_edge_weight_E.exp()[:, None, None],
        "cold_bias": magnet.cold_bias() + magnet.cold_offset,
        "shortest": _SHORTEST,
        "zero": 0.0,
    }
    for m, (standard, encoder) in enumerate(zip(standards, magnet.encoders, strict=True)):
        axis_FG = np.eye(len(standard.mean_F)) if standard.axis_FG is None else standard.axis_FG
        weights[f"mean_{m}"] = standard.mean_F
        weights[f"axis_{m}"] = axis_FG / standard.scale
        assert isinstance(encoder, nn.Linear)
        weights[f"weight_{m}"] = encoder.weight.T
    arrays = {
        name: x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
        for name, x in weights.items()
    }
    shapes = {"second": [1], "last": [-1], "to_XF": [0, -1]}
    constants: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {}
    constants |= {name: np.array(x, dtype=np.int64) for name, x in shapes.items()}
    constants |= {name: np.ascontiguousarray(x, dtype=np.float32) for name, x in arrays.items()}
    return constants


@torch.inference_mode()
def _check_parity(
    graph: bytes, magnet: Magnet, standards: Sequence[Standardisation], count: int
) -> None:
    generator = np.random.default_rng(count)
    config = magnet.config
    present_XE = generator.random((count, len(standards))) < 0.8
    features = [
        ModalityFeatures(
            x_IF=(each.mean_F + generator.normal(size=(count, len(each.mean_F)))).astype(
                np.float32
            ),
            present_I=present_X,
        )
        for each, present_X in zip(standards, present_XE.T, strict=True)
    ]
    shape = (count, len(standards), config.num_modalities, config.embedding_dim)
    neighbours = generator.normal(size=shape).astype(np.float32)
    device = magnet.feature_IF.device
    content = [
        torch.from_numpy(each(x)).to(device) for each, x in zip(standards, features, strict=True)
    ]
    encoded = magnet.encode_content(torch.cat(content, dim=1))
    own_XMD = torch.stack([torch.zeros_like(encoded[0]), *encoded], dim=1)
    weight_E11 = magnet.log_edge_weight_E.exp()[:, None, None]
    others_XMD = (torch.from_numpy(neighbours).to(device) * weight_E11).sum(dim=1)
    foldin_XVMD = torch.stack([own_XMD, own_XMD + others_XMD], dim=1)
    unit_XVMD = unit_rows(foldin_XVMD)
    bias = magnet.cold_bias() + magnet.cold_offset
    wanted = (
        unit_XVMD * magnet.head.reliability_M[:, None],
        foldin_XVMD,
        magnet.head.router.item_evidence(unit_XVMD),
        bias.expand(count),
    )
    feeds = {feature_input(m): x.x_IF for m, x in enumerate(features)}
    feeds |= dict(zip(INPUTS, (present_XE.astype(np.float32), neighbours), strict=True))
    got = open_session(ITEM_ENCODER, graph).run(OUTPUTS, feeds)
    for name, want, have in zip(OUTPUTS, wanted, got, strict=True):
        scale = max(1.0, float(want.abs().max()))
        difference = float(np.abs(want.cpu().numpy() - have).max()) / scale
        if not difference <= PARITY_TOLERANCE:
            raise ParityError(
                f"the item encoder's {name!r} differs from torch by {difference:.2e} (allowed "
                f"{PARITY_TOLERANCE:.0e}); nothing was exported"
            )
