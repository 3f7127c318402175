"""Item texts and pictures -> pretrained encoders -> feature files, as the command `encode` does it.

Importing the package loads no encoder library: those come with the extra `encoders`.

To add an encoder of texts or pictures:
    1. `networks.py` (torch) or `onnx.py` (ONNX Runtime): a class that obeys `encoders.Encoder`: a
       `fingerprint` of its weights, and `encode(contents) -> [B, F]`.
    2. `encoders.py`: `text_encoder` or `image_encoder` says by which name it is chosen.
    3. `tests/training/encode/test_encoders.py`, and docs/how-to/own-encoder.md.

To add a modality, for example sound:
    1. `contents.py`: a class that obeys `Content`, and a function that finds it for every item.
    2. `encoders.py`: `sound_encoder`, with its default.
    3. `job.py`: a field of `EncodeJob`, and a line in `_tasks`, which names the feature file.
    4. `command.py`: the option.
Nothing else changes: training reads every `<name>_feat.npy` of a data folder as a modality called
`<name>`, and the artifact and the service take the names from the manifest. Features that are made
elsewhere need no code at all (docs/how-to/own-encoder.md).
"""
