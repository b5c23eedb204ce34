"""Exports of a run: what was written is read back by the formats' own readers, and its numbers are the score's."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.exporting.inspect_logs import to_inspect_log
from dynamic_track.exporting.jsonl import LineContent, json_lines
from dynamic_track.exporting.otel import otlp_lines
from dynamic_track.rehearsal.replies import Reply, server_error
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.results.loading import LoadedRun, load_run
from dynamic_track.running.trial import summarise_trial
from dynamic_track.tasks.task import Task
from tests.cli.commands import Ran, files, twinbench
from tests.dynamic_track.live import EASY, KEY, KEY_VARIABLE, live, rewritten, said, solving, step_of, until
from tests.reports.chromium import chromium
from tests.scripted.server import ScriptedServer
from tests.sharing import made_once
from twinbench.calls.journal import read_journal
from twinbench.calls.lines import TrialRestart
from twinbench.calls.recording import RecordedAttempt, RecordedRouterCall

MEDIUM = "rehearsal__tidecache-41"
BUCKETS = ("input", "cache_read", "cache_write", "output")
HOSTILE = '<script>alert(1)</script> [bold red]x[/] \x1b[31m \x00 \u2028 {{7*7}} "\\" é 😀'
HALF = "half of a pair: \ud83d"
WHOLE = "half of a pair: \ufffd"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task]) -> Path:
    """A rehearsal of two cases, of which one is resolved; a fifth of the attempts fail."""

    def rehearse(folder: Path) -> None:
        words = ("round-robin", "--only", EASY, "--only", MEDIUM, "--faults", "0.2", "--json")
        (done,) = twinbench("rehearse", *words, "--runs", folder / "runs").json["runs"]
        assert (done["resolved"], done["unresolved"]) == (1, 1)

    (plan,) = made_once(tmp_path_factory, "exported", rehearse).rglob("plan.json")
    return plan.parent


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of it to be changed."""
    return shutil.copytree(run, tmp_path / "copy")


@pytest.fixture
def inspect_ai() -> None:
    """Skip what needs the package where it is not installed."""
    pytest.importorskip("inspect_ai", reason="the extra inspect is not installed")


def exported(run: Path, form: str, target: Path | str, *more: str) -> Ran:
    return twinbench("dynamic", "export", run, "--format", form, "-o", target, *more)


def rows(run: Path, what: str, folder: Path) -> list[dict[str, Any]]:
    target = folder / f"{what}.jsonl"
    exported(run, "jsonl", target, "--what", what).succeeded()
    return [json.loads(line) for line in target.read_bytes().split(b"\n")[:-1]]


def score_of(run: Path) -> Any:
    return twinbench("dynamic", "score", run, "--json").json


