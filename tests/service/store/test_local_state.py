import numpy as np

from service.store.local_state import LocalState


def test_where_nothing_can_be_written_nothing_is_kept_and_nobody_fails(tmp_path, caplog) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    state = LocalState(file / "default")
    state.put_items({"a": b"{}"})
    state.put("name", b"value")
    state.replace_hidden(1, np.array([7], dtype=np.uint64))
    assert state.log_hidden([(2, 1, 8, True)])
    assert (state.items(), state.get("name"), state.hidden()) == ([], None, None)
    assert caplog.text.count("cannot be written") == 4
    state.close()
