"""The images of tasks: already present, pulled in advance, or built from a task's own Dockerfile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dynamic_track.tasks.task import ANSWER_FILES, Task
from twinbench.causes import CausedError
from twinbench.containers.base_image import BASE_IMAGE, ensure_base_image
from twinbench.containers.building import build_image, context_files, parent_images
from twinbench.containers.engine import Engine, ImageError
from twinbench.display.progress import Progress, no_progress
from twinbench.executing.executor import collect_results
from twinbench.executing.threads import Threads
from twinbench.unexpected import UnexpectedError

_WORKERS = 4


def prepare_images(
    engine: Engine,
    tasks: Sequence[Task],
    *,
    build_them: bool,
    checkpoint: Callable[[], None] = lambda: None,
    progress: Progress = no_progress,
) -> dict[str, CausedError]:
    """Pull or build the images of tasks, as far as possible.

    Args:
        engine: the container engine.
        tasks: the tasks whose images are needed.
        build_them: whether to build images from tasks' Dockerfiles if they are missing or out of date; those of our own
            tasks are always built.
        checkpoint: called before each image; raises if no further image is to be prepared.
        progress: called with the number of images that are done.

    Returns:
        The errors of the images that could not be prepared, by image: ImageError, or UnexpectedError.

    Raises:
        CausedError: the fault is with the engine, not with an image.
    """
    wanted = {task.image: task for task in tasks}
    built = [task for task in wanted.values() if build_them or task.always_built]
    if any(BASE_IMAGE.partition(":")[0] in _parents(task) for task in built):
        ensure_base_image(engine, progress)

    def prepare(task: Task, engine: Engine) -> CausedError | None:
        checkpoint()
        return _prepare(engine, task, build_them or task.always_built, progress)

    def done(number: int) -> None:
        progress("images", number, len(wanted))

    results = collect_results(Threads({engine: _WORKERS}), list(wanted.values()), prepare, on_progress=done)
    return {image: error for image, error in zip(wanted, results, strict=True) if error is not None}


def _prepare(engine: Engine, task: Task, build_it: bool, progress: Progress) -> CausedError | None:
    try:
        if build_it and task.folder is not None and (task.folder / "Dockerfile").is_file():
            dockerfile = (task.folder / "Dockerfile").read_text("utf-8")
            build_image(engine, task.image, dockerfile, context_files(task.folder, ANSWER_FILES), progress)
        elif not engine.has_image(task.image):
            engine.pull(task.image, progress)
    except ImageError as error:
        has_recipe = task.folder is not None and (task.folder / "Dockerfile").is_file()
        hint = "; it can be built from the task's Dockerfile with --build" if has_recipe and not build_it else ""
        return ImageError(f"{error}{hint}")
    except (OSError, UnicodeError) as error:  # a problem of the Dockerfile or of a file in the context
        return ImageError(f"image {task.image} cannot be built from {task.folder}: {error}")
    except CausedError:
        raise
    except Exception as error:  # noqa: BLE001 - the error of one image only affects its tasks
        return UnexpectedError(error)
    return None


def _parents(task: Task) -> list[str]:
    if task.folder is None or not (task.folder / "Dockerfile").is_file():
        return []
    dockerfile = (task.folder / "Dockerfile").read_text("utf-8")
    return [parent.partition(":")[0] for parent in parent_images(dockerfile)]
