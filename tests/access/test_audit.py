from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from livf.lib.access.audit import AuditLog, Record
from livf.lib.errors import OutputError

NOW = datetime(2026, 3, 1, 23, 59, 59, 500_000, tzinfo=UTC)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_who_when_what_and_on_what(tmp_path: Path) -> None:
    record = Record("save", "PUT /datastore/label", 200, "anna", True, "10.0.0.7", "r1", "case-1", "final", "ab" * 32,
                    "livf-1.2")  # fmt: skip
    AuditLog(tmp_path, lambda: NOW).write(record)
    assert lines(tmp_path / "audit" / "2026-03-01.jsonl") == [
        {"time": "2026-03-01T23:59:59.500+00:00", "action": "save", "route": "PUT /datastore/label", "status": 200,
         "who": "anna", "verified": True, "address": "10.0.0.7", "request": "r1", "case": "case-1", "tag": "final",
         "label_sha256": "ab" * 32, "model": "livf-1.2"}
    ]  # fmt: skip


def test_appends_and_begins_a_file_each_day(tmp_path: Path) -> None:
    days = iter([NOW, NOW, NOW.replace(day=2)])
    log = AuditLog(tmp_path, lambda: next(days))
    for case in "abc":
        log.write(Record("infer", "POST /infer/{model}", 200, case=case))
    assert [line["case"] for line in lines(tmp_path / "audit" / "2026-03-01.jsonl")] == ["a", "b"]
    assert [line["case"] for line in lines(tmp_path / "audit" / "2026-03-02.jsonl")] == ["c"]


def test_no_text_makes_a_second_line(tmp_path: Path) -> None:
    forged = 'x"}\n{"who": "bert", "action": "save"}\r\n\u2028\x00é' + "y" * 1000
    AuditLog(tmp_path, lambda: NOW).write(Record("save", "PUT", 200, who=forged, case=forged))
    path = tmp_path / "audit" / "2026-03-01.jsonl"
    assert path.read_bytes().count(b"\n") == 1
    [line] = lines(path)
    assert line["who"] == forged[:256]


def test_what_a_power_cut_left_does_not_swallow_the_next_line(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, lambda: NOW)
    log.write(Record("save", "PUT", 200, case="a"))
    path = tmp_path / "audit" / "2026-03-01.jsonl"
    with path.open("a") as file:
        file.write('{"time": "2026')
    log.write(Record("save", "PUT", 200, case="b"))
    log.write(Record("save", "PUT", 200, case="c"))
    text = path.read_text().splitlines()
    assert len(text) == 4 and [json.loads(text[n])["case"] for n in (0, 2, 3)] == ["a", "b", "c"]


def test_threads_do_not_mix_lines(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, lambda: NOW)

    def write(who: str) -> None:
        for _ in range(50):
            log.write(Record("save", "PUT", 200, who=who, case=who * 200))

    threads = [threading.Thread(target=write, args=(who,)) for who in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = lines(tmp_path / "audit" / "2026-03-01.jsonl")
    assert len(written) == 200 and all(line["case"] == str(line["who"]) * 200 for line in written)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    AuditLog(tmp_path, lambda: NOW).write(Record("save", "PUT", 200))
    assert (tmp_path / "audit" / "2026-03-01.jsonl").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "2026-03-01.jsonl").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="the audit log: there is no space left"):
        AuditLog(tmp_path, lambda: NOW).write(Record("save", "PUT", 200))


def test_a_file_in_the_place_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("")
    with pytest.raises(OutputError):
        AuditLog(tmp_path, lambda: NOW).write(Record("save", "PUT", 200))
