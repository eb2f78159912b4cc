"""`hybrid desk`: what no program could repair; look, mend, send back, put away."""

import json
import sys

import pytest

EDITOR = """
import json, pathlib, sys
file = pathlib.Path(sys.argv[1])
pathlib.Path("seen").open("a").write(file.read_text())
pathlib.Path("mode").write_text(oct(file.parent.stat().st_mode & 0o777))
given = json.loads(file.read_text())
exec(pathlib.Path("change").read_text())
file.write_text(text if "text" in globals() else json.dumps(given))
"""
MASK = "**********"


@pytest.fixture
def shop(anywhere, still):
    """`hybrid` where a worker of its own runs."""
    with still.running():
        yield anywhere.at(still)


@pytest.fixture
def failed(shop):
    """Let flows fail; return their failures, oldest first."""

    def make(*ids):
        for id in ids:
            assert shop("send", "go", "n=13", "token=5817", "--id", id, "--wait").code == 2
        return [found for found in reversed(shop("desk", "list", "--json").data) if found["flow"] in ids]

    return make


@pytest.fixture
def editor(still, monkeypatch):
    """Make $EDITOR do this to the document `given`."""

    def does(change):
        (still.directory / "editor.py").write_text(EDITOR)
        (still.directory / "change").write_text(change)
        monkeypatch.setenv("EDITOR", f"{sys.executable} editor.py")
        monkeypatch.delenv("VISUAL", raising=False)

    return does


def ended(shop, id):
    """Wait for the end of a flow that goes on; tell whether it is a good one."""
    return shop("send", "go", "n=13", "--id", id, "--wait").code == 0


class TestLooking:
    def test_nothing(self, anywhere, still):
        hybrid = anywhere.at(still)
        said = hybrid("desk")
        assert (said.code, said.out) == (0, "")
        assert "the desk is empty" in said.err
        assert "the desk is empty" in hybrid("desk", "list").err
        assert "nobody has done anything" in hybrid("desk", "log").err
        assert hybrid("desk", "--json").data == hybrid("desk", "list", "--json").data == []

    def test_by_cause(self, shop, failed):
        failed("f1", "f2")
        (group,) = shop("desk", "--json").data
        assert (group["fingerprint"], group["types"]) == (f"ValueError in {group['frame']}", ["work"])
        assert group["frame"].endswith(".work")
        assert (group["count"], group["failed_again"], group["sent_back"]) == (2, 0, 0)
        text = shop("desk").out
        assert f"{group['id']}      2" in text
        for name in (group["id"], group["fingerprint"]):
            assert len(shop("desk", "list", "--group", name, "--json").data) == 2
        said = shop("desk", "list", "--group", "12345678")
        assert "nothing at the desk is so" in said.err

    def test_the_list_by_what_it_shows(self, shop, failed):
        failed("f1", "f2")
        assert len(shop("desk", "list", "--where", "n=13", "--since", "1h-ago", "--json").data) == 2
        assert shop("desk", "list", "--where", "n=14", "--json").data == []
        assert shop("desk", "list", "--where", "token=5817", "--json").data == []
        assert "1 older ones (--limit)" in shop("desk", "list", "-n", "1").err
        assert shop("desk", "list", "--type", "Ping", "--json").data == []

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (["list", "--where", "n"], "--where 'n' is no FIELD=VALUE"),
            (["list", "--since", "soon"], "--since 'soon': is how long ago"),
            (["retry"], "say which: IDs, or one or more of --group"),
            (["retry", "x", "--all"], "say which"),
            (["retry", "x"], "no failure x: it is not at the desk, and nobody has handled it"),
            (["retry", "--all", "--stages", "1,x"], "--stages '1,x': is how many in each stage"),
            (["retry", "--all", "--stages", "", "--yes"], "--stages '': is how many in each stage"),
            (["diff", "x"], "no failure x: it is not at the desk, and nobody has handled it"),
            (["retry", "--all", "--rate", "fast"], "--rate 'fast': is how many go in a time"),
            (["edit", "x", "--set", "n"], "'n' is no key=value"),
            (["show", "exchange/1-1"], "no failure exchange/1-1"),
        ],
    )
    def test_bad_input(self, anywhere, still, words, why):
        said = anywhere.at(still)("desk", *words)
        assert said.code == 2
        assert said.err.startswith("error: ")
        assert why in said.err

    @pytest.mark.parametrize(
        "name", ["list", "show", "diff", "edit", "retry", "discard", "archive", "restore", "log"]
    )
    def test_each_has_examples(self, anywhere, name):
        said = anywhere("desk", name, "--help")
        assert said.code == 0
        assert f"hybrid desk {name}" in said.out


