"""`hybrid tail`: history and live, as lines, as CloudEvents and in formats of one's own."""

import json
import select
import signal
import subprocess

import pytest

from cli.moments import stream_id
from cli.telling import NAMES, Form, Table
from hybrid.envelope import Envelope
from hybrid.errors import SettingsError
from hybrid.inspect.happenings import Happening
from tests.cli.test_run import end, until
from tests.test_cloudevents import checked


@pytest.fixture
def flow(hybrid):
    """Run one flow to its end, until its listener had it too; return what tells of flows by their id."""

    def make(id, *words):
        hybrid("send", "go", *words, "--id", id, "--wait")
        until(lambda: "listener" in hybrid("tail", "--flow", id).out)
        return hybrid

    return make


class TestHistory:
    def test_each_happening_is_one_line(self, flow):
        said = flow("t-lines", "n=41", "token=q58w17z")("tail", "--flow", "t-lines")
        header, *lines = said.out.splitlines()
        assert header.split() == ["TIME", "WHAT", "TYPE", "BY", "KEY", "FLOW", "DETAILS"]
        words = [line.split() for line in lines]
        assert {tuple(line[1:6]) for line in words} >= {
            ("classified", "go", "front", "41", "t-lines"),
            ("done", "work", "worker", "41", "t-lines"),
            ("broadcast", "worked", "worker", "41", "t-lines"),
            ("done", "worked", "listener", "41", "t-lines"),
        }
        assert "hard by by_habit: it always was" in said.out
        assert '{"n": 41}' in said.out
        assert "q58w17z" not in said.out

    def test_json_lines_are_cloud_events(self, flow, place):
        said = flow("t-json", "n=1")("tail", "--flow", "t-json", "-o", "json")
        events = [checked(json.loads(line)) for line in said.out.splitlines()]
        (worked,) = (event for event in events if event["type"] == "worked")
        assert worked["source"] == f"/{place.name}/worker"
        assert worked["data"] == {"n": 1}
        assert {event["type"] for event in events} >= {"hybrid.delivery.classified", "hybrid.delivery.done"}

    def test_a_format_of_ones_own(self, flow):
        said = flow("t-format", "n=3")("tail", "worked", "--flow", "t-format", "-o", "{what:>9}|{key}|{data}")
        assert said.out.splitlines() == ['broadcast|3|{"n": 3}', "     done|3|"]

    @pytest.mark.parametrize(
        "form", ["{nope}", "{}", "{0}", "{type.__class__}", "{type[0]}", "{time:{nope}}"]
    )
    def test_a_format_that_names_something_else(self, hybrid, form):
        said = hybrid("tail", "-o", form)
        assert said.code == 2
        assert said.err.startswith("error: --output: there is no {")
        assert ", ".join(NAMES) in said.err

    @pytest.mark.parametrize("form", ["{time", "{time:d}", "tabel", "{step!z}"])
    def test_a_format_that_is_none(self, hybrid, form):
        said = hybrid("tail", "-o", form)
        assert said.code == 2
        assert said.err.startswith("error: --output ")

    def test_failures_types_classes_and_text(self, hybrid):
        hybrid("send", "go", "n=13", "--id", "t-bad", "--wait")
        failed = hybrid("tail", "--failed", "--flow", "t-bad", "-o", "{what} {type} {attempt}")
        assert failed.out == "failed work 2\n"
        tries = hybrid("tail", "work", "--flow", "t-bad", "--class", "hard", "-o", "{what} {attempt}")
        assert tries.out == "retried 1\nfailed 2\n"
        assert hybrid("tail", "--flow", "t-bad", "--grep", "thirteen.*red", "--failed").out.count("\n") == 2
        assert "\x1b" not in hybrid("tail", "--flow", "t-bad").out
        assert hybrid("tail", "--flow", "t-bad", "--class", "complex").out == ""

    def test_so_many_since_and_until(self, flow):
        hybrid = flow("t-many", "n=1")
        every = hybrid("tail", "--flow", "t-many", "--since", "1h", "-o", "{entry} {what} {type}").out
        lines = every.splitlines()
        assert len(lines) >= 6
        two = hybrid("tail", "--flow", "t-many", "-n", "2", "-o", "{entry} {what} {type}")
        assert two.out.splitlines() == lines[-2:]
        first, last = lines[0].split()[0], lines[-1].split()[0]
        later = hybrid("tail", "--flow", "t-many", "--since", last, "-o", "{entry}").out.split()
        assert last in later
        assert all(entry >= last for entry in later)
        earlier = hybrid("tail", "--flow", "t-many", "--until", first, "-o", "{entry}").out.split()
        assert first in earlier
        assert all(entry <= first for entry in earlier)
        assert hybrid("tail", "-n", "0").out == ""

    def test_nothing_says_so(self, anywhere, still, raw):
        hybrid = anywhere.at(still)
        said = hybrid("tail")
        assert (said.code, said.out, said.err) == (0, "", "nothing has happened yet\n")
        assert hybrid("tail", "--failed").err == "nothing has happened of this kind\n"
        assert raw.keys(f"{{{still.name}.*") == []

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (["--class", "easy"], "is one of simple, hard, complex"),
            (["--grep", "("], "is no regular expression"),
            (["--since", "soon"], "is how long ago (10m, 1h30m, 2d)"),
            (["--until", "25:00"], "--until '25:00'"),
            (["-f", "--until", "1m"], "leave one of them out"),
            (["workd"], "did you mean worked"),
        ],
    )
    def test_what_is_wrong(self, hybrid, words, text):
        said = hybrid("tail", *words)
        assert said.code == 2
        assert said.err.startswith("error: ")
        assert text in said.err


