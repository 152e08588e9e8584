"""The working file of a table and the journal of a comparison: a value of another form is refused with its line, and
the file stays as it was."""

import copy
import json

import pytest

from jaxnas import journal
from jaxnas.tabulate import working

ABOUT = {"architectures": 4}
ORIGIN = {"versions": {}, "device": "cpu", "flags": ""}
HEAD = {"about": ABOUT, "origin": ORIGIN}
GROUP = {
    "seed": 0, "rows": [0, 2], "status": ["ok", "diverged"], "curve": [[0.1, 0.5], [0.1, None]], "test": [0.4, None],
    "seconds": [0.1, 0.2], "places": [4, 4], "parameters": [7, 8], "multiply_adds": [9, 9], "images": [64, 64],
}  # fmt: skip
BAD = {
    "seed": ["first", -1, None, [], True, 0.5],
    "rows": [3, None, [0, 4], [0, -1], [0], [0, True], "ab", [0, 1.5]],
    "status": [["ok", "wonderful"], ["ok", None], "ok", ["ok", "ok"], ["diverged", "diverged"]],
    "curve": [3, [[0.1, 0.5], []], [[0.1, 0.5], ["a"]], [[0.1, 0.5], 3], [[0.1, float("inf")], [None]]],
    "test": [0.4, ["high", None], [float("nan"), None], [True, None]],
    "seconds": [0.1, [-1, 0.2], [None, 0.2], ["a", 0.2]],
    "places": [4, [4, -1], [4, None], [4, 1.5]],
    "parameters": [7, [7, -1], [7, "8"]],
    "multiply_adds": [9, [9, None]],
    "images": [64, [64, None], [64, 0.5]],
}


def opened(path):
    with working.opened(path, ABOUT, ORIGIN, print) as file:
        return file.rows(0)


def write(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path.read_bytes()


def test_what_was_written_is_read(tmp_path):
    write(tmp_path / "t", HEAD, {"seed": 0, "data": {}}, GROUP)
    rows = opened(tmp_path / "t")
    assert {row: known["curve"] for row, known in rows.items()} == {0: [0.1, 0.5], 2: [0.1, None]}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_a_value_of_another_form_is_refused_and_stays(tmp_path, name, value):
    before = write(tmp_path / "t", HEAD, GROUP, copy.deepcopy(GROUP) | {name: value})
    with pytest.raises(ValueError, match=f"line 3 of {tmp_path}/t is damaged"):
        opened(tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == before


@pytest.mark.parametrize("line", [3, [], "a", None, {}, {"seed": "a", "data": {}}, {"seed": 0, "data": 3}])
def test_a_line_that_is_no_group_is_refused_and_stays(tmp_path, line):
    before = write(tmp_path / "t", HEAD, GROUP, line)
    with pytest.raises(ValueError, match=f"line 3 of {tmp_path}/t is damaged"):
        opened(tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == before


@pytest.mark.parametrize("head", [3, [], {"about": 3, "origin": {}}, {"about": {}, "origin": []}, {"about": {}}])
def test_a_file_with_another_first_line_is_refused_and_stays(tmp_path, head):
    before = write(tmp_path / "t", head)
    with pytest.raises(ValueError, match="is no working file of a table"):
        opened(tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == before


def test_a_working_file_without_trainings_is_removed(tmp_path):
    write(tmp_path / "t", HEAD, {"seed": 0, "data": {}})
    assert opened(tmp_path / "t") == {}
    assert not (tmp_path / "t").exists()


def numbered(values):
    if values.keys() != {"number"}:
        raise ValueError


def kept(path, about=None):
    with journal.opened(path, "comparison", about or {}, numbered) as file:
        return file.results


@pytest.mark.parametrize("head", [3, [], "a", {}, {"about": 3}, {"about": {}, "more": {}}])
def test_a_journal_of_another_kind_is_refused_and_stays(tmp_path, head):
    before = write(tmp_path / "j", head)
    with pytest.raises(ValueError, match=f"{tmp_path}/j is no working file of a comparison: move it away"):
        kept(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == before


def test_a_journal_of_something_else_is_refused_once_it_has_a_result(tmp_path):
    before = write(tmp_path / "j", {"about": {"a": 1}}, {"number": 1})
    with pytest.raises(ValueError, match=f"{tmp_path}/j holds another comparison:\n  a: 1 there, 2 now"):
        kept(tmp_path / "j", {"a": 2})
    assert (tmp_path / "j").read_bytes() == before
    write(tmp_path / "j", {"about": {"a": 1}})
    assert kept(tmp_path / "j", {"a": 2}) == []
    assert json.loads((tmp_path / "j").read_text()) == {"about": {"a": 2}}


@pytest.mark.parametrize("line", [3, [], None, {}, {"number": 1, "more": 1}])
def test_a_line_that_is_no_result_is_refused_and_stays(tmp_path, line):
    """What a kill has torn, too."""
    before = write(tmp_path / "j", {"about": {}}, {"number": 1}, line) + b'{"num'
    (tmp_path / "j").write_bytes(before)
    with pytest.raises(ValueError, match=f"line 3 of {tmp_path}/j is damaged"):
        kept(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == before


def test_what_a_kill_has_torn_is_cut_off(tmp_path):
    whole = write(tmp_path / "j", {"about": {}}, {"number": 1})
    (tmp_path / "j").write_bytes(whole + b'{"num')
    assert kept(tmp_path / "j") == [{"number": 1}]
    assert (tmp_path / "j").read_bytes() == whole


def test_a_journal_belongs_to_one_process(tmp_path):
    with (
        journal.opened(tmp_path / "j", "comparison", {}, numbered),
        pytest.raises(ValueError, match=f"another process writes {tmp_path}/j"),
    ):
        kept(tmp_path / "j")


def test_a_journal_that_cannot_be_made_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="cannot be written"):
        kept(tmp_path)