class TestRetry:
    def test_sent_back_fails_again_and_is_done(self, shop, failed, still):
        (found,) = failed("f1")
        said = shop("desk", "retry", found["id"], "--stages", "1", "--as", "ann", "--reason", "try")
        assert said.code == 1
        assert said.out == f"{found['id']}  failed again (1)\n"
        assert "stopped: 1 failed again in stage 1" in said.err
        (again,) = shop("desk", "list", "--json").data
        assert again["sent_back"] == 1
        (group,) = shop("desk", "--json").data
        assert (group["failed_again"], group["sent_back"]) == (1, 1)
        assert "it was sent back before (1)" in shop("desk", "show", again["id"]).out
        (still.directory / "mended").touch()
        said = shop("desk", "retry", "--group", group["id"], "--stages", "1,5", "--yes", "--json")
        assert (said.code, [each["result"] for each in said.data]) == (0, ["done"])
        assert [(line["who"], line["reason"]) for line in shop("desk", "log", "--json").data][1] == (
            "ann",
            "try",
        )

    def test_a_second_person_is_told(self, shop, failed):
        (found,) = failed("f1")
        assert shop("desk", "discard", found["id"], "--as", "ann").code == 0
        said = shop("desk", "retry", found["id"])
        assert said.code == 2
        assert "already handled (discard by ann, " in said.err

    def test_many_are_asked_about(self, shop, failed, still):
        failed("f1", "f2")
        said = shop("desk", "retry", "--type", "work", given=b"n\n")
        assert said.code == 1
        assert "retry 2 failures? [y/N]" in said.err
        assert "nothing was changed" in said.err
        assert "--yes does it without asking" in shop("desk", "retry", "--type", "work").err
        (still.directory / "mended").touch()
        said = shop("desk", "retry", "--type", "work", "--rate", "100/s", given=b"y\n")
        assert (said.code, said.err.splitlines()[-1]) == (0, "2 sent back")

    def test_a_dry_run_changes_nothing(self, shop, failed):
        (found,) = failed("f1")
        said = shop("desk", "retry", "--all", "--dry-run", "--stages", "1,5")
        assert said.code == 0
        assert said.out == f"{found['id']}  would be sent back\n"
        assert "in stages of 1, 5" in said.err
        assert [each["id"] for each in shop("desk", "list", "--json").data] == [found["id"]]

    def test_what_its_flow_awaits_no_longer_is_refused(self, shop, failed, still, raw):
        (found,) = failed("f1")
        raw.hset(f"{{{still.name}.main.0}}:flow:f1", "ended", 1)
        said = shop("desk", "retry", found["id"])
        assert said.code == 1
        assert "refused: its flow f1 awaits step 1 no longer" in said.out

    def test_what_has_no_processor_any_more_is_refused(self, anywhere, still):
        hybrid = anywhere.at(still)
        with still.running():
            hybrid("send", "go", "n=13", "--id", "f1", "--wait")
        program = still.directory / f"{still.name}.py"
        program.write_text(program.read_text().replace('Processor("worker")', 'Processor("newer")'))
        said = still.process("desk", "retry", "f1")
        assert said.code == 1
        assert "refused: there is no component worker any more" in said.out
        assert still.process("desk", "discard", "f1").out.endswith("discarded\n")

    def test_nothing_is_so(self, anywhere, still):
        said = anywhere.at(still)("desk", "retry", "--all")
        assert said.code == 0
        assert "0 sent back: nothing at the desk is so" in said.err


