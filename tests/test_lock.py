"""One process at a time works in an --out, and one that was killed leaves nothing that stands in the way."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import programs
import pytest
from stages import SHORT

from data_prep import __main__ as prepare_command
from data_prep.people import __main__ as people_command, write as people
from data_prep.prepare import prepare
from reid.common import lock
from reid.common.errors import InputError
from reid.common.lock import in_use

HOLD = """
import os, sys, time
from pathlib import Path
from reid.common.lock import in_use
with in_use(Path(sys.argv[1])):
    if sys.argv[2] == "fork" and os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder, how="alone"):
    """A process that holds a folder until its stdin ends or it is killed; "fork": it leaves a child."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder, how], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "held\n"
    return process


def end(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def train(data, out, *more):
    return programs.run("tools/train_stage.py", "viper", "--data", data, "--out", out, "--base", "tiny",
                        "--chain", "scratch", "--set", *SHORT, *more)


def test_a_second_one_is_told_who_is_there_and_since_when(tmp_path):
    process = hold(tmp_path / "out")
    with pytest.raises(InputError) as refused, in_use(tmp_path / "out"):
        pass
    assert re.fullmatch(rf"{tmp_path}/out: in use by process {process.pid} since "
                        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d; .*another --out", str(refused.value))
    process.communicate("")
    assert not (tmp_path / "out").exists()
    with in_use(tmp_path / "out"), pytest.raises(InputError, match=f"in use by process {os.getpid()} "):
        with in_use(tmp_path / "out"):
            pass


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_a_kill_gives_it_back(tmp_path, how):
    process = hold(tmp_path / "out", how)
    process.kill()
    process.wait()
    try:
        with in_use(tmp_path / "out"):
            assert (tmp_path / "out/.lock").read_text().startswith(f"process {os.getpid()} since ")
        assert not list((tmp_path / "out").iterdir())
    finally:
        if how == "fork":
            end(process)


def test_what_was_there_stays_as_it_was(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("x")
    with in_use(tmp_path / "out"):
        pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    with pytest.raises(RuntimeError), in_use(tmp_path / "a/b"):
        raise RuntimeError
    assert not (tmp_path / "a").exists()


def test_who_waits_has_it_when_the_other_ends(tmp_path):
    process = hold(tmp_path / "out")
    waiting = subprocess.Popen([sys.executable, "-c", HOLD.replace("]))", "]), wait=True)"), tmp_path / "out",
                                "alone"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = waiting.stdout.readline()
    assert line.startswith(f"{tmp_path}/out: in use by process {process.pid} ") and "waiting" in line
    process.communicate("")    # it removes the empty folder, and the one who waits makes it again
    assert waiting.stdout.readline() == "held\n"
    assert (tmp_path / "out/.lock").read_text().startswith(f"process {waiting.pid} ")
    waiting.communicate("")


def test_training_and_preparing_take_it(generated_viper, prepared_viper, tmp_path):
    out = tmp_path / "out"
    split = out / "viper/split00"
    process, preparing = hold(split), hold(out)
    try:
        trained = train(prepared_viper, out)
        assert trained.returncode == 2
        assert trained.stderr.startswith(f"error: {split}: in use by process {process.pid} ")
        with pytest.raises(InputError, match=f"{out}: in use by process {preparing.pid} "):
            prepare("viper", generated_viper, out, [0], epochs=1)
    finally:
        end(process)
        end(preparing)
    shutil.rmtree(out)
    prepare("viper", generated_viper, out, [0], epochs=1)
    assert sorted(path.name for path in out.iterdir()) == ["images", "manifest.json", "split00"]
    other = hold(tmp_path / "runs/viper/split01")    # another split is no hindrance
    assert train(prepared_viper, tmp_path / "runs").returncode == 0
    end(other)
    shutil.rmtree(tmp_path / "runs/viper/split01")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [".features", "viper"]
    left = tmp_path / "runs/viper/split00/.lock"    # as by a kill between the result and the end
    left.touch()
    assert train(prepared_viper, tmp_path / "runs").returncode == 0 and not left.exists()


def test_preparing_waits_where_it_is_told_to(generated_viper, tmp_path, monkeypatch):
    process, said = hold(tmp_path / "out"), []
    monkeypatch.setattr(lock, "ENDING", 0)

    def waits(line, **how):
        said.append(line)
        end(process)
    monkeypatch.setattr(lock, "print", waits, raising=False)
    assert prepare_command.main(["viper", "--raw", str(generated_viper), "--out", str(tmp_path / "out"),
                                 "--split", "0", "--epochs", "1", "--wait"]) == 0
    assert "waiting until it ends" in said[0]


def test_people_are_drawn_by_one_process_into_a_folder(tmp_path, monkeypatch):
    """Two at once took each other's pictures away. No lock lies among the pictures, which readers count."""
    out, beside = tmp_path / "raw", HOLD.replace("]))", "]), beside=True)")
    monkeypatch.setattr(sys.modules[__name__], "HOLD", beside)
    monkeypatch.setattr(lock, "ENDING", 0)
    process = hold(out)
    with pytest.raises(InputError, match=f"^{out}: in use by process {process.pid} since .*another --out"):
        people.write(out, "viper", 2, 0)
    assert not out.exists()
    end(process)
    assert (tmp_path / ".raw.lock").exists()    # of the killed one
    people.write(out, "viper", 2, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    assert sorted(path.name for path in out.iterdir()) == ["GENERATED.json", "cam_a", "cam_b"]
    with pytest.raises(InputError, match=f"^{out}: not an empty folder; choose another --out"):
        people.write(out, "viper", 2, 0)


def test_who_waits_for_people_takes_those_that_were_drawn(tmp_path):
    """The experiments' runner after a kill that a drawing has survived: it needs no other start."""
    def draw(*more):
        return people_command.main(["--out", str(tmp_path / "raw"), "--identities", "2", *more])
    assert draw("--wait") == 0
    drawn = (tmp_path / "raw/GENERATED.json").stat().st_mtime_ns
    assert draw("--wait") == 0 and (tmp_path / "raw/GENERATED.json").stat().st_mtime_ns == drawn
    assert draw() == draw("--wait", "--seed", "1") == draw("--wait", "--tested", "1") == 2


def test_people_drawn_while_waiting_for_the_lock_stay(tmp_path, monkeypatch):
    """Who comes when another has just ended finds its people."""
    def drawn_meanwhile(folder, file, wait):
        monkeypatch.undo()
        people.write(out, "viper", 2, 0)
        return lock._take(folder, file, wait)
    out = tmp_path / "raw"
    monkeypatch.setattr(lock, "_take", drawn_meanwhile)
    with pytest.raises(InputError, match=f"^{out}: not an empty folder; choose another --out"):
        people.write(out, "viper", 2, 1)
    assert json.loads((out / "GENERATED.json").read_text())["seed"] == 0


def test_out_inside_raw_is_refused_before_it_is_written(generated_viper):
    with pytest.raises(InputError, match=f"{generated_viper}/out: lies inside --raw"):
        prepare("viper", generated_viper, generated_viper / "out", [0], epochs=1)
    assert not (generated_viper / "out").exists()


@pytest.mark.parametrize("folder", ["/proc/nowhere/out", "/dev/null/out"])
def test_where_no_folder_can_be_made_is_said(generated_viper, capsys, folder):
    """This was waited for without end, as if another process had just removed it."""
    assert prepare_command.main(["viper", "--raw", str(generated_viper), "--out", folder]) == 2
    assert folder.removesuffix("/out") in capsys.readouterr().err