def total(found: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(sum(row[name] or 0 for row in found))


def failures(run: Path) -> int:
    """How many attempts the journal says have failed."""
    return sum(entry.kind == "settle" and entry.fields["cause"] is not None for entry in read_journal(run / "journal"))


# JSON lines


def test_lines_of_calls_trials_and_attempts_add_up_to_the_score(run: Path, tmp_path: Path) -> None:
    score = score_of(run)
    trials = [trial for trials in score["by_case"].values() for trial in trials]

    calls, cases, attempts = (rows(run, what, tmp_path) for what in ("calls", "trials", "attempts"))

    assert Counter(row["candidate"] for row in calls) == score["models"]
    assert total(calls, "cost_usd") == pytest.approx(score["cost_usd"], rel=1e-12)
    assert total(attempts, "cost_usd") == pytest.approx(score["spend_usd"], rel=1e-12)
    for bucket in BUCKETS:
        assert total(calls, bucket) == total(cases, bucket) == sum(trial["usage"][bucket] for trial in trials)
    assert [{name: row[name] for name in ("cost_usd", "bill_usd", "resolved")} for row in cases] == [
        {name: trial[name] for name in ("cost_usd", "bill_usd", "resolved")} for trial in trials
    ]
    assert sum(not row["answered"] for row in attempts) == failures(run) > 0
    assert all(row["simulated"] is True for row in (*calls, *cases, *attempts))
    assert {row["run"] for row in (*calls, *cases, *attempts)} == {f"{run.parent.name}/{run.name}"}
    assert len(calls) + failures(run) == len(attempts)


def test_standard_output_has_what_a_file_has(run: Path, tmp_path: Path) -> None:
    for form in ("jsonl", "otel"):
        exported(run, form, tmp_path / form).succeeded()
        assert exported(run, form, "-").succeeded().out == (tmp_path / form).read_bytes()


def test_a_summary_says_what_was_written(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "calls.jsonl"

    ran = exported(run, "jsonl", target, "--json").succeeded()

    assert ran.json == {
        "simulated": True,
        "run": str(run),
        "router": "round-robin",
        "fingerprint": score_of(run)["fingerprint"],
        "format": "jsonl",
        "output": str(target),
        "records": len(target.read_text("utf-8").splitlines()),
        "trials": 2,
        "unended": 0,
    }
    assert "a rehearsal" in exported(run, "jsonl", tmp_path / "more").succeeded().err


def test_every_field_and_attribute_is_documented(run: Path, tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "exports.md").read_text("utf-8")
    found = {what: rows(run, what, tmp_path)[0].keys() for what in ("calls", "trials", "attempts")}
    fields = {name for names in found.values() for name in names}
    trials = {f"twinbench.{name}" for name in found["trials"]}
    spans = [json.loads(line) for line in otlp_lines(rough(run))]
    told = {
        attribute["key"]
        for line in spans
        for resource in line["resourceSpans"]
        for holder in (resource["resource"], *resource["scopeSpans"][0]["spans"])
        for attribute in holder["attributes"]
    }

    assert {name for name in fields if f"`{name}`" not in page} == set()
    ours = {name for name in told if not name.startswith(("gen_ai.", "error.", "http."))}
    assert {name for name in ours - trials if f"`{name}`" not in page} == set()


# OpenTelemetry


def spans_of(lines: str, time: str = "virtual") -> list[Any]:
    """The spans, as the official protobuf definitions read them, in a file and as a request: no field is unknown."""
    parsed = pytest.importorskip("google.protobuf.json_format")
    trace = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    found = []
    for line in lines.splitlines():
        (resource,) = parsed.Parse(line, trace.TracesData()).resource_spans
        assert parsed.Parse(line, service.ExportTraceServiceRequest()).resource_spans == [resource]
        (scope,) = resource.scope_spans
        assert attributes(resource.resource)["twinbench.time"] == time
        assert attributes(resource.resource)["twinbench.simulated"] is (time == "virtual")
        found += scope.spans
    return found


def attributes(holder: Any) -> dict[str, Any]:
    found = {}
    for each in holder.attributes:
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, kind)
        found[each.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


def hexadecimal(identity: bytes) -> str:
    """An id as the line had it: OTLP/JSON writes ids as hexadecimals, which protobuf's own JSON reads as base64."""
    return base64.b64encode(identity).decode()


def of_operation(spans: Sequence[Any], name: str) -> list[Any]:
    return [span for span in spans if attributes(span).get("gen_ai.operation.name") == name]


def test_spans_are_a_tree_a_trial_and_their_numbers_the_scores(run: Path, tmp_path: Path) -> None:
    exported(run, "otel", tmp_path / "spans.jsonl").succeeded()
    spans = spans_of((tmp_path / "spans.jsonl").read_text("utf-8"))
    score = score_of(run)

    by_id = {span.span_id: span for span in spans}
    roots = [span for span in spans if not span.parent_span_id]
    assert len(by_id) == len(spans)
    assert len(roots) == len({span.trace_id for span in spans}) == score["cases"]
    assert all(len(hexadecimal(span.trace_id)) == 32 and len(hexadecimal(span.span_id)) == 16 for span in spans)
    for span in spans:
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
        if span.parent_span_id:
            parent = by_id[span.parent_span_id]
            assert parent.trace_id == span.trace_id
            assert parent.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= parent.end_time_unix_nano
    of_roots = [attributes(root) for root in roots]
    assert sum(each["twinbench.bill_usd"] for each in of_roots) == pytest.approx(score["bill_usd"])
    assert Counter(each["twinbench.counts"] for each in of_roots) == {"resolved": 1, "unresolved": 1}
    calls = [attributes(span) for span in of_operation(spans, "chat")]
    assert sum(each["twinbench.cost_usd"] for each in calls) == pytest.approx(score["spend_usd"])
    answered = [each for each in calls if each["twinbench.answered"]]
    assert Counter(each["twinbench.candidate"] for each in answered) == score["models"]
    for each in answered:
        buckets = [each[f"twinbench.{bucket}"] for bucket in BUCKETS]
        assert each["gen_ai.usage.input_tokens"] == sum(buckets[:3])
        assert each["gen_ai.usage.output_tokens"] == buckets[3]
        assert each["gen_ai.response.finish_reasons"]
    wrong = [span for span in spans if span.status.code]
    assert len(wrong) == failures(run)
    assert all(attributes(span)["error.type"] == attributes(span)["twinbench.cause"] for span in wrong)
    decisions = [attributes(span) for span in spans if span.name == "decision"]
    assert len(decisions) == len(answered)
    assert all(each["twinbench.decision_ms"] > 0 for each in decisions)
    observed = sum(entry.kind == "observation" for entry in read_journal(run / "journal"))
    assert len(of_operation(spans, "execute_tool")) == observed > 0


@pytest.fixture(scope="module")
def real_time(tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task]) -> Path:
    """A run whose models a script plays, in text: each second call fails once, the first command takes a while."""
    solved = solving(rehearsal, text=True)

    def answer(asked: ReceivedRequest) -> Reply:
        if step_of(asked) == 2 and asked.turn % 2:
            return server_error()
        return said("sleep 0.3; ls", text=True) if step_of(asked) == 1 else solved(asked)

    run = tmp_path_factory.mktemp("real-time") / "run"
    with pytest.MonkeyPatch.context() as patch, ScriptedServer(answer) as server:
        patch.setenv(KEY_VARIABLE, KEY)
        live(server.api_base, run, "--action-format", "text").succeeded()
    return run


def test_spans_of_a_run_in_real_time_follow_one_another(real_time: Path) -> None:
    spans = spans_of("".join(otlp_lines(load_run(real_time))), "wall")

    order = [span for span in spans if span.name == "decision" or attributes(span).get("gen_ai.operation.name")][1:]
    assert [span.name.split()[0] for span in order] == [
        *("decision", "chat", "execute_tool"),
        *("decision", "chat", "chat", "execute_tool"),
        *("decision", "chat", "execute_tool"),
    ]
    assert [bool(span.status.code) for span in order].count(True) == 1
    assert order[4].status.code
    for before, after in pairwise(order):
        slack = 2_000_000  # the journal's times are whole milliseconds
        assert before.end_time_unix_nano <= after.start_time_unix_nano + slack
    took = (order[2].end_time_unix_nano - order[2].start_time_unix_nano) / 1e9
    assert took == pytest.approx(attributes(order[2])["twinbench.command_s"], abs=0.002)
    assert took > 0.3
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for span in spans)


