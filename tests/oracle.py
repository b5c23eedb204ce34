"""A plain scorer of the static track: the scoring protocol ("released v1"), rule by rule, in the order of its text.

The package scores with one SQL pass over stored counts. This module is what that pass is checked against, so it shares
nothing with it: it imports neither `twinbench` nor `static_track`, goes over the rows in loops, and keeps money in
exact fractions, so that no sum depends on its order and a denominator is zero only if it is zero.

Source of every rule: TwinRouterBench (arXiv 2605.18859), §3.4, §5.1, Tables A5 and A14 to A17, and the behaviour of its
released scorer, as `protocol/static.md` words them. Section names in docstrings are that document's.
"""

import base64
import gzip
import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import tiktoken
import tokenizers

Row = dict[str, Any]
"""One line of a bank: one step of one trajectory, with its label."""

Message = Mapping[str, Any]
"""One OpenAI chat message."""

Predictions = Mapping[str, int | None]
"""The tier chosen for each row id; None is an error, and so is an id that is not there."""

TIERS = ("low", "mid", "mid_high", "high")
LOW, MID, MID_HIGH, HIGH = range(4)

CONSTANTS: Mapping[str, Any] = {
    "tier_rates_usd_per_mtok": {
        "low": {"input": 0.26, "cache_read": 0.13, "cache_write": 0.26, "output": 0.5},
        "mid": {"input": 0.3, "cache_read": 0.059, "cache_write": 0.3, "output": 2.0},
        "mid_high": {"input": 0.5, "cache_read": 0.05, "cache_write": 0.08333, "output": 5.0},
        "high": {"input": 5.0, "cache_read": 0.5, "cache_write": 6.25, "output": 25.0},
    },
    "static_cache_ttl_steps": 3,
    "fallback_output_tokens": 500,
    "tokens_per_message": 4,
    "tokens_priming": 2,
}
"""The numbers of the protocol, under the names of `protocol/constants.json`, which may be passed in their place."""


# --- Bank row -------------------------------------------------------------------------------------------------------


def read_jsonl(path: Path) -> list[Any]:
    """The records of a `.jsonl` or `.jsonl.gz` file; a line ends with LF only ("Bank row")."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    # Not str.splitlines: U+2028 and U+0085 stand raw inside the strings of real banks.
    return [json.loads(line) for line in data.split(b"\n") if line.strip()]


def refuse_bank(rows: Sequence[Row]) -> None:
    """Raise ValueError, naming the row, for a bank that may not be scored ("Bank row")."""
    ids: set[str] = set()
    steps: set[tuple[str, str, int]] = set()
    for row in rows:
        step = (row["benchmark"], row["instance_id"], row["step_index"])
        if row["target_tier"] not in TIERS or TIERS.index(row["target_tier"]) != row["target_tier_id"]:
            raise ValueError(f"row {row['id']!r}: target_tier and target_tier_id disagree")
        if row["id"] in ids:
            raise ValueError(f"row {row['id']!r}: repeated id")
        if step in steps:
            raise ValueError(f"row {row['id']!r}: repeated step_index in its trajectory")
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError(f"row {row['id']!r}: lone surrogate in a text") from None
        ids.add(row["id"])
        steps.add(step)


# --- Predictions ----------------------------------------------------------------------------------------------------


def read_predictions(path: Path) -> dict[str, int | None]:
    """The predictions of a file; a repeated id raises ValueError ("Predictions")."""
    predictions: dict[str, int | None] = {}
    for record in read_jsonl(path):
        if record["id"] in predictions:
            raise ValueError(f"prediction {record['id']!r}: repeated id")
        predictions[record["id"]] = None if "error" in record else record["tier_id"]
    return predictions


def refuse_predictions(rows: Sequence[Row], predictions: Predictions) -> None:
    """Raise ValueError for an id the bank does not know or a tier that does not exist ("Predictions")."""
    ids = {row["id"] for row in rows}
    for row_id, tier in predictions.items():
        if row_id not in ids:
            raise ValueError(f"prediction {row_id!r}: unknown id")
        if tier is not None and tier not in range(len(TIERS)):
            raise ValueError(f"prediction {row_id!r}: no tier {tier}")


# --- Tokens of a message list ---------------------------------------------------------------------------------------

TOKENIZER_SHA256 = {
    "anthropic_tokenizer.json": "c241737df24b4e7f7c9af4fdcee29a0ca903dcb288a8b753bc346a3092911767",
    "9b5ad71b2ce5302211f9c61530b329a4922fc6a4": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
"""The `offline` set as litellm carries it. The second name is the one tiktoken's cache gives to cl100k_base."""