class TestLive:
    def test_it_goes_on_until_it_is_interrupted(self, hybrid, place):
        child = place.spawn("tail", "-f", "-n", "0", "worked", "-o", "{what} {flow}")
        try:
            seen = []

            def follows():
                hybrid("send", "go", "n=1", "--id", f"t-live-{len(seen)}", "--wait")
                seen.append(len(seen))
                return any(process_reads(child))

            until(follows)
            lines = [child.stdout.readline() for _ in range(2)]
        finally:
            code, _, err = end(child, signal.SIGINT)
        assert code == 130
        assert "Traceback" not in err
        assert lines[0].startswith("broadcast t-live-")
        assert lines[1].startswith("done t-live-")

    def test_a_reader_that_ends_ends_it(self, hybrid, place):
        hybrid("send", "go", "n=1", "--id", "t-pipe", "--wait")
        child = place.spawn("tail", "-f", "-o", "{type}")
        head = subprocess.run(["head", "-n", "2"], stdin=child.stdout, capture_output=True, text=True)
        child.stdout.close()
        assert len(head.stdout.splitlines()) == 2
        assert child.wait(timeout=20) == 141
        assert child.stderr.read() == ""
        child.stderr.close()


def process_reads(child):
    """Tell whether a process has written something."""
    return select.select([child.stdout], [], [], 0)[0]


class TestMoments:
    NOW = 1_700_000_000_000

    @pytest.mark.parametrize(
        ("text", "means"),
        [
            ("10m", "1699999400000"),
            ("1h30m", "1699994600000"),
            ("1.5s", "1699999998500"),
            ("250ms", "1699999999750"),
            ("2d", "1699827200000"),
            ("9999999d", "0"),
            ("1700000000000-5", "1700000000000-5"),
            ("1700000000000", "1700000000000"),
            ("2023-11-14T22:13:20Z", "1700000000000"),
            ("2023-11-14T23:13:20.5+01:00", "1700000000500"),
        ],
    )
    def test_what_they_mean(self, text, means):
        assert stream_id("--since", text, self.NOW) == means

    def test_a_time_alone_is_todays(self):
        day = int(stream_id("--since", "00:00", self.NOW))
        assert abs(self.NOW - day) < 86_400_000 * 2
        assert int(stream_id("--since", "01:00", self.NOW)) - day == 3_600_000

    @pytest.mark.parametrize(
        "text", ["", "soon", "10", "-5m", "10x", "5m later", "1969-01-01", "99:99", "1-2-3"]
    )
    def test_what_means_nothing(self, text):
        with pytest.raises(SettingsError, match="--since"):
            stream_id("--since", text, self.NOW)


class TestTable:
    @staticmethod
    def happening(**facts):
        envelope = Envelope("m1", "order-created", correlation="f1", attempt=2, step=3)
        given = {"key": "o-1", "note": "a\x1b[31mb", "consumer": "c", **facts}
        return Happening((1, 0, 0, 0, 0), "retried", envelope, "payment", "1-0", "command:x", **given)

    def test_titles_come_once_and_columns_grow_with_what_comes(self):
        table = Table()
        first, second = table.lines([self.happening()]), table.lines([self.happening(key="k" * 20)])
        assert first[0].plain.split() == ["TIME", "WHAT", "TYPE", "BY", "KEY", "FLOW", "DETAILS"]
        assert len(first) == 2
        assert len(second) == 1
        assert first[1].plain.endswith("step 3  attempt 2  a\\x1b[31mb")
        assert second[0].plain.index("f1") > first[1].plain.index("f1")
        assert table.lines([self.happening()], narrow=True)[0].plain.find("f1") == -1

    def test_a_format_shows_no_control_characters(self):
        assert Form("{note}\\t{attempt:>3}").line(self.happening()) == "a\\x1b[31mb\t  2"
