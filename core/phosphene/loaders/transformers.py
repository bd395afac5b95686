"""``hf:NAME``: image models of transformers, from the Hugging Face hub, a folder, or a model type."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from phosphene.errors import CorruptWeights, InvalidParameter, PhospheneError, nearest
from phosphene.loaders.assignment import misfit
from phosphene.loaders.download import from_hub_with
from phosphene.loaders.packages import importing
from phosphene.loaders.preprocessing import settings_of
from phosphene.loaders.request import RANDOM, Loaded, Request, calling, seeded
from phosphene.loaders.weight_files import read_torch

__all__ = ["load"]

FIX = "Check that it is a file of this architecture. For other outputs pass classes=[...]."


def load(request: Request) -> Loaded:
    """Load an image model of transformers: a classification or segmentation model, or an encoder without a head.

    The class is the one that the configuration names, if it takes only images and has a head with logits. Otherwise it is the
    architecture without a head; for a pair of an image and a text encoder, the image encoder.

    Raises
    ------
    UnusablePackage
        If transformers is not installed or cannot be imported.
    InvalidParameter
        If the name is neither a folder nor a repository, or the model does not take images.
    MissingWeights
        If a file is not on this machine and cannot be downloaded.
    CorruptWeights
        If a weights file cannot be read or does not fit.
    """
    request.only("torch", "transformers")
    with importing("transformers", "hf"), _quiet():
        configuration, on_machine = _configuration(request)
        kind, configuration, whole = _class(configuration, request.name)
    _state(configuration, request)
    with seeded(request.seed), _quiet(), calling(request.name, request.arguments):
        model, notes = _build(request, kind, configuration, whole)
    found = settings_of(request.name, configuration, local=on_machine)
    settings = {**found.settings, "output": _output(whole), "name": Path(request.name).name, "classes": None}
    if whole:
        names = [str(configuration.id2label[index]) for index in sorted(configuration.id2label)]
        if names != [f"LABEL_{index}" for index in range(len(names))]:
            settings["classes"] = tuple(names)
    if request.weights != RANDOM:
        notes = [*notes, *found.notes]
    return Loaded(model.eval(), settings, notes)


def embedding(returned: Any) -> Any:
    """Return the output of an encoder without a head: its pooled state, or its last hidden state if there is none."""
    pooled = getattr(returned, "pooler_output", None)
    return returned.last_hidden_state if pooled is None else pooled


def _output(whole: bool) -> str | Callable[[Any], Any]:
    return "logits" if whole else embedding


def _configuration(request: Request) -> tuple[Any, bool]:
    """Return the model's configuration, and whether everything else is on this machine."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    name, folder = request.name, Path(request.name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InvalidParameter(
                "name",
                allowed="a folder written by save_pretrained",
                received=f"hf:{name}",
                fix="The folder has no config.json: write it with model.save_pretrained(folder).",
            )
        return _readable(
            name, lambda: AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        ), True
    if request.weights is not None and name in CONFIG_MAPPING_NAMES:
        return AutoConfig.for_model(name), True
    if name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1 or not name:
        raise InvalidParameter(
            "name",
            allowed="a folder written by save_pretrained, OWNER/NAME on the hub, or with weights='random' a model type",
            received=f"hf:{name}",
            fix="There is no such folder: check the path.",
        )
    if "/" not in name:
        kinds = list(CONFIG_MAPPING_NAMES)
        near = nearest(name, kinds)
        hint = f"Did you mean {near}?" if near and name not in kinds else f"weights='random' builds {name!r} untrained."
        if request.weights is not None or name in kinds:
            raise InvalidParameter(
                "name",
                allowed="OWNER/NAME on the hub, or with weights='random' a model type of transformers",
                received=f"hf:{name}",
                fix=hint if near else "If it is meant to be a folder, check the path: there is none of that name.",
            )
    what = f"{name} (config.json" + (", preprocessor_config.json)" if request.weights is not None else ", weights)")
    return _readable(
        name,
        lambda: from_hub_with(
            what, lambda here: AutoConfig.from_pretrained(name, local_files_only=here, trust_remote_code=False)
        ),
    ), False


