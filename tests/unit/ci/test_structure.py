from __future__ import annotations

from pathlib import Path

from tests.unit.ci.loading import script

structure = script("structure")


def write(root: Path, **files: str) -> None:
    """Files of the app `a`, each with the modules that it imports from."""
    for name, imported in files.items():
        path = root / "a" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"from {module} import x\n" for module in imported.split()))


def test_a_file_stands_one_floor_above_the_highest_that_it_imports(tmp_path: Path) -> None:
    write(tmp_path, top="a.middle a.low django.db", middle="a.low", low="os")

    app = structure.read(tmp_path, "a")

    assert app.floors == {"a.top": 3, "a.middle": 2, "a.low": 1}
    assert app.arrows == [("a.middle", "a.low"), ("a.top", "a.low"), ("a.top", "a.middle")]
    assert str(app).split() == ["a", "3", "3", "3", "-", "0"]


def test_files_that_import_each_other_are_a_circle_on_one_floor(tmp_path: Path) -> None:
    write(tmp_path, one="a.two", two="a.three", three="a.one a.low", low="", above="a.two")

    app = structure.read(tmp_path, "a")

    assert app.circles == [["a.one", "a.three", "a.two"]]
    assert {app.floors[name] for name in app.circles[0]} == {2}
    assert app.floors["a.above"] == 3


def test_an_import_from_a_lower_layer_goes_upwards(tmp_path: Path) -> None:
    write(
        tmp_path, door__view="a.store.rows", store__rows="a.door.view", store__keys="a.store.rows"
    )

    app = structure.read(tmp_path, "a", ("a.door", "a.store"))

    assert app.upwards == [("a.store.rows", "a.door.view")]


def test_a_module_of_a_package_is_found_by_either_form_of_import(tmp_path: Path) -> None:
    write(tmp_path, store__rows="", store____init__="")
    (tmp_path / "a" / "user.py").write_text("import a.store.rows\nfrom a.store import rows\n")

    app = structure.read(tmp_path, "a")

    assert app.imports["a.user"] == {"a.store.rows"}
    assert "a.store" not in app.rooms


def test_layers_are_read_from_the_contracts(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        """
[[tool.importlinter.contracts]]
type = "layers"
layers = ["a", "b"]
[[tool.importlinter.contracts]]
type = "layers"
containers = ["a"]
layers = ["door | page", "(store)"]
[[tool.importlinter.contracts]]
type = "layers"
layers = ["b.top", "b.low"]
[[tool.importlinter.contracts]]
type = "forbidden"
"""
    )

    assert structure.contracts(tmp_path) == {
        "a": ("a.door", "a.page", "a.store"),
        "b": ("b.top", "b.low"),
    }