# As in tiktoken_ext.openai_public, whose cl100k_base() would go to the network for the ranks.
CL100K_PATTERN = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"""
    r"""|\s+(?!\S)|\s"""
)


def tokenizer_file(name: str) -> bytes:
    """One of the tokenizer files that the litellm package carries, its sha256 checked."""
    # find_spec finds the package without importing it, which would take seconds and reach for the network.
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the litellm package, which carries the tokenizer files")
    folder = Path(spec.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"
    data = (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != TOKENIZER_SHA256[name]:
        raise ValueError(f"{folder / name} is not the file of the `offline` tokenizer set")
    return data


@cache
def anthropic_tokenizer() -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(tokenizer_file("anthropic_tokenizer.json").decode())


@cache
def cl100k_base() -> tiktoken.Encoding:
    lines = tokenizer_file("9b5ad71b2ce5302211f9c61530b329a4922fc6a4").splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
    # No special tokens: text such as `<|endoftext|>` is ordinary text.
    return tiktoken.Encoding("cl100k_base", pat_str=CL100K_PATTERN, mergeable_ranks=ranks, special_tokens={})


@cache
def high_tokens(text: str) -> int:
    """Tokens of a text on high; the tokenizer's own special tokens are recognised (`<EOT>` is 1)."""
    return len(anthropic_tokenizer().encode(text, add_special_tokens=False).ids)


@cache
def other_tokens(text: str) -> int:
    """Tokens of a text on low, mid and mid_high."""
    return len(cl100k_base().encode_ordinary(text))


def tokens_of_text(text: str, tier: int) -> int:
    return high_tokens(text) if tier == HIGH else other_tokens(text)


def content_parts(content: str | Sequence[Any] | None) -> list[str]:
    """The parts that a message's content gives to its text; null (or absent) content gives none."""
    if content is None:
        return []
    if isinstance(content, str):
        return [content]  # an empty one too
    parts = []
    for block in content:
        if isinstance(block, str):
            parts.append(block)  # an empty one too
            continue
        if block.get("text"):
            parts.append(block["text"])
        parts += anthropic_parts(block)
    return parts


def anthropic_parts(block: Mapping[str, Any]) -> list[str]:
    """What a block of Anthropic's Messages API gives beside its `text`; not in the protocol ("Banks" in our docs)."""
    match block.get("type"):
        case "thinking":
            return [block["thinking"]] if block.get("thinking") else []
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            return name_and_arguments(block.get("name"), block.get("input"))
        case "tool_result" | "mcp_tool_result":
            return content_parts(block.get("content"))
    return []


def call_parts(call: Mapping[str, Any]) -> list[str]:
    """The parts that one tool call gives to its message's text: the function's name, then its arguments."""
    function = call.get("function")
    if function is None:
        function = call  # a call without `function` carries name and arguments itself
    return name_and_arguments(function.get("name"), function.get("arguments"))


def name_and_arguments(name: str | None, arguments: str | Mapping[str, Any] | None) -> list[str]:
    parts = ["" if name is None else name]
    if isinstance(arguments, str):
        if arguments:
            parts.append(arguments)
    elif arguments is not None:
        parts.append(json.dumps(arguments, ensure_ascii=False))  # {} too, keys in file order
    return parts


def text_of_message(message: Message) -> str:
    parts = content_parts(message.get("content"))
    for call in message.get("tool_calls") or []:  # on a message of any role; null and [] are none
        parts += call_parts(call)
    return "\n".join(parts)


def tokens_of_message(message: Message, tier: int, constants: Mapping[str, Any]) -> int:
    return tokens_of_text(text_of_message(message), tier) + int(constants["tokens_per_message"])


def tokens_of_list(messages: Iterable[Message], tier: int, constants: Mapping[str, Any]) -> int:
    return sum(tokens_of_message(m, tier, constants) for m in messages) + int(constants["tokens_priming"])


# --- Semantic prefix ------------------------------------------------------------------------------------------------