@pytest.mark.acceptance
def test_a_log_of_a_run_in_real_time_says_nothing_of_a_rehearsal(real_time: Path, inspect_ai: None) -> None:
    log = to_inspect_log(load_run(real_time))

    assert log.tags == ["twinbench"]
    assert log.eval.task == "rehearsal"
    assert log.metadata["simulated"] is False
    assert log.samples is not None
    (sample,) = log.samples
    assert [message.role for message in sample.messages] == ["system", "user", *("assistant", "user") * 2, "assistant"]
    calls = [event for event in sample.events if event.event == "model"]
    assert [call.retries for call in calls] == [None, 1, None]
    assert calls[1].metadata is not None
    assert [attempt["cause"] for attempt in calls[1].metadata["attempts"]] == ["transport", None]
    commands = [event for event in sample.events if event.event == "tool"]
    assert commands[0].completed is not None
    assert (commands[0].completed - commands[0].timestamp).total_seconds() > 0.3
    timestamps = [event.timestamp for event in sample.events if event.event in ("model", "tool", "score")]
    assert timestamps == sorted(timestamps)


def test_no_key_is_in_an_export(real_time: Path, tmp_path: Path) -> None:
    for form in ("jsonl", "otel"):
        assert KEY not in exported(real_time, form, "-").succeeded().text


