"""docs/extending.md, followed to the letter: its examples are taken out of the page and run in a copy."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from data_prep.people.draw import draw
from data_prep.readers.market1501 import SIZE

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/extending.md").read_text()
FILES = dict(re.findall(r"`([\w/]+\.py)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL))
CHAIN, ROW = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
CATALOGUE = """
resnet18: {base: resnet18, file: resnet18.caffemodel, size: 1, sha256: "", how_to_get: ask, origin: drawn,
           licence: free, mean: [103.53, 116.28, 123.675], input: BGR minus the mean, conversion: none}
"""
# Weights with stored statistics under which the drawn convolutions stay of ordinary size.
DRAW = """
import caffe
net = caffe.Net("prototxt/resnet18/vi/deploy.prototxt", caffe.TEST)
for name, blobs in net.params.items():
    drawn = {"bn_conv1": (0, 5000, 1)}.get(name) or {"bn": (0, 1, 1), "sc": (.5, 0)}.get(name[:2], ())
    for blob, value in zip(blobs, drawn):
        blob.data[...] = value
net.save("drawn.caffemodel")
"""
# Commands one after the other, in one Python: its start and its imports take longer than most of them.
ALL = """
import json, runpy, sys
sys.path.insert(0, sys.argv[2])    # a bundle's Python does not look at PYTHONPATH
for name, *arguments in json.loads(sys.argv[1]):
    sys.argv = [name, *arguments]
    try:
        (runpy.run_path if name.endswith(".py") else runpy.run_module)(name, run_name="__main__")
    except SystemExit as end:
        if end.code:
            sys.exit(f"{name} ended with {end.code}")
"""


def test_the_page_shows_one_of_each():
    assert list(FILES) == ["data_prep/readers/msmt17.py", "python/reid/nets/backbones/resnet18.py"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the project with the page's files in it, and generated people in MSMT17's layout."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("data_prep", "python", "weights", "tools", "experiments"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("files", "__pycache__"))
    for name, text in FILES.items():
        (folder / name).write_text(text)
    lists = {"train": [], "val": [], "query": [], "gallery": []}
    for person in range(8):
        for camera in (1, 2, 3):
            part, number = ("train", person) if person < 5 else ("test", person - 5)
            name = f"{number:04d}/{number:04d}_{camera:03d}_{camera:02d}_0303morning_0008_0.jpg"
            (folder / "raw" / part / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / "raw" / part / name), draw(person, camera, size=SIZE))
            role = ("val" if person == 4 else "train") if part == "train" else (
                "query" if camera == 1 else "gallery")
            lists[role].append(f"{name} {number}")
    for role, lines in lists.items():
        (folder / f"raw/list_{role}.txt").write_text("\n".join(lines))
    counts = {role: len(lines) for role, lines in lists.items()}
    (folder / "raw/GENERATED.json").write_text(
        json.dumps({"layout": "msmt17", "identities": 8, "counts": counts}))
    return folder


def test_a_dataset_a_backbone_a_chain_and_a_row_work_as_the_page_says(copy, prepared_viper):
    (copy / "data").mkdir()
    (copy / "data/viper").symlink_to(prepared_viper)
    (copy / "draw.py").write_text(DRAW)
    with open(copy / "weights/catalogue.yaml", "a") as catalogue:
        catalogue.write(CATALOGUE)
    (copy / "chains.yaml").write_text(CHAIN)
    paper = copy / "experiments/paper.yaml"
    entry = "".join(f"    {line}\n" for line in ROW.splitlines())
    paper.write_text(paper.read_text().replace("\n\ntable2:", f"\n{entry}\ntable2:"))
    commands = (
        ("data_prep", "msmt17", "--raw", "raw", "--out", "data/msmt17", "--epochs", "1"),
        ("data_prep.check", "data/msmt17"),
        ("tools/make_prototxt.py",),
        ("draw.py",),
        ("weights.convert", "drawn.caffemodel", "--base", "resnet18", "--out",
         "weights/files/resnet18.caffemodel"),
        ("tools/train_stage.py", "viper", "--chains", "chains.yaml", "--base", "resnet18", "--data", "data",
         "--out", "runs", "--set", "input=32x32", "batch=2", "max_iter=1", "workers=0", "test_every=0"),
        ("tools/report.py", "--runs", "runs", "--out", "report"))
    done = subprocess.run(
        [sys.executable, "-c", ALL, json.dumps(commands), copy / "python"], cwd=copy, capture_output=True,
        text=True, env={**os.environ, "GLOG_minloglevel": "2"})
    assert done.returncode == 0, done.stderr

    manifest = json.loads((copy / "data/msmt17/manifest.json").read_text())
    assert manifest["protocol"] == "market1501" and manifest["identities"][::7] == ["10000", "20002"]
    assert "prototxt/resnet18/vi/train.prototxt" in done.stdout
    result = json.loads((copy / "runs/viper/split00/result.json").read_text())
    assert [step["stage"] for step in result["lineage"] if "stage" in step] == ["msmt17", "viper"]
    assert result["settings"]["lr"] == 0.0005
    lines = (copy / "report/table.txt").read_text().partition("viper (generated people)")[2].splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("paper  ResNet-18 [a paper]"))
    assert lines[place + 1].startswith("ours   resnet18 (V+I) from msmt17, before")