COMPARED_KEYS = ("role", "content", "tool_calls", "tool_call_id", "name")


def semantic_key(message: Message) -> dict[str, str]:
    """What prefix comparison sees of a message: its compared keys that are present, each as a text."""
    key = {}
    for name in COMPARED_KEYS:
        if name in message:  # presence counts, even of a null
            value = message[name]
            key[name] = "\n".join(content_parts(value)) if name == "content" else json.dumps(value, sort_keys=True)
    return key


def is_semantic_prefix(shorter: Sequence[Message], longer: Sequence[Message]) -> bool:
    return len(shorter) <= len(longer) and all(
        semantic_key(a) == semantic_key(b) for a, b in zip(shorter, longer, strict=False)
    )


# --- Trajectories ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trajectory:
    """The rows of one (benchmark, instance_id) by step_index, with what was predicted for each.

    "Previous" and "next" row mean the neighbours in `rows`: steps may be missing between them.
    """

    workload: str
    rows: list[Row]
    predicted: list[int | None]
    constants: Mapping[str, Any]

    @cached_property
    def targets(self) -> list[int]:
        return [row["target_tier_id"] for row in self.rows]

    @cached_property
    def errors(self) -> list[bool]:
        return [tier is None for tier in self.predicted]

    @cached_property
    def row_passes(self) -> list[bool]:
        """Whether each row's prediction reaches its target; an error never does."""
        return [tier is not None and tier >= target for tier, target in zip(self.predicted, self.targets, strict=True)]

    @cached_property
    def row_exact(self) -> list[bool]:
        return [tier == target for tier, target in zip(self.predicted, self.targets, strict=True)]

    @property
    def passes(self) -> bool:
        return all(self.row_passes)

    @cached_property
    def extends_previous(self) -> list[bool]:
        """Whether each row has a previous row whose messages are a semantic prefix of its own."""
        messages = [row["messages"] for row in self.rows]
        return [i > 0 and is_semantic_prefix(messages[i - 1], messages[i]) for i in range(len(messages))]

    @cached_property
    def output_tokens(self) -> list[int]:
        """Output tokens of each row, the same on all paths, errors or not ("Cost of one row on one path")."""
        counts = []
        for row, following in zip(self.rows, self.rows[1:], strict=False):
            # The next row repeats this row's messages; what comes after them is what this step produced. Its
            # tokenizer is the target tier's, whatever the path, and the list's priming tokens are left out.
            new = following["messages"][len(row["messages"]) :]
            answers = [message for message in new if message.get("role") == "assistant"]
            counts.append(sum(tokens_of_message(m, row["target_tier_id"], self.constants) for m in answers))
        positive = [count for count in counts if count > 0]
        last = sum(positive) // len(positive) if positive else int(self.constants["fallback_output_tokens"])
        return [*counts, last]

    def prompt_tokens(self, i: int, tier: int) -> int:
        return tokens_of_list(self.rows[i]["messages"], tier, self.constants)

    def row_cost(self, i: int, tier: int, *, hit: bool) -> Fraction:
        """USD of row i on a tier, its prompt cached up to the previous row or cold ("Cost of one row on one path")."""
        total = self.prompt_tokens(i, tier)
        prompt_input = 0  # prompt caching is always on
        cache_read = self.prompt_tokens(i - 1, tier) if hit else 0
        cache_write = max(total - cache_read, 0)
        return (
            prompt_input * rate(self.constants, tier, "input")
            + cache_read * rate(self.constants, tier, "cache_read")
            + cache_write * rate(self.constants, tier, "cache_write")
            + self.output_tokens[i] * rate(self.constants, tier, "output")
        ) / 10**6

    def path_costs(self, path: Sequence[int | None]) -> list[Fraction]:
        """USD of each row on a path of one tier a row (None: no tier); an error row costs nothing on any path."""
        costs = []
        last_billed: dict[int, int] = {}  # tier -> step_index
        for i, (row, tier) in enumerate(zip(self.rows, path, strict=True)):
            if self.errors[i]:
                costs.append(Fraction(0))
                continue
            assert tier is not None, "a path has a tier on every row that is billed"
            step = row["step_index"]
            expired = tier in last_billed and step - last_billed[tier] > self.constants["static_cache_ttl_steps"]
            # An error row as previous row counts with its tier on the high and target paths, and has none on the
            # predicted path.
            hit = self.extends_previous[i] and path[i - 1] == tier and not expired
            costs.append(self.row_cost(i, tier, hit=hit))
            last_billed[tier] = step
        return costs

    @cached_property
    def high_costs(self) -> list[Fraction]:
        return self.path_costs([HIGH] * len(self.rows))

    @cached_property
    def target_costs(self) -> list[Fraction]:
        return self.path_costs(self.targets)

    @cached_property
    def predicted_costs(self) -> list[Fraction]:
        return self.path_costs(self.predicted)