def test_an_export_made_twice_is_the_same_twice(run: Path) -> None:
    loaded = load_run(run)

    assert list(otlp_lines(loaded)) == list(otlp_lines(load_run(run)))
    assert list(json_lines(loaded)) == list(json_lines(load_run(run)))


# inspect_ai


PANDAS = pytest.mark.filterwarnings("ignore:The inplace keyword")
"""inspect_ai 0.3.285 with pandas 3.1."""


@pytest.mark.slow
@PANDAS
def test_inspects_data_frames_have_the_numbers_of_the_score(run: Path, tmp_path: Path, inspect_ai: None) -> None:
    from inspect_ai.analysis import EventColumn, EventInfo, evals_df, events_df, messages_df, samples_df

    target = tmp_path / "run.eval"
    exported(run, "inspect", target).succeeded()
    score = score_of(run)

    (log,) = evals_df(str(target)).to_dict("records")
    assert log["tags"] == "rehearsal,twinbench"
    assert "simulated" in log["task_name"]
    assert json.loads(log["metadata"])["bill_usd"] == score["bill_usd"]
    assert json.loads(log["metadata"])["simulated"] is True
    for name in ("bill_usd", "cost_usd", "spend_usd", "penalty_usd"):
        assert log[f"score_resolved_{name}"] == pytest.approx(score[name], rel=1e-12)
    assert log["score_headline_value"] == 0.5

    samples = {row["id"]: row for row in samples_df(str(target)).to_dict("records")}
    assert samples.keys() == score["by_case"].keys()
    for name, [trial] in score["by_case"].items():
        row = samples[name]
        assert row["score_resolved"] == ("C" if trial["resolved"] else "I")
        assert row["turn_count"] == trial["steps"]
        assert row["total_tokens"] == sum(trial["usage"].values())
        assert {bucket: row[f"metadata_{bucket}"] for bucket in BUCKETS} == trial["usage"]
        for money in ("cost_usd", "bill_usd", "spend_usd"):
            assert row[f"metadata_{money}"] == trial[money]
        usages = json.loads(row["model_usage"]).values()
        for ours, theirs in zip(BUCKETS, ("", "_cache_read", "_cache_write"), strict=False):
            assert sum(usage[f"input_tokens{theirs}"] for usage in usages) == trial["usage"][ours]
        assert sum(usage["output_tokens"] for usage in usages) == trial["usage"]["output"]
        assert sum(usage["total_cost"] for usage in usages) == pytest.approx(trial["cost_usd"])
    assert not any(row["error"] for row in samples.values())

    columns = [*EventInfo, EventColumn("cost_usd", path="metadata.cost_usd"), EventColumn("model", path="model")]
    columns += [EventColumn("retries", path="retries"), EventColumn("input", path="output.usage.input_tokens")]
    calls = events_df(str(target), columns=columns, filter=lambda event: event.event == "model")
    assert calls["cost_usd"].sum() == pytest.approx(score["cost_usd"])
    assert Counter(calls["model"]) == score["models"]
    assert calls["retries"].sum() == failures(run)
    assert calls["input"].sum() == sum(trial["usage"]["input"] for [trial] in score["by_case"].values())

    roles = Counter(messages_df(str(target))["role"])
    assert roles["system"] == score["cases"]
    assert roles["assistant"] > 0
    assert roles["tool"] > 0


def test_a_log_read_back_has_every_conversation_command_and_decision(
    run: Path, tmp_path: Path, inspect_ai: None
) -> None:
    from inspect_ai.log import read_eval_log

    exported(run, "inspect", tmp_path / "run.eval").succeeded()
    log = read_eval_log(str(tmp_path / "run.eval"), resolve_attachments=True)

    entries = read_journal(run / "journal")
    kinds = Counter(entry.kind for entry in entries)
    assert log.samples is not None
    events = [event for sample in log.samples for event in sample.events]
    assert Counter(event.event for event in events) == {
        "span_begin": kinds["decision"],
        "span_end": kinds["decision"],
        "info": kinds["decision"],
        "model": kinds["decision"],
        "tool": kinds["command"],
        "score": 2,
    }
    commands = [entry.fields["command"] for entry in entries if entry.kind == "command"]
    ran = [event.arguments["command"] for event in events if event.event == "tool"]
    assert Counter(ran) == Counter(commands)
    for sample in log.samples:
        path = run / "cases" / str(sample.id) / str(sample.epoch) / "trajectory.json"
        said = [message for message in json.loads(path.read_text("utf-8"))["messages"] if message["role"] != "exit"]
        assert [(message.role, message.text) for message in sample.messages] == [
            (message["role"], message["content"] or "") for message in said
        ]
        calls = [event for event in sample.events if event.event == "model"]
        assert [len(call.input) for call in calls] == [
            place for place, message in enumerate(said) if "candidate" in (message.get("extra") or {})
        ]
        assert sample.scores is not None
        assert sample.scores["resolved"].answer == (path.parent / "patch.diff").read_text("utf-8")