def _state(configuration: Any, request: Request) -> None:
    """Set the caller's classes and arguments in the configuration."""
    if request.weights is not None and request.classes is not None:
        configuration.id2label = dict(enumerate(request.classes))
        configuration.label2id = {name: index for index, name in configuration.id2label.items()}
    for key, value in request.arguments.items():
        if not hasattr(configuration, key):
            near = nearest(key, configuration.to_dict())
            raise InvalidParameter(
                "arguments",
                allowed=f"attributes of {type(configuration).__name__}",
                received=key,
                fix=f"Did you mean {near}?" if near else "The documentation of transformers lists them.",
            )
        setattr(configuration, key, value)


def _readable(name: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except PhospheneError:
        raise
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidParameter(
            "name",
            allowed="a model whose configuration transformers can read",
            received=f"hf:{name}",
            fix=f"Reading its config.json failed: {reason}",
        ) from error


def _class(configuration: Any, name: str) -> tuple[Any, Any, bool]:
    """Return the class to build, its configuration, and whether it has a head with logits."""
    import transformers
    from transformers.models.auto import modeling_auto as auto

    heads = {
        item
        for table in (
            auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
            auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES,
        )
        for names in table.values()
        for item in ((names,) if isinstance(names, str) else names)
    }
    wanted = list(configuration.architectures or [])
    if not wanted:
        named = auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES.get(configuration.model_type)
        if named is not None and not hasattr(configuration, "vision_config"):
            wanted = [named if isinstance(named, str) else named[0]]
    whole = next((item for item in wanted if item in heads), None)
    chosen = whole
    if chosen is None:
        configuration = getattr(configuration, "vision_config", configuration)
        tower = auto.MODEL_MAPPING_NAMES.get(configuration.model_type)
        chosen = tower if tower is None or isinstance(tower, str) else tower[0]
    kind = getattr(transformers, chosen or "", None)
    if kind is None or getattr(kind, "main_input_name", "") != "pixel_values":
        raise InvalidParameter(
            "name",
            allowed="a model that takes only images",
            received=f"hf:{name}",
            fix=f"It is {(chosen or ', '.join(wanted) or configuration.model_type)!r}: build it yourself, and pass its other "
            "inputs with ph.wrap(model, inputs=...).",
        )
    return kind, configuration, whole is not None


def _build(request: Request, kind: Any, configuration: Any, whole: bool) -> tuple[Any, Sequence[str]]:
    if request.weights == RANDOM:
        return kind._from_config(configuration), ()
    notes: list[str] = []
    settings = {"config": configuration, "output_loading_info": True, "ignore_mismatched_sizes": True}
    folder = Path(request.name).expanduser()
    try:
        if request.file is not None:
            arrays, notes = read_torch(request.file, kind._from_config(configuration).state_dict())
            source = str(request.file)
            model, info = kind.from_pretrained(None, state_dict=arrays, **settings)
        elif folder.is_dir():
            source = str(folder)
            model, info = kind.from_pretrained(folder, local_files_only=True, **settings)
        else:
            source = request.name
            model, info = from_hub_with(
                f"{source} (model.safetensors)",
                lambda here: kind.from_pretrained(source, local_files_only=here, **settings),
            )
    except PhospheneError:
        raise
    except pickle.UnpicklingError as error:
        raise CorruptWeights(
            request.name,
            "contains more than arrays, and reading it would run code from the file; nothing of it was run. If you trust it, "
            "load it yourself and save it again with save_pretrained.",
        ) from error
    except Exception as error:
        # The error of safetensors is not an OSError.
        if not isinstance(error, OSError | RuntimeError) and "safetensors" not in type(error).__module__.lower():
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CorruptWeights(request.name, f"cannot be read ({reason})") from error
    return model, [*notes, *_judge(source, info, strict=whole or request.file is not None, file=request.file)]


def _judge(source: str, info: Mapping[str, Any], *, strict: bool, file: Path | None) -> list[str]:
    """Raise if the loaded weights do not fit; return messages about weights that are missing."""
    missing, other = sorted(info["missing_keys"]), sorted(info["mismatched_keys"])
    unexpected = sorted(info["unexpected_keys"]) if file is not None else []
    if other or unexpected or (missing and strict):
        raise misfit(source, missing, unexpected, other, FIX)
    if missing:
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        return [f"{source} has no weights for {', '.join(missing[:4])}{more}, which are initialised randomly"]
    return []


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from printing progress bars and reports; `load` reports what the user should know."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
