"""`hybrid send TYPE --file`: CSV and JSON lines as the data of events of one type."""

import pytest


@pytest.fixture
def file(tmp_path):
    def write(text, name="rows.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def sent(hybrid, *words):
    said = hybrid("send", *words, "--wait", "--timeout", "20", "--json")
    assert said.code == 0, said.err
    return said


@pytest.mark.parametrize(
    "text",
    ["1,first\n2,\n", "\ufeffn,note\r\n1,first\r\n2,\r\n", "note,n\nfirst,1\n\n,2\n", '1,"first"\n"2",""'],
)
def test_with_or_without_names(hybrid, file, text):
    said = hybrid("send", "go", "--file", file(pick(text)))
    assert said.code == 0, said.err
    assert "2 sent" in said.err and len(said.out.split()) == 2


def pick(text):
    """Rows of `go` as it is: its other fields are left out by naming columns."""
    return text if "note" in text else "n,note\n" + text


def test_a_row_in_the_fields_own_order(hybrid, file):
    assert "3 sent" in hybrid("send", "Ping", "--file", file("1\n2\n3\n")).err


def test_objects(hybrid, file):
    assert (
        "2 sent" in hybrid("send", "go", "--file", file('{"n": 1}\n{"n": 2, "note": "x"}\n', "r.jsonl")).err
    )


def test_following_them_to_their_end(hybrid, file):
    sent(hybrid, "ping", "--file", file("n\n41\n42\n"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1,2\n", "line 1: has 2 values, not 1 (n)"),
        ("n\none\n", "line 2: ping is not valid: n: Input should be a valid integer"),
        ("n\n\n", "nothing to send"),
        (b"1\n\xff\n", "line 2: not UTF-8 text: byte 1 is 0xff"),
        ('1\n"2\n', "line 2: no CSV"),
        ('{"n": 1}\n{"m": 2}\n', "line 2: ping is not valid"),
        ('{"n": 1\n', "line 1: no JSON"),
    ],
)
def test_wrong_rows_are_told_and_nothing_is_sent(hybrid, file, text, problem):
    said = hybrid("send", "ping", "--file", file(text))
    assert problem in said.err
    assert not said.out
    assert said.code == (0 if "nothing to send" in problem else 2)


def test_what_does_not_go_together(hybrid, file):
    for words in (["--id", "x"], ["n=1"], ["--data", "{}"]):
        said = hybrid("send", "ping", "--file", file("1\n"), *words)
        assert said.code == 2 and "lines bring their own data and id" in said.err
    assert "no message is called 'pong'" in hybrid("send", "pong", "--file", file("1\n")).err