def infra(line: dict[str, Any]) -> dict[str, Any] | None:
    """One case lost to infrastructure."""
    if line["fields"].get("case") != EASY or line["kind"] not in ("end", "verdict"):
        return line
    if line["kind"] == "verdict":
        return None
    return {**line, "fields": {**line["fields"], "cause": "transport", "detail": "status 503", "patch": ""}}


def test_a_trial_that_infrastructure_ended_has_an_error_and_no_score(
    copy: Path, tmp_path: Path, inspect_ai: None
) -> None:
    from inspect_ai.log import read_eval_log

    rewritten(copy, infra)
    exported(copy, "inspect", tmp_path / "run.eval").succeeded()
    log = read_eval_log(str(tmp_path / "run.eval"))

    assert log.samples is not None
    found = {str(sample.id): sample for sample in log.samples}
    assert found[EASY].scores is None
    error = found[EASY].error
    assert error is not None
    assert error.message.startswith("infra: transport")
    assert "status 503" in error.message
    assert found[MEDIUM].error is None
    assert log.results is not None
    assert (log.results.scores[0].scored_samples, log.results.scores[0].unscored_samples) == (1, 1)
    (root,) = [span for span in spans_of("".join(otlp_lines(load_run(copy)))) if span.status.message == "status 503"]
    assert attributes(root)["error.type"] == "transport"
    assert {row["id"]: row["counts"] for row in rows(copy, "trials", tmp_path)} == {EASY: "infra", MEDIUM: "unresolved"}


def test_without_a_trajectory_the_conversation_is_the_journals(copy: Path, inspect_ai: None) -> None:
    whole = to_inspect_log(load_run(copy)).samples
    (copy / "cases" / EASY / "1" / "trajectory.json").unlink()
    (copy / "cases" / MEDIUM / "1" / "trajectory.json").write_text('{"messages": [{"role": "user"}]}', "utf-8")

    left = to_inspect_log(load_run(copy)).samples

    assert whole is not None
    assert left is not None
    for sample, before in zip(left, whole, strict=True):
        assert sample.metadata["conversation"] == "journal"
        assert before.metadata["conversation"] == "trajectory"
        assert sample.model_usage == before.model_usage
        assert sample.scores == before.scores
        assert sum(message.role == "assistant" for message in sample.messages) == sample.metadata["steps"]


# What others wrote, and what went wrong


def hostile(line: dict[str, Any]) -> dict[str, Any]:
    fields = dict(line["fields"])
    if line["kind"] == "decision":
        fields |= {"rationale": HOSTILE, "score": "nan"}
    if line["kind"] == "command":
        fields["command"] = HALF
    if line["kind"] == "settle" and fields["cause"] is not None:
        fields["detail"] = HOSTILE
    return {**line, "fields": fields}


def test_hostile_text_stays_text(copy: Path, tmp_path: Path) -> None:
    rewritten(copy, hostile)

    assert {row["rationale"] for row in rows(copy, "calls", tmp_path)} == {HOSTILE}
    assert HOSTILE in {row["detail"] for row in rows(copy, "attempts", tmp_path)}
    spans = spans_of("".join(otlp_lines(load_run(copy))))
    assert {attributes(span)["twinbench.rationale"] for span in spans if span.name == "decision"} == {HOSTILE}
    assert HOSTILE in {span.status.message for span in spans}
    tools = of_operation(spans, "execute_tool")
    assert {json.loads(attributes(span)["gen_ai.tool.call.arguments"])["command"] for span in tools} == {WHOLE}
    assert "\x1b" not in exported(copy, "jsonl", tmp_path / "\x1b[31m.jsonl").succeeded().err