def rate(constants: Mapping[str, Any], tier: int, kind: str) -> Fraction:
    """USD per million tokens, as the decimal number that is written in the table."""
    return Fraction(str(constants["tier_rates_usd_per_mtok"][TIERS[tier]][kind]))


def trajectories(
    rows: Iterable[Row], predictions: Predictions, constants: Mapping[str, Any] = CONSTANTS
) -> list[Trajectory]:
    """A bank, its rows in any order, as trajectories ("Bank row")."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["benchmark"], row["instance_id"]), []).append(row)
    result = []
    for (workload, _), group in groups.items():
        ordered = sorted(group, key=lambda row: row["step_index"])
        result.append(Trajectory(workload, ordered, [predictions.get(row["id"]) for row in ordered], constants))
    return result


# --- Four metrics and their mean ------------------------------------------------------------------------------------

Sums = tuple[Fraction, Fraction]
"""D and N: what could have been spent or saved, and what was saved; both in USD."""


def percent(part: Fraction | int, whole: Fraction | int) -> Fraction | None:
    return None if whole == 0 else 100 * Fraction(part) / whole


def mean(values: Sequence[Fraction | None]) -> Fraction | None:
    """The mean; undefined if any part is."""
    defined = [value for value in values if value is not None]
    return sum(defined, Fraction(0)) / len(values) if len(defined) == len(values) else None


def headline_d(trajectory: Trajectory) -> Fraction:
    return sum(trajectory.high_costs, Fraction(0))


def headline_n(trajectory: Trajectory) -> Fraction:
    """What a passing trajectory saves against high, or what a failing one costs, to be retried on high."""
    if trajectory.passes:
        return headline_d(trajectory) - sum(trajectory.predicted_costs, Fraction(0))
    return -sum(trajectory.predicted_costs, Fraction(0))


def headline(trajectory: Trajectory) -> Sums:
    return headline_d(trajectory), headline_n(trajectory)


def by_workload(all_trajectories: Iterable[Trajectory]) -> dict[str, list[Trajectory]]:
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in all_trajectories:
        groups.setdefault(trajectory.workload, []).append(trajectory)
    return groups


def sum_up(sums: Iterable[Sums]) -> Sums:
    d, n = Fraction(0), Fraction(0)
    for d_part, n_part in sums:
        d, n = d + d_part, n + n_part
    return d, n


def count_rows(group: Iterable[Trajectory]) -> int:
    return sum(len(trajectory.rows) for trajectory in group)


def cost_save(all_trajectories: list[Trajectory], rule: Callable[[Trajectory], Sums] = headline) -> Fraction | None:
    """Σ_b w_b · 100·N_b/D_b; a workload without D contributes nothing but keeps its weight."""
    rows = count_rows(all_trajectories)
    parts = []
    for group in by_workload(all_trajectories).values():
        d, n = sum_up(map(rule, group))
        saving = percent(n, d)
        if saving is not None:
            parts.append(Fraction(count_rows(group), rows) * saving)
    return sum(parts, Fraction(0)) if parts else None


def headline_scores(all_trajectories: list[Trajectory]) -> dict[str, Fraction | None]:
    """The four metrics, in percent, and their mean."""
    rows = count_rows(all_trajectories)
    row_pass = percent(sum(sum(t.row_passes) for t in all_trajectories), rows)
    row_exact = percent(sum(sum(t.row_exact) for t in all_trajectories), rows)
    traj_pass = percent(count_rows(t for t in all_trajectories if t.passes), rows)  # row-weighted
    saving = cost_save(all_trajectories)
    return {
        "row_pass": row_pass,
        "row_exact": row_exact,
        "traj_pass": traj_pass,
        "cost_save": saving,
        "combined": mean([row_pass, row_exact, traj_pass, saving]),
    }


# --- Further outputs ------------------------------------------------------------------------------------------------


def pairs(group: Iterable[Trajectory]) -> list[tuple[int, int | None]]:
    """(target, predicted) of every row."""
    return [pair for trajectory in group for pair in zip(trajectory.targets, trajectory.predicted, strict=True)]


def high_tier_hit_rate(group: Iterable[Trajectory]) -> Fraction | None:
    """Table A15: the percentage of rows with target high that are predicted high; errors stay in the denominator."""
    predicted = [tier for target, tier in pairs(group) if target == HIGH]
    return percent(predicted.count(HIGH), len(predicted))


def workload_blocks(all_trajectories: list[Trajectory]) -> dict[str, dict[str, Any]]:
    rows = count_rows(all_trajectories)
    blocks = {}
    for workload, group in by_workload(all_trajectories).items():
        d, n = sum_up(map(headline, group))
        blocks[workload] = {
            "rows": count_rows(group),
            "trajectories": len(group),
            "failed_trajectories": sum(not t.passes for t in group),
            "d_usd": d,
            "n_usd": n,
            "cost_save": percent(n, d),
            "weight": Fraction(count_rows(group), rows),
            "high_tier_hit_rate": high_tier_hit_rate(group),
        }
    return blocks


def confusion(all_trajectories: Iterable[Trajectory]) -> list[list[int]]:
    """Counts of rows, target × (the four tiers, error)."""
    found = pairs(all_trajectories)
    return [[found.count((target, tier)) for tier in (LOW, MID, MID_HIGH, HIGH, None)] for target in range(4)]


def pattern_of_row(target: int, tier: int | None) -> str:
    """The first pattern that applies (Table A14)."""
    if tier is None:
        return "error"
    if tier < target:
        return "below_target"
    if tier == target:
        return "exact"
    if tier == target + 1:
        return "up_one"  # mid_high -> high too
    if tier == HIGH:
        return "jump_to_high"
    return "other"


def error_pattern(all_trajectories: Iterable[Trajectory]) -> dict[str, int]:
    """Counts of patterns over the rows with target below high (Table A14)."""
    found = [pattern_of_row(target, tier) for target, tier in pairs(all_trajectories) if target < HIGH]
    names = ("exact", "up_one", "jump_to_high", "other", "below_target", "error")
    return {name: found.count(name) for name in names}


def ablation_a(trajectory: Trajectory) -> Sums:
    """Passing rows with target ≠ high: what the labels would save of them, and what was saved."""
    chosen = [i for i, ok in enumerate(trajectory.row_passes) if ok and trajectory.targets[i] != HIGH]
    return (
        sum((trajectory.high_costs[i] - trajectory.target_costs[i] for i in chosen), Fraction(0)),
        sum((trajectory.high_costs[i] - trajectory.predicted_costs[i] for i in chosen), Fraction(0)),
    )


def ablation_b(trajectory: Trajectory) -> Sums:
    """D is what the labels would save over all rows, N the headline's."""
    return headline_d(trajectory) - sum(trajectory.target_costs, Fraction(0)), headline_n(trajectory)


