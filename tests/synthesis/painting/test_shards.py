import multiprocessing
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from livf.lib.anatomy import DISC
from livf.lib.errors import InputError, NotFoundError
from livf.lib.synthesis.painting import shards
from livf.lib.synthesis.painting.plan import PAIR_DISC_MM


@pytest.fixture
def folder(column, tmp_path):
    assert shards.complete_people([column], [], tmp_path) == ["solids"]
    return tmp_path


def planned(folder, purpose="localiser", count=4, **changes):
    return shards.plan_shards(folder, purpose, count, ["solids"], **{"examples": 2, **changes})


def test_a_shard_gives_back_what_was_painted(folder):
    tasks = planned(folder, "pair", 2)
    shards.make_shards(tasks)
    shard = shards.read_shard(tasks[0].path)
    assert shard.images.shape == shard.labels.shape == (2, 112, 160, 128)
    assert shard.images.dtype == np.int16 and shard.labels.dtype == np.uint8
    assert shard.people == ("solids", "solids") and set(shard.levels) <= {"L2-L3", "L3-L4", "L4-L5"}
    assert shard.spacing == 0.8
    assert all(len(np.unique(label)) == 4 for label in shard.labels)


def test_the_bytes_depend_on_the_seed_alone(folder):
    tasks = planned(folder)
    assert len(tasks) == 2
    shards.make_shards(tasks)
    first = [task.path.read_bytes() for task in tasks]
    tasks[1].path.unlink()
    shards.make_shards(tasks[::-1])
    assert [task.path.read_bytes() for task in tasks] == first
    assert first[0] != first[1]
    other = planned(folder, seed=1)
    shards.make_shards(other)
    assert other[0].path.read_bytes() != first[0]


def test_what_is_there_is_kept_and_what_is_damaged_made_anew(folder):
    tasks = planned(folder)
    made = []
    shards.make_shards(tasks, done=lambda task, new: made.append(new))
    whole = tasks[0].path.read_bytes()
    tasks[0].path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        shards.read_shard(tasks[0].path)
    shards.make_shards(tasks, done=lambda task, new: made.append(new))
    assert made == [True, True, False, True]
    assert tasks[0].path.read_bytes() == whole


def test_a_killed_run_leaves_whole_shards_and_goes_on(folder):
    tasks = planned(folder, count=40)
    process = multiprocessing.get_context("spawn").Process(target=shards.make_shards, args=(tasks,))
    process.start()
    deadline = time.monotonic() + 120
    while not tasks[1].path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    there = shards.shard_paths(folder, "localiser")
    assert 2 <= len(there) < len(tasks)
    for path in there:
        assert len(shards.read_shard(path).images) == 2
    kept = {path: path.stat().st_mtime_ns for path in there}
    few = tasks[: len(there) + 1]
    made = []
    shards.make_shards(few, done=lambda task, new: made.append(new))
    assert made.count(True) == 1
    assert {path: path.stat().st_mtime_ns for path in there} == kept


def test_worker_processes_make_the_same(folder):
    tasks = planned(folder)
    shards.make_shards(tasks)
    alone = [task.path.read_bytes() for task in tasks]
    for task in tasks:
        task.path.unlink()
    shards.make_shards(tasks, workers=2)
    assert [task.path.read_bytes() for task in tasks] == alone


def test_examples_come_once_each_in_random_order(folder):
    shards.make_shards(planned(folder))
    one, two, again = (
        [image.tobytes() for image, _ in shards.examples(folder, "localiser", np.random.default_rng(s))]
        for s in (0, 5, 0)
    )
    assert len(set(one)) == 4 and set(one) == set(two)
    assert one == again


def test_changed_people_make_other_shards(folder, column):
    tasks = planned(folder)
    shards.make_shards(tasks)
    path = folder / "people" / "solids.npz"
    from livf.lib.synthesis.columns.store import save_column

    save_column(path, column, "another fingerprint")
    made = []
    shards.make_shards(planned(folder), done=lambda task, new: made.append(new))
    assert made == [True, True]


def test_what_is_missing_is_named(folder):
    with pytest.raises(NotFoundError, match="cannot be read"):
        shards.plan_shards(folder, "pair", 2, ["nobody"])
    with pytest.raises(InputError, match="nobody to paint"):
        shards.plan_shards(folder, "pair", 2, [])
    with pytest.raises(NotFoundError, match="no shard"):
        shards.shard_paths(folder, "pair")
    with pytest.raises(NotFoundError, match="no such file"):
        shards.read_shard(folder / "x.npz")


def test_people_are_completed_anew_when_their_column_changes(folder, column):
    path = folder / "people" / "solids.npz"
    before = path.stat().st_mtime_ns
    shards.complete_people([column], [], folder)
    assert path.stat().st_mtime_ns == before
    shards.complete_people([replace(column, parts=column.parts[1:])], [], folder)
    assert path.stat().st_mtime_ns != before


def test_who_lacks_a_sacrum_borrows_one_from_each_donor(tmp_path, column):
    lacking = replace(column, name="lacking", parts=tuple(p for p in column.parts if p.name not in ("sacrum", "L5-S1")))
    names = shards.complete_people([lacking, column], [column], tmp_path)
    assert names == ["lacking+solids", "solids"]
    from livf.lib.synthesis.columns.store import load_column

    assert any(p.name == "sacrum" for p in load_column(tmp_path / "people" / "lacking+solids.npz").parts)


def test_phantoms_are_shown_as_they_are_with_the_disc_in_its_place(tmp_path):
    (task,) = shards.plan_shards(tmp_path, "phantom", 1, [], examples=1)
    shards.make_shards([task])
    shard = shards.read_shard(task.path)
    assert shards.count_examples(task.path) == 1
    assert shard.people == (f"phantom {shards.FIRST_PHANTOM}",) and shard.levels == ("L4-L5",)
    assert shard.images.shape == (1, 112, 160, 128) and shard.images.min() > 0
    disc = np.argwhere(shard.labels[0] == DISC.value).mean(axis=0)
    off = (disc - (np.asarray(shard.labels[0].shape) - 1) / 2) * shard.spacing - PAIR_DISC_MM
    assert (np.abs(off) < 12).all()
    (other,) = shards.plan_shards(tmp_path, "phantom", 1, [], seed=1, examples=1)
    shards.make_shards([other])
    assert shards.read_shard(other.path).people != shard.people


def test_examples_of_what_is_no_shard_are_not_counted(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        shards.count_examples(tmp_path / "x.npz")