def test_hostile_text_stays_text_in_a_log(copy: Path, tmp_path: Path, inspect_ai: None) -> None:
    from inspect_ai.log import read_eval_log

    rewritten(copy, hostile)
    path = copy / "cases" / EASY / "1" / "trajectory.json"
    content = json.loads(path.read_text("utf-8"))
    for message in content["messages"]:
        message["content"] = HOSTILE + HALF
    path.write_text(json.dumps(content), "utf-8")

    exported(copy, "inspect", tmp_path / "run.eval").succeeded()

    log = read_eval_log(str(tmp_path / "run.eval"), resolve_attachments=True)
    assert log.samples is not None
    (sample,) = [sample for sample in log.samples if sample.id == EASY]
    assert {message.text for message in sample.messages} == {HOSTILE + WHOLE}
    assert {event.arguments["command"] for event in sample.events if event.event == "tool"} == {WHOLE}
    decisions = [event.data for event in sample.events if event.event == "info"]
    assert {data["rationale"] for data in decisions if isinstance(data, dict)} == {HOSTILE}


def rough(run: Path) -> LoadedRun:
    """A run in which a trial was begun anew, the router asked an LLM itself, and an attempt was in flight at a kill."""
    loaded = load_run(run)
    recording = loaded.recordings[0]
    first = recording.steps[1]
    own = replace(first, router_calls={1: RecordedRouterCall([replace(first.attempts[0])])})
    (asked,) = first.attempts
    again = RecordedAttempt(asked.reserve.model_copy(update={"attempt": 2}), asked.settle)
    flight = replace(first, attempts=[RecordedAttempt(asked.reserve), again])
    lost = TrialRestart(case=recording.case, trial=1, at=0.0, step=1, what="observation")
    changed = replace(
        recording,
        steps={**recording.steps, 1: own},
        previous_recordings=(replace(recording, steps={1: flight}, end=None, lost=lost),),
    )
    recorded = (changed, *loaded.recordings[1:])
    return replace(loaded, recordings=recorded, trials=tuple(summarise_trial(loaded.pool, each) for each in recorded))