class TestEdit:
    def test_in_the_editor(self, shop, failed, editor, still):
        (found,) = failed("f1")
        editor('given["data"]["n"] = 14')
        said = shop("desk", "edit", found["id"], "--reason", "no thirteen", given=b"y\n")
        assert said.code == 0
        assert "- n: 13\n+ n: 14\n" in said.out
        assert f"{found['id']}  sent back  as " in said.out
        new = said.out.split()[-1]
        assert ended(shop, "f1")
        seen = json.loads((still.directory / "seen").read_text())
        assert seen == {"type": "work", "data": {"n": 13, "token": MASK}}
        assert (still.directory / "mode").read_text() == "0o700"
        (line,) = shop("desk", "log", new, "--json").data
        assert (line["action"], line["reason"]) == ("edit", "no thirteen")
        assert line["before"] == {"n": 13, "token": MASK}
        assert "n: 13 → 14" in shop("desk", "log").out
        assert shop("desk", "diff", new).out == "- n: 13\n+ n: 14\n"

    def test_what_is_not_valid_can_be_edited_again(self, shop, failed, editor):
        (found,) = failed("f1")
        editor('given["data"]["n"] = "many"')
        said = shop("desk", "edit", found["id"], given=b"y\nn\n")
        assert said.code == 2
        assert said.err.count("nothing was sent: work is not valid: n: Input should be a valid integer") == 2
        assert "given up: nothing was changed" in said.err
        editor("text = '{'")
        assert "no JSON" in shop("desk", "edit", found["id"], given=b"n\n").err
        editor('given["type"] = "ping"')
        assert (
            "its type can't be changed, from work to ping"
            in shop("desk", "edit", found["id"], given=b"n\n").err
        )

    def test_nothing_is_changed(self, shop, failed, editor):
        (found,) = failed("f1")
        editor("pass")
        said = shop("desk", "edit", found["id"])
        assert (said.code, "nothing was changed" in said.err) == (2, True)
        editor('given["data"]["n"] = 14')
        said = shop("desk", "edit", found["id"], given=b"no\n")
        assert (said.code, "nothing was changed" in said.err) == (1, True)
        assert len(shop("desk", "list", "--json").data) == 1

    def test_it_was_handled_while_the_editor_was_open(self, shop, failed, editor, still):
        (found,) = failed("f1")
        hybrid = f"{sys.executable} -P -m cli desk archive {found['id']}"
        editor(f'import os; os.system("{hybrid}"); given["data"]["n"] = 14')
        said = shop("desk", "edit", found["id"], "--yes")
        assert (said.code, said.out.splitlines()[-1]) == (1, f"{found['id']}  already handled")

    def test_an_editor_that_is_not_there_or_gives_up(self, shop, failed, monkeypatch):
        (found,) = failed("f1")
        monkeypatch.setenv("EDITOR", "no-such-editor")
        assert "set EDITOR, or use --set" in shop("desk", "edit", found["id"]).err
        monkeypatch.setenv("EDITOR", "false")
        assert "ended with exit code 1" in shop("desk", "edit", found["id"]).err
        monkeypatch.delenv("EDITOR")
        assert "there is no terminal for vi: set EDITOR" in shop("desk", "edit", found["id"]).err

    def test_by_words_for_scripts(self, shop, failed):
        (found,) = failed("f1")
        diff = shop("desk", "diff", found["id"], "--set", "n=14", "--set", "token=other")
        assert diff.out == f'- n: 13\n+ n: 14\n- token: "{MASK}"\n+ token: "{MASK} (another secret)"\n'
        assert shop("desk", "diff", found["id"]).code == 1
        said = shop("desk", "edit", found["id"], "--set", "n=14", "--yes", "--json")
        (result,) = said.data
        assert (said.code, result["result"], len(result["new"])) == (0, "sent back", 24)
        assert ended(shop, "f1")

    def test_many_alike(self, shop, failed):
        failed("f1", "f2")
        said = shop("desk", "edit", "--where", "n=13", "--set", "n=14", given=b"y\n")
        assert said.code == 0
        assert said.out.startswith("- n: 13\n+ n: 14\n")
        assert "edit and retry 2 failures?" in said.err
        assert "2 sent back" in said.err

    @pytest.mark.parametrize(
        ("word", "why"),
        [
            ("n=many", "n: Input should be a valid integer"),
            ("m=1", "m: there is no such field; those are: n, token"),
            ("n.m=1", "nothing can be set inside a plain value"),
            ("n=13", "nothing would be changed"),
        ],
    )
    def test_words_that_do_not_fit(self, shop, failed, word, why):
        (found,) = failed("f1")
        said = shop("desk", "edit", found["id"], "--set", word, "--yes")
        assert said.code == 1
        assert "refused: " in said.out
        assert why in said.out

    def test_an_editor_mends_one(self, shop, failed):
        failed("f1", "f2")
        assert "more than one was chosen: --set" in shop("desk", "edit", "--all").err
        assert "none was chosen" in shop("desk", "edit", "--type", "ping").err


class TestAway:
    def test_archived_and_restored(self, shop, failed):
        (found,) = failed("f1")
        said = shop("desk", "archive", found["id"])
        assert (said.code, said.err) == (0, "1 archived\n")
        assert shop("desk", "list", "--json").data == []
        assert shop("status", "--check").code == 0
        (away,) = shop("desk", "list", "--archived", "--json").data
        assert (away["message"], away["failed"]) == (found["message"], found["failed"])
        assert len(shop("desk", "--archived", "--json").data) == 1
        assert f"`hybrid desk restore {away['id']}`" in shop("desk", "show", "f1").out
        assert "it is archived already" in shop("desk", "archive", "f1").out
        assert shop("desk", "restore", "--all", "--yes").err == "1 restored\n"
        assert shop("desk", "list", "--json").data[0]["message"] == found["message"]

    def test_discarded(self, shop, failed):
        (found,) = failed("f1")
        said = shop("desk", "discard", "f1", "--reason", "the shop is closed")
        assert (said.code, said.out) == (0, f"{found['id']}  discarded\n")
        (line,) = shop("desk", "log", "--json").data
        assert (line["action"], line["before"]) == ("discard", {"n": 13, "token": MASK})
        assert not ended(shop, "f1")
        assert "the shop is closed" in shop("flows", "show", "f1").out
