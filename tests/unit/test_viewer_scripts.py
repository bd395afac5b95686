"""The page's program: its modules are tested by node, where there is one, and joined into one script that says the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from phosphene.atlas.viewer.document import FOLDER, join_modules, program
from tools import need

TESTS = sorted((Path(__file__).parents[1] / "viewer").glob("*.test.mjs"))


@pytest.fixture(scope="module")
def node() -> str:
    return need("node")


def test_its_modules(node: str, tmp_path: Path) -> None:
    # Beside them a file says that they are modules; in the package it would be of no use.
    for name in ("core/phosphene/atlas/viewer/js", "tests/viewer"):
        shutil.copytree(Path(__file__).parents[2] / name, tmp_path / name)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    files = [str(path.relative_to(Path(__file__).parents[2])) for path in TESTS]
    done = subprocess.run([node, "--test", *files], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert files and done.returncode == 0, done.stdout + done.stderr


def test_its_types() -> None:
    options = "--noEmit --allowJs --checkJs --strict --target es2022 --module es2022 --moduleResolution bundler".split()
    command = [need("tsc"), *options, "--lib", "es2023,dom,dom.iterable", str(FOLDER / "main.js")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_joined_modules_do_what_they_did_apart(node: str) -> None:
    joined = join_modules(
        {
            "main.js": 'import { double } from "./double.js";\nimport { ONE } from "./one.js";\nconsole.log(double(ONE));\n',
            "one.js": "export const ONE = 1;\n",
            "double.js": 'import { ONE } from "./one.js";\nexport function double(x) { return ONE * 2 * x; }\n',
        }
    )
    assert subprocess.run([node, "-e", joined], capture_output=True, text=True, check=True).stdout == "2\n"


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (
            {
                "a.js": 'import { b } from "./b.js";\nexport const a = b;\n',
                "b.js": 'import { a } from "./a.js";\nexport const b = a;\n',
            },
            "circular imports",
        ),
        ({"a.js": 'import { b } from "./b.js";\n', "b.js": "export const c = 1;\n"}, "does not export b"),
        ({"a.js": 'import { b } from "./b.js";\n'}, "does not export b"),
        ({"a.js": 'import b from "./b.js";\n', "b.js": ""}, "unsupported import or export"),
        ({"a.js": "export default 1;\n"}, "unsupported import or export"),
        ({"a.js": "const a = 1;\nexport { a };\n"}, "unsupported import or export"),
    ],
)
def test_what_cannot_be_joined_is_refused(sources: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        join_modules(sources)


def test_the_program_is_joined_whole(node: str, tmp_path: Path) -> None:
    text = program()
    assert all(f'modules["{path.name}"]' in text for path in FOLDER.glob("*.js"))
    assert "innerHTML" not in text and "</script" not in text.lower() and "eval(" not in text
    (tmp_path / "joined.js").write_text(text)
    subprocess.run([node, "--check", str(tmp_path / "joined.js")], check=True)


def test_modules_are_small() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in FOLDER.glob("*.js")}
    assert {name: length for name, length in lengths.items() if length > 350} == {}