def test_what_was_lost_and_what_the_router_asked_itself_is_in_the_spend(run: Path, inspect_ai: None) -> None:
    loaded = rough(run)
    score = loaded.score

    attempts = [json.loads(line) for line in json_lines(loaded, LineContent.attempts)]
    spans = spans_of("".join(otlp_lines(loaded)))
    calls = [attributes(span) for span in of_operation(spans, "chat")]

    assert score.spend_usd > score.cost_usd > load_run(run).score.cost_usd
    assert total(attempts, "cost_usd") == pytest.approx(float(score.spend_usd))
    assert sum(each["twinbench.cost_usd"] for each in calls) == pytest.approx(float(score.spend_usd))
    assert len({span.span_id for span in spans}) == len(spans)
    assert [row["own"] for row in attempts].count(1) == 1
    assert {row["try"] for row in attempts} == {1, 2}
    assert [span.name for span in spans].count("lost") == 1
    assert "twinbench was ended while it was in flight" in {span.status.message for span in spans}
    log = to_inspect_log(loaded)
    assert log.results is not None
    assert log.results.scores[0].metrics["spend_usd"].value == pytest.approx(float(score.spend_usd))


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nowhere", "-o", "out"], 2, "nowhere is not a run directory"),
        (["{run}", "-o", "out", "--format", "xml"], 2, "xml"),
        (["{run}"], 2, "--output"),
        (["{run}", "-o", "there"], 2, "there exists already: choose another -o"),
        (["{run}", "-o", "folder"], 2, "folder exists already: choose another -o"),
        (["{run}", "-o", "there/out"], 1, "/there/out (Not a directory)"),
        (["{run}", "-o", "missing/out"], 1, "/missing/out (No such file"),
        (["{run}", "-o", "missing/out.eval", "--format", "inspect"], 1, "cannot"),
        (["{run}", "-o", "there/out.eval", "--format", "inspect"], 1, "cannot"),
        (["{run}", "-o", "out.json", "--format", "inspect"], 2, "end in .eval"),
        (["{run}", "-o", "-", "--format", "inspect"], 2, "end in .eval"),
        (["{run}", "-o", "-", "--json"], 2, "add -o FILE"),
        (["{run}", "-o", "out", "--format", "otel", "--what", "trials"], 2, "--what works with --format jsonl"),
        (["{run}", "-o", "/dev/full"], 1, "No space left"),
        (["imported", "-o", "out"], 2, "imported has imported runs"),
        (["begun", "-o", "out"], 1, "no trial of begun has finished"),
    ],
)
def test_what_cannot_be_exported_is_told_and_leaves_nothing(
    words: Sequence[str], code: int, told: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").write_text("kept", "utf-8")
    Path("folder").mkdir()
    for name in ("imported", "begun"):
        shutil.copytree(run, name)
    plan = json.loads(Path("imported/plan.json").read_text("utf-8"))
    plan["identity"]["imported"] = {}
    Path("imported/plan.json").write_text(json.dumps(plan), "utf-8")
    rewritten(Path("begun"), lambda line: None if line["kind"] in ("end", "verdict") else line)
    before = files(tmp_path)

    ran = twinbench("dynamic", "export", *(word.format(run=run) for word in words))

    assert ran.code == code, ran.err
    assert told in ran.err
    assert "Traceback" not in ran.err
    assert files(tmp_path) == before


def test_a_damaged_journal_is_named(copy: Path, tmp_path: Path) -> None:
    path = copy / "journal" / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"cache_read":0', b'"cache_read":1', 1))

    for form in ("jsonl", "otel"):
        ran = exported(copy, form, tmp_path / "out")
        assert (ran.code, "was edited" in ran.err) == (1, True)
    assert not (tmp_path / "out").exists()


def test_a_trial_that_has_not_ended_is_left_out_and_said(copy: Path, tmp_path: Path) -> None:
    gone = ("end", "verdict")
    rewritten(copy, lambda line: None if line["kind"] in gone and line["fields"]["case"] == MEDIUM else line)

    ran = exported(copy, "jsonl", tmp_path / "out").succeeded()

    assert "left out, because they have not finished: 1 trial" in ran.err
    assert {json.loads(line)["case"] for line in (tmp_path / "out").read_text("utf-8").splitlines()} == {EASY}


def test_without_the_extra_the_way_to_it_is_said(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("inspect_ai", "inspect_ai.event", "inspect_ai.log"):
        monkeypatch.setitem(sys.modules, name, None)

    ran = exported(run, "inspect", tmp_path / "run.eval")

    assert ran.code == 1
    assert "pip install 'twinbench[inspect]'" in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.acceptance
def test_inspect_view_shows_a_run(
    run: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, inspect_ai: None
) -> None:
    drives = pytest.importorskip("playwright.sync_api", reason="playwright is of the dev group")
    path = chromium()
    exported(run, "inspect", tmp_path / "run.eval").succeeded()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = ["view", "start", "--log-dir", str(tmp_path), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
    with subprocess.Popen([str(Path(sys.executable).with_name("inspect")), *words], env=environment) as view:
        try:
            until(lambda: answers(port))
            with drives.sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1500, "height": 1000})
                wrong: list[str] = []
                page.on("pageerror", lambda error: wrong.append(str(error)))
                page.goto(f"http://127.0.0.1:{port}/")
                if "run.eval" not in page.url:
                    page.get_by_text("run.eval").first.click()
                page.get_by_text(EASY).first.wait_for(timeout=60_000)
                shots = tmp_path_factory.mktemp("inspect-view")
                page.screenshot(path=shots / "samples.png")
                listed = page.inner_text("body")
                page.get_by_text(EASY).first.click()
                page.get_by_text("step 1", exact=False).first.wait_for(timeout=60_000)
                page.get_by_text("git ls-files").first.wait_for(timeout=60_000)
                page.screenshot(path=shots / "sample.png")
                browser.close()
        finally:
            view.send_signal(signal.SIGTERM)
    print(f"screenshots are in {shots}")
    assert wrong == []
    assert "simulated models" in listed
    assert "BILL_USD" in listed
    assert f"{score_of(run)['bill_usd']:.3f}" in listed


def answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0
