"""What a simulated model does next: explores, edits, tests, repairs, runs in circles or submits too early.

It decides by its declared skill, by what the request shows, and by draws that depend on nothing else: asked the same
again, it does the same again. It never knows how a case will be graded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dynamic_track import harness
from dynamic_track.rehearsal.conversation import PATCH_FILE, Seen, check_command, edit_command, text_of, turns_of
from dynamic_track.rehearsal.edits import Edit, EditKind, TaskEdits, edits_of, has_edits
from dynamic_track.rehearsal.skills import Difficulty, Skill
from dynamic_track.running.agent import SUBMISSION
from dynamic_track.tasks.task import Task
from twinbench.errors import ContentError, Problem

LIST_COMMAND = "git ls-files"
SUBMIT_COMMAND = f"echo {SUBMISSION} && cat {PATCH_FILE}"

_SKIMMED_LINES = 25
_MOST_EDITS = 6
"""After as many it submits what it has."""
_CLUE_WEIGHT = 0.4
_DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")

Draw = Callable[[str], float]
"""A number in [0, 1) for a purpose; the same for the same model, seed and conversation."""


@dataclass(frozen=True)
class Known:
    """A task as simulated models know it."""

    id: str
    statement: str
    difficulty: Difficulty
    edits: TaskEdits


@dataclass(frozen=True)
class Said:
    """An answer: what it says, and the commands that it runs; none where it slips."""

    thought: str
    commands: tuple[str, ...] = ()


def known(tasks: Sequence[Task], all_of: Sequence[Task] = ()) -> tuple[Known, ...]:
    """Tasks with what they declare for simulated models.

    Args:
        tasks: that are worked on.
        all_of: the set that they are from. Those of it that declare edits are known too, so that models are the same
            whichever tasks are chosen, and a rehearsal can be widened.

    Raises:
        ContentError: a task declares no edits or no difficulty, or something is wrong with them.
    """
    chosen = {task.id for task in tasks}
    wanted = [task for task in all_of or tasks if task.id in chosen or has_edits(task)]
    return tuple(Known(task.id, task.problem_statement.strip(), difficulty_of(task), edits_of(task)) for task in wanted)


def known_task(tasks: Sequence[Known], messages: Sequence[Mapping[str, Any]]) -> Known | None:
    """The task that a conversation is about, by the problem that its first user message states."""
    first = next((text_of(message) for message in messages if message.get("role") == "user"), "")
    return next((task for task in tasks if task.statement in first), None)


def drawing(*parts: str) -> Draw:
    """Draws from what they depend on."""
    base = "\0".join(parts)

    def draw(purpose: str) -> float:
        digest = hashlib.sha256(f"{base}\0{purpose}".encode()).digest()
        return int.from_bytes(digest[:7]) / 2**56

    return draw


def next_said(task: Known, skill: Skill, messages: Sequence[Mapping[str, Any]], draw: Draw, *, several: bool) -> Said:
    """What a simulated model answers.

    Args:
        task: that the conversation is about.
        skill: the model's.
        messages: the conversation.
        draw: its luck.
        several: whether an answer may hold more than one command.
    """
    seen = Seen(task.edits, tuple(turns_of(messages)))
    if draw("slips") < skill.slips:
        return Said("I think I know where this goes wrong. Let me explain it first, and then look at the code.")
    said = _Worker(task, skill, seen, draw).said()
    return said if several else replace(said, commands=said.commands[:1])


@dataclass(frozen=True)
class _Worker:
    """One answer in the making."""

    task: Known
    skill: Skill
    seen: Seen
    draw: Draw

    def said(self) -> Said:
        seen, skill = self.seen, self.skill
        if not seen.turns:
            return Said("Let me see what there is.", (LIST_COMMAND,))
        if self.draw("circles") < skill.circles and (again := self._again()):
            return Said("Let me look at this once more, to be sure.", (again,))
        if seen.current is None:
            return self._towards_an_edit()
        if (change := self._change_of_mind(seen.current)) is not None:
            return change
        if seen.patch_written:
            return Said("The patch holds what I want to submit.", (SUBMIT_COMMAND,))
        if not seen.checks and self.draw("tests") < skill.tests:
            return Said("Now the tests, and the example of the issue.", (check_command(self.task.edits),))
        return self._patch(seen.current.files)

    def _towards_an_edit(self) -> Said:
        seen, skill = self.seen, self.skill
        if seen.patch_written:
            return Said("I could not find more to do.", (SUBMIT_COMMAND,))
        if self.draw("gives up") < skill.gives_up or len(seen.tried) >= _MOST_EDITS:
            return self._patch(())
        if not seen.files:
            return Said("First the files of the project.", (LIST_COMMAND,))
        right = self.task.edits.of_kind(EditKind.right)
        has_read = any(map(seen.can_make, right)) if right else any(map(seen.can_make, self.task.edits.edits))
        if not has_read:
            return self._open()
        if not seen.reproduced and self.draw("reproduces") < skill.reproduces:
            return Said("Before I change anything: the example of the issue.", (self.task.edits.symptom.strip(),))
        return self._edit(None) or self._open()

    def _change_of_mind(self, current: Edit) -> Said | None:
        """Another edit instead of the one that stands there, where the model comes to think that it is needed."""
        seen, skill = self.seen, self.skill
        if len(seen.tried) >= _MOST_EDITS:
            return None
        failing = bool(seen.checks) and seen.checks[-1].failed
        if failing and not seen.patch_written:
            if self.draw("repairs") < skill.repairs:
                return self._edit(current)
            return None
        if not seen.checks and not seen.patch_written:
            return None
        if current.kind is not EditKind.right:
            if self.draw("doubts") < skill.doubts.of(self.task.difficulty):
                return self._edit(current)
        elif self.draw("spoils") < skill.spoils:
            return self._edit(current)
        return None

    def _edit(self, current: Edit | None) -> Said | None:
        """An edit of those whose code it has read, in place of the one that stands there; None without any."""
        possible = [edit for edit in self.task.edits.edits if self.seen.can_make(edit) and edit != current]
        right = [edit for edit in possible if edit.kind is EditKind.right]
        misses = [edit for edit in possible if edit.kind is not EditKind.right]
        chance = self.skill.solves.of(self.task.edits.subject, self.task.difficulty)
        chance = 1 - (1 - chance) ** (1 + _CLUE_WEIGHT * self.seen.clues)
        if right and self.draw("solves") < chance:
            chosen = right[int(self.draw("which right") * len(right))]
        elif misses:
            chosen = self._missed(misses)
        else:
            return None
        undo = "" if current is None else f"git checkout -- {' '.join(current.files)}\n"
        thought = chosen.says if current is None else f"That was not it; I take it back. {chosen.says}"
        return Said(thought, (undo + edit_command(chosen),))

    def _missed(self, misses: Sequence[Edit]) -> Edit:
        fresh = [edit for edit in misses if edit not in self.seen.tried] or list(misses)
        weights = [self.skill.weight(edit.kind) for edit in fresh]
        at = self.draw("which miss") * sum(weights)
        for edit, weight in zip(fresh, weights, strict=True):
            at -= weight
            if at < 0:
                return edit
        return fresh[-1]

    def _open(self) -> Said:
        """Files that it has not read, rather those where the fault is."""
        seen, skill = self.seen, self.skill
        faulty = [file for file in self.task.edits.faulty_files if not seen.opened(file)]
        others = [file for file in seen.files if not seen.opened(file) and file not in faulty]
        chosen: list[str] = []
        for number in range(skill.opens_at_once):
            found = self.draw(f"finds {number}") < skill.finds
            source = (faulty or others) if found else (others or faulty)
            if source:
                chosen.append(source.pop(int(self.draw(f"which file {number}") * len(source))))
        if not chosen:
            return self._patch(())
        if self.draw("skims") < skill.skims:
            return Said(f"A look at {chosen[0]}.", (f"head -n {_SKIMMED_LINES} {chosen[0]}",))
        return Said(f"Let me read {', '.join(chosen)}.", tuple(f"cat {file}" for file in chosen))

    def _again(self) -> str | None:
        """A command that it ran before and that changes nothing."""
        harmless = [
            turn.command for turn in self.seen.turns if turn.command.startswith(("cat ", "head ", LIST_COMMAND))
        ]
        return harmless[int(self.draw("which again") * len(harmless))] if harmless else None

    def _patch(self, files: Sequence[str]) -> Said:
        paths = f" -- {' '.join(files)}" if files else ""
        return Said("This is what I have; now the patch.", (f"git diff{paths} > {PATCH_FILE} && cat {PATCH_FILE}",))


def difficulty_of(task: Task) -> Difficulty:
    """How difficult a task says that it is.

    Raises:
        ContentError: it does not say it in a word that simulated models know.
    """
    found = None if task.folder is None else harness.load_yaml(task.folder / "task.yaml").get("difficulty")
    for difficulty in _DIFFICULTIES:
        if found == difficulty:
            return difficulty
    what = f"is {found!r}; simulated models know {', '.join(_DIFFICULTIES)}"
    raise ContentError([Problem(str(task.folder or task.id), None, "difficulty", what)])