def ablation_c(trajectory: Trajectory) -> Sums:
    """B with the rows of target = high left out of D only."""
    chosen = [i for i, target in enumerate(trajectory.targets) if target != HIGH]
    d = sum((trajectory.high_costs[i] - trajectory.target_costs[i] for i in chosen), Fraction(0))
    return d, headline_n(trajectory)


def ablation_d(trajectory: Trajectory) -> Sums:
    """The headline with rows in the place of trajectories."""
    n = Fraction(0)
    for i, ok in enumerate(trajectory.row_passes):
        n += (trajectory.high_costs[i] if ok else 0) - trajectory.predicted_costs[i]
    return headline_d(trajectory), n


def ablation(all_trajectories: list[Trajectory]) -> dict[str, Fraction | None]:
    """The accounting ablation (Table A17), each variant aggregated over workloads as CostSave."""
    rules = {"A": ablation_a, "B": ablation_b, "C": ablation_c, "D": ablation_d, "E": headline}
    return {name: cost_save(all_trajectories, rule) for name, rule in rules.items()}


# --- Legacy blocks --------------------------------------------------------------------------------------------------


def failed_retry_baseline(group: Iterable[Trajectory]) -> Fraction:
    """Σ cost(high) of failing trajectories."""
    return sum((headline_d(t) for t in group if not t.passes), Fraction(0))


