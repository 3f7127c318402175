"""Item texts and pictures -> pretrained encoders -> feature files, as the command `encode` does it.

Importing the package loads no encoder library: those come with the extra `encoders`.

To add an encoder of texts or pictures:
    1. `networks.py` (torch) or `onnx.py` (ONNX Runtime): a class that obeys `encoders.Encoder`: a
       `fingerprint` of its weights, and `encode(contents) -> [B, F]`.
    2. `encoders.py`: `text_encoder` or `image_encoder` says by which name it is chosen.
    3. `tests/training/encode/test_encoders.py`, and docs/how-to/own-encoder.md.

How to add a modality: docs/contributing.md. Features that are made elsewhere need no code at all
(docs/how-to/own-encoder.md).
"""
