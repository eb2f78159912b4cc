"""`hybrid status`, `topology`, `explain`, `doctor`: commands that only look."""

import json


class TestStatus:
    def test_what_runs_is_healthy(self, hybrid):
        hybrid("send", "go", "n=1", "--wait")
        said = hybrid("status", "--check")
        assert (said.code, said.out) == (0, "consuming\n")
        facts = hybrid("status", "--json").data
        assert facts["healthy"]
        assert facts["balanced"]
        assert {group["name"]: group["consumers"] for group in facts["groups"] if group["name"]} == {
            "front": 1,
            "boss": 1,
            "worker": 1,
            "listener": 1,
        }
        assert facts["flows"]["completed"] >= 1

    def test_without_a_worker_it_is_not(self, anywhere, still):
        hybrid = anywhere.at(still)
        said = hybrid("status", "--check")
        assert said.code == 1
        assert said.out == "nobody consumes: no worker lives (`hybrid run` starts one)\n"
        assert hybrid("status").code == 0

    def test_a_component_that_nobody_runs_is_named(self, anywhere, still):
        with still.running("front", "boss"):
            said = anywhere.at(still)("status", "--check")
        assert said.code == 1
        assert said.out.splitlines() == [
            "worker: nobody consumes (no living worker has it)",
            "listener: nobody consumes (no living worker has it)",
        ]

    def test_looking_creates_nothing(self, anywhere, still, raw):
        anywhere.at(still)("status")
        assert raw.keys(f"{{{still.name}.*") == []

    def test_the_ledger_is_there(self, anywhere, still):
        hybrid = anywhere.at(still)
        for n in range(3):
            hybrid("send", "ping", f"n={n}")
        said = hybrid("status")
        (line,) = [
            line for line in said.out.splitlines() if line.startswith("front") and "mediator" not in line
        ]
        assert line.split() == ["front", "3", "0", "0", "0", "0", "3", *["0"] * 7]
        assert "ledger: balanced" in said.out

    def test_books_that_do_not_balance_are_an_alarm(self, anywhere, still, raw):
        hybrid = anywhere.at(still)
        hybrid("send", "ping", "n=1")
        raw.delete(f"{{{still.name}.main.0}}:event:front")
        said = hybrid("status", "--check")
        assert said.code == 1
        assert "front: the ledger does not balance, 1 entered and are nowhere" in said.out

    def test_commands_without_a_processor_are_a_problem(self, hybrid):
        hybrid("send", "go", "n=1", "note=lost", "--wait", "--timeout", "0.1")
        assert "no processor handles: command:lost" in hybrid("status").err

    def test_a_worker_of_another_shape_is_refused(self, hybrid, monkeypatch):
        hybrid("send", "ping", "n=1")
        monkeypatch.setenv("HYBRID_SHARDS", "3")
        said = hybrid("status")
        assert said.code == 2
        assert "Set HYBRID_SHARDS=1" in said.err


class TestTopology:
    def test_the_tree(self, hybrid):
        text = hybrid("topology").out
        for part in (
            "go → front, rule by_habit",
            "hard → boss",
            "work → worker",
            "broadcasts worked → listener",
            "ends with no, ended",
            "touch → worker",
            "worked → listener",
            "commands that nobody handles: lost",
        ):
            assert part in text

    def test_json(self, hybrid):
        wires = hybrid("topology", "--json").data
        assert wires["unhandled"] == ["lost"]
        assert wires["flows"][0]["commands"] == ["lost", "work"]
        assert {(h["processor"], h["message"], h["command"]) for h in wires["handlers"]} == {
            ("worker", "work", True),
            ("worker", "touch", True),
            ("listener", "worked", False),
        }

    def test_mermaid(self, hybrid):
        lines = hybrid("topology", "--mermaid").out.splitlines()
        assert lines[0] == "flowchart LR"
        assert "  n_boss -- work --> n_worker" in lines
        assert "  n_worker -. worked .-> n_listener" in lines


class TestExplain:
    def test_an_event(self, hybrid):
        text = hybrid("explain", "go", "n=1", "token=q58w17z").out
        assert "by_habit gives hard: it always was" in text
        assert "hard → boss (flow go, version 1)" in text
        assert "work → worker" in text
        assert "q58w17z" not in text

    def test_it_sends_nothing(self, anywhere, still, raw):
        anywhere.at(still)("explain", "go", "n=1")
        assert raw.keys(f"{{{still.name}.*") == []

    def test_a_class_of_events(self, hybrid):
        facts = hybrid("explain", "Go", "--json").data
        assert facts["event_class"] == ""
        assert [path["event_class"] for path in facts["paths"]] == ["hard"]

    def test_a_simple_event(self, hybrid):
        facts = hybrid("explain", "ping", "--data", '{"n": 3}', "--json").data
        assert facts["event_class"] == "simple"
        assert facts["paths"][0]["first"] == [{"message": "touch", "to": ["worker"], "data": {"n": 3}}]

    def test_what_is_wrong(self, hybrid):
        for words in (["gone"], ["work"], ["go", "n=x"], ["go", "--data", "{"]):
            said = hybrid("explain", *words)
            assert said.code == 2
            assert said.err.startswith("error: ")


class TestDoctor:
    def test_a_good_server(self, hybrid):
        said = hybrid("doctor", "--json")
        assert said.code == 0
        states = {finding["what"]: finding["state"] for finding in said.data}
        assert states.keys() >= {"server", "persistence", "eviction", "scripts", "store", "data directory"}
        assert "wrong" not in states.values()

    def test_a_server_that_is_set_wrong(self, hybrid, raw):
        raw.config_set("appendonly", "no")
        raw.config_set("maxmemory-policy", "allkeys-lru")
        try:
            said = hybrid("doctor", "--json")
        finally:
            raw.config_set("appendonly", "yes")
            raw.config_set("maxmemory-policy", "noeviction")
        assert said.code == 1
        wrong = {finding["what"]: finding["advice"] for finding in said.data if finding["state"] == "wrong"}
        assert wrong.keys() == {"persistence", "eviction"}
        assert "CONFIG SET appendonly yes" in wrong["persistence"]

    def test_no_server(self, anywhere, still):
        said = anywhere.at(still)("doctor", "--redis-url", "redis://u:sekret@127.0.0.1:1")
        assert said.code == 1
        assert "no connection" in said.out
        assert "sekret" not in said.out

    def test_no_application(self, anywhere):
        said = anywhere("doctor", "--app", "nope", "--json")
        assert said.code == 1
        assert json.loads(said.out)[-1]["what"] == "application"