def scores_v2(all_trajectories: list[Trajectory]) -> dict[str, Any]:
    """The headline metrics under their released names."""
    scores = headline_scores(all_trajectories)
    workloads = by_workload(all_trajectories)
    return {
        "case_pass_rate_percent": scores["row_pass"],
        "case_exact_match_percent": scores["row_exact"],
        "trajectory_pass_rate_percent": scores["traj_pass"],
        "cost_savings_score_percent": scores["cost_save"],
        "combined_score_percent": scores["combined"],
        "total_rows": count_rows(all_trajectories),
        "error_rows": sum(sum(t.errors) for t in all_trajectories),
        "case_pass_count": sum(sum(t.row_passes) for t in all_trajectories),
        "case_exact_count": sum(sum(t.row_exact) for t in all_trajectories),
        "total_trajectories": len(all_trajectories),
        "passed_trajectories": sum(t.passes for t in all_trajectories),
        "rows_in_passed_trajectories": count_rows(t for t in all_trajectories if t.passes),
        "by_benchmark": {
            workload: {
                "row_count": block["rows"],
                "step_count": block["rows"] - sum(sum(t.errors) for t in workloads[workload]),
                "failed_trajectory_count": block["failed_trajectories"],
                "failed_retry_baseline_usd": failed_retry_baseline(workloads[workload]),
                "D_usd": block["d_usd"],
                "N_usd": block["n_usd"],
                "cost_savings_score_percent": block["cost_save"],
                "weight_in_global_cost_savings": block["weight"],
            }
            for workload, block in workload_blocks(all_trajectories).items()
        },
    }


def router_accounting(all_trajectories: list[Trajectory]) -> dict[str, Any]:
    """Rates over trajectories; savings over the whole bank, unweighted, against what the labels would save."""
    errors = sum(sum(t.errors) for t in all_trajectories)
    passed = sum(t.passes for t in all_trajectories)
    exact = sum(all(t.row_exact) for t in all_trajectories)
    d, n = sum_up(map(ablation_b, all_trajectories))
    pass_rate = percent(passed, len(all_trajectories))
    exact_rate = percent(exact, len(all_trajectories))
    savings = percent(n, d) if d > 0 else None
    return {
        "total_trajectories": len(all_trajectories),
        "passed_trajectories": passed,
        "exact_match_trajectories": exact,
        "evaluable_step_count": count_rows(all_trajectories) - errors,
        "skipped_step_count": errors,
        "D_usd": d,
        "N_usd": n,
        "pass_rate_percent": pass_rate,
        "exact_match_rate_percent": exact_rate,
        "accounting_savings_score_percent": savings,
        "overall_score_percent": mean([pass_rate, exact_rate, savings]),
    }


def section_11(all_trajectories: list[Trajectory], constants: Mapping[str, Any]) -> dict[str, Any]:
    """Savings at the nominal cost of a row: the output rate × 10^6 tokens, whatever the row holds."""
    nominal = [rate(constants, tier, "output") for tier in range(4)]
    passing = [(target, tier) for target, tier in pairs(all_trajectories) if tier is not None and tier >= target]
    saving = [
        (nominal[HIGH] - nominal[target], nominal[HIGH] - nominal[tier])
        for target, tier in passing
        if nominal[HIGH] > nominal[target]
    ]
    save_gt, save_test = sum_up(saving)
    rows = count_rows(all_trajectories)
    return {
        "pass_rate": Fraction(len(passing), rows) if rows else None,  # a fraction, not percent
        "passed": len(passing),
        "total": rows,
        "cost_savings_score": percent(save_test, save_gt),
        "cost_score_cases_used": len(saving),
        "sum_save_gt_usd": save_gt,
        "sum_save_test_usd": save_test,
        "assumed_completion_tokens_per_routing_step": 10**6,
        "baseline_tier": TIERS[HIGH],
        "baseline_nominal_cost_per_step_usd": nominal[HIGH],
        "cost_formula": "save_gt = baseline.cost - optimal_path.cost per §11.2 (nominal USD)",
    }


# --- References that stand beside every router ----------------------------------------------------------------------


def always(rows: Iterable[Row], tier: int) -> dict[str, int]:
    return {row["id"]: tier for row in rows}


def labels(rows: Iterable[Row]) -> dict[str, int]:
    return {row["id"]: row["target_tier_id"] for row in rows}


def cheapest_path(trajectory: Trajectory) -> tuple[int, ...]:
    """The cheapest tiers with pred ≥ target on every row; of equally cheap ones the lower tiers.

    Exact with the previous row's tier as its only state: without errors the previous row is the last one billed on
    its tier whenever a hit is possible at all, so the cache is expired exactly if the two lie too far apart.
    """
    steps = [row["step_index"] for row in trajectory.rows]
    # Tier of the row before -> cost and tiers up to it. The first row has none before it.
    best: dict[int | None, tuple[Fraction, tuple[int, ...]]] = {None: (Fraction(0), ())}
    for i, target in enumerate(trajectory.targets):
        reusable = (
            trajectory.extends_previous[i] and steps[i] - steps[i - 1] <= trajectory.constants["static_cache_ttl_steps"]
        )
        options: dict[int | None, tuple[Fraction, tuple[int, ...]]] = {}
        for tier in range(target, len(TIERS)):
            cold = trajectory.row_cost(i, tier, hit=False)
            warm = trajectory.row_cost(i, tier, hit=True) if reusable else cold
            options[tier] = min(
                (cost + (warm if before == tier else cold), (*path, tier)) for before, (cost, path) in best.items()
            )
        best = options
    return min(best.values())[1]


def cost_optimal(rows: Sequence[Row], constants: Mapping[str, Any] = CONSTANTS) -> dict[str, int]:
    """The cheapest assignment with pred ≥ target on every row. It sees labels: a bound, not a router."""
    result: dict[str, int] = {}
    for trajectory in trajectories(rows, labels(rows), constants):
        for row, tier in zip(trajectory.rows, cheapest_path(trajectory), strict=True):
            result[row["id"]] = tier
    return result


def references(rows: Sequence[Row], constants: Mapping[str, Any] = CONSTANTS) -> dict[str, dict[str, int]]:
    """Predictions of the references by name; random is left to who has a seed."""
    return {
        **{f"always-{name}": always(rows, tier) for tier, name in enumerate(TIERS)},
        "labels": labels(rows),
        "cost-optimal": cost_optimal(rows, constants),
    }


# --- The whole ------------------------------------------------------------------------------------------------------


def as_json(value: Any) -> Any:
    """Exact fractions as floats; undefined stays None, never a number."""
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, list) else value


def score(rows: Sequence[Row], predictions: Predictions, constants: Mapping[str, Any] = CONSTANTS) -> dict[str, Any]:
    """Everything the static track says about one router on one bank.

    Args:
        rows: The bank, in any order.
        predictions: Tier id by row id; None or a missing id is an error row.
        constants: Rates and token constants under the names of `protocol/constants.json`.

    Returns:
        `scores`, `counts`, `by_workload`, `confusion`, `error_pattern`, `ablation` and the legacy blocks `scores_v2`,
        `router_accounting` and `section_11`; metrics in percent, money in USD, None where undefined.

    Raises:
        ValueError: The bank or the predictions are such as the protocol refuses.
    """
    refuse_bank(rows)
    refuse_predictions(rows, predictions)
    all_trajectories = trajectories(rows, predictions, constants)
    result = {
        "scores": headline_scores(all_trajectories),
        "counts": {
            "rows": len(rows),
            "errors": sum(sum(t.errors) for t in all_trajectories),
            "trajectories": len(all_trajectories),
            "passed_trajectories": sum(t.passes for t in all_trajectories),
        },
        "by_workload": workload_blocks(all_trajectories),
        "confusion": confusion(all_trajectories),
        "error_pattern": error_pattern(all_trajectories),
        "ablation": ablation(all_trajectories),
        "cost_usd": sum((sum(each.predicted_costs, Fraction(0)) for each in all_trajectories), Fraction(0)),
        "scores_v2": scores_v2(all_trajectories),
        "router_accounting": router_accounting(all_trajectories),
        "section_11": section_11(all_trajectories, constants),
    }
    converted: dict[str, Any] = as_json(result)
    return converted
