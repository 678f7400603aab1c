"""From folders of labels to tables, figures and the report."""

from __future__ import annotations

import csv
import re
import shutil
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from multiprocessing import get_context

import numpy as np
import pytest

from livf.cli import main
from livf.lib.anatomy import DISC, L4, L5
from livf.lib.errors import InputError
from livf.lib.evaluation import Matched, Reading, Settings, evaluate, match, read_cases, score
from livf.lib.evaluation.figures import models_figure
from livf.lib.evaluation.overlap import dice_table
from livf.lib.evaluation.scoring import score_all
from livf.lib.evaluation.summary import mean_over
from livf.lib.foramen import SIDES, measure
from livf.lib.images import write_label

pytestmark = pytest.mark.slow
FEW = Settings(resamples=50)


@pytest.fixture(scope="session")
def done(cohort, tmp_path_factory):
    """The cohort evaluated once: its folder and what was found."""
    subjects = read_cases(cohort.cases)
    matched = match(cohort.predictions, cohort.truth, subjects)
    output = tmp_path_factory.mktemp("evaluation")
    return output, evaluate(matched.pairs, output, FEW, subjects=subjects, unmatched=matched)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_scores_are_those_of_the_arrays(cohort, done):
    from livf.lib.images import read_label

    for case in done[1].scored:
        predicted = np.asarray(read_label(cohort.predictions / f"{case.pair.case}.nii.gz").array)
        table = dice_table(predicted, cohort.labels[case.pair.case])
        for region in ("all", "VBS", "IVD", L5.name):
            assert case.score("dsc", region) == pytest.approx(table[region])


def test_a_missing_structure_scores_nought_and_has_no_distance(done):
    cases = {case.pair.case: case for case in done[1].scored}
    disc = cases["d"].structures[DISC.name]
    assert (disc.presence, disc.dsc, disc.precision, disc.recall) == ("missing", 0.0, 0.0, 0.0)
    assert np.isnan(disc.hd95_mm)
    assert {score.presence for score in cases["e"].structures.values()} == {"missing"}
    assert cases["e"].score("dsc", "all") == 0.0
    rows = {row["structure"]: row for row in rows_of(done[0] / "tables" / "structures.csv")}
    assert rows[DISC.title]["truth only (cases)"] == "2"
    assert rows[L4.title]["truth only (cases)"] == "1"
    assert rows[DISC.title]["no distance (cases)"] == "2"


def test_scans_of_one_patient_are_averaged_first(done):
    scored = done[1].scored
    values = {case.pair.case: case.score("dsc", "all") for case in scored}
    mean = mean_over(scored, "dsc", "all")
    by_subject = [(values["a"] + values["b"]) / 2, *(values[case] for case in "cdef")]
    assert mean.count == 5
    assert mean.subjects.value == pytest.approx(np.mean(by_subject))


def test_foramina_are_those_measured_on_both_labels(cohort, done):
    rows = rows_of(done[0] / "foramina.csv")
    assert len(rows) == 12
    for row in rows:
        truth = measure(cohort.labels[row["case"]], cohort.affine).foramina[row["side"]]
        if truth.numbers is None:
            assert (row["truth_area_mm2"], row["truth_reasons"]) == ("", ";".join(truth.reasons))
        else:  # the file keeps the affine in single precision
            assert float(row["truth_area_mm2"]) == pytest.approx(truth.numbers.area_mm2, abs=0.01)
    assert {row["prediction_reasons"] for row in rows if row["case"] in "de"} == {"missing_structure"}


def test_refused_sides_are_counted_and_in_no_mean(done):
    rows = rows_of(done[0] / "foramina.csv")
    counts = Counter((bool(row["prediction_area_mm2"]), bool(row["truth_area_mm2"])) for row in rows)
    [row] = [row for row in rows_of(done[0] / "tables" / "foramen_refusals.csv") if row["measure"] == "FA, mm²"]
    assert int(row["number in both"]) == counts[True, True] == done[1].agreements["area_mm2"].n
    assert int(row["no automatic"]) == counts[False, True] >= 2
    assert "not in the label" in row["why (sides)"]


def test_the_paper_stands_beside_ours(done):
    text = (done[0] / "tables" / "table2_overlap.md").read_text()
    assert re.search(r"\| VBS and IVD \|.*\| 0\.918 \|.*\| 0\.922 \|.*\| 0\.917 \|", text)
    assert "| 0.904 |" in text
    [row] = [row for row in rows_of(done[0] / "tables" / "foramen_means.csv") if row["measure"].startswith("FA")]
    assert "133.4 ± 30.5" in row.values()


def test_groups_and_cohort_have_their_tables(done):
    cohort = (done[0] / "tables" / "table1_cohort.csv").read_text()
    assert "subjects,,5,100" in cohort
    assert "sex,female,2 (40 %),48" in cohort
    assert "age,not known,1,-" in cohort
    groups = rows_of(done[0] / "tables" / "table3_groups.csv")
    assert {row["group"] for row in groups} == {"healthy", "herniation", "stenosis"}
    healthy = rows_of(done[0] / "tables" / "table3_healthy.csv")
    assert (healthy[0]["healthy subjects"], healthy[0]["other subjects"]) == ("2", "3")


def test_every_table_and_figure_is_written_in_every_format(done):
    output, found = done
    for table in found.tables:
        for suffix in (".md", ".csv", ".tex"):
            assert (output / "tables" / f"{table.name}{suffix}").stat().st_size
    for name in ("figure3_models_median", "figure3_models_lowest", "figure4_fa", "figure5_fh", "figure6_fw"):
        assert (output / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (output / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert set(found.written) == {path for path in output.rglob("*") if path.is_file()}


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.tags, self.images = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.found += [value for key, value in attrs if key in ("src", "href") and value]
        self.images += tag == "img"


def test_the_report_needs_nothing_else(done):
    links = Links()
    links.feed(done[1].report.read_text())
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links.found)
    assert links.images == 5
    assert "script" not in links.tags


def test_the_same_input_gives_the_same_bytes(cohort, done, tmp_path):
    subjects = read_cases(cohort.cases)
    matched = match(cohort.predictions, cohort.truth, subjects)
    evaluate(matched.pairs, tmp_path, FEW, subjects=subjects, unmatched=matched)
    for path in sorted(done[0].rglob("*")):
        if path.is_file():
            assert (tmp_path / path.relative_to(done[0])).read_bytes() == path.read_bytes(), path.name


def test_processes_score_as_this_one_does(cohort, done):
    pairs = match(cohort.predictions, cohort.truth).pairs[:2]
    reading = Reading(foramina=())
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there, failed = score_all(pairs, reading, pool, None)
    here, _ = score_all(pairs, reading, None, None)
    assert not failed
    assert [case.structures for case in there] == [case.structures for case in here]


def test_folds_have_their_table_and_training_rows(cohort, tmp_path):
    for fold in (1, 2):
        for part, cases in (("training", "ab"), ("test", "c" if fold == 1 else "f")):
            folder = tmp_path / "crossval" / f"fold_{fold}" / "predictions" / part
            folder.mkdir(parents=True)
            for case in cases:
                shutil.copy(cohort.predictions / f"{case}.nii.gz", folder)
    matched = match(tmp_path / "crossval", cohort.truth, read_cases(cohort.cases))
    assert len(matched.pairs) == 6
    found = evaluate(matched.pairs, tmp_path / "out", Settings(Reading(foramina=()), resamples=20, models=0))
    rows = rows_of(tmp_path / "out" / "tables" / "table2_overlap.csv")
    assert [row["set"] for row in rows] == ["training"] * 3 + ["test"] * 3
    assert rows[0]["subjects"] == "1"  # a and b are one patient's, in both folds
    folds = rows_of(tmp_path / "out" / "tables" / "table2_folds.csv")
    tested = {case.pair.fold: case.score("dsc", "all") for case in found.scored if case.pair.part == "test"}
    [row] = [row for row in folds if (row["set"], row["structures"], row["score"]) == ("test", "VBS and IVD", "DSC")]
    assert (row["fold 1"], row["fold 2"]) == (f"{tested[1]:.3f}", f"{tested[2]:.3f}")


@pytest.mark.parametrize("preset", ["spineps", "totalspineseg", "totalsegmentator", "nnunet"])
def test_labels_in_another_numbering_are_scored_by_one_command(cohort, tmp_path, capsys, preset):
    """Whole spines in the tool's own numbers, with a neighbour that must not count; written after its documentation."""
    numbers = {
        "spineps": {L4: 23, DISC: 123, L5: 24, "neighbour": 22},
        "totalspineseg": {L4: 44, DISC: 95, L5: 45, "neighbour": 43},
        "totalsegmentator": {L4: 28, L5: 27, "neighbour": 29},
        "nnunet": {L4: 1, DISC: 2, L5: 3},
    }[preset]
    (tmp_path / "theirs").mkdir()
    for case in "af":
        theirs = np.zeros(cohort.labels[case].shape, dtype=np.int16)
        for structure in (L4, DISC, L5):
            theirs[cohort.labels[case] == structure.value] = numbers.get(structure, 0)
        if "neighbour" in numbers:
            theirs[:4, :4, -4:] = numbers["neighbour"]
        write_nifti(tmp_path / "theirs" / f"{case}_msk.nii.gz", theirs, cohort.affine)
    command = ["evaluate", str(tmp_path / "theirs"), str(cohort.truth), "-o", str(tmp_path / "out"), "--no-foramina"]
    assert main([*command, "--labels", preset, "--suffix", "_msk"]) == 0
    assert "2 labels scored, 0 failed" in capsys.readouterr().out
    scores = rows_of(tmp_path / "out" / "scores.csv")
    assert {float(row["VBS_dsc"]) for row in scores} == {1.0}
    if preset == "totalsegmentator":  # it has no disc: not scored, and said so
        assert {row[f"{DISC.name}_presence"] for row in scores} == {"unlabelled"}
        assert {row["all_dsc"] for row in scores} == {""}
    else:
        assert {float(row["all_dsc"]) for row in scores} == {1.0}


def write_nifti(path, array, affine):
    import nibabel

    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def test_bad_files_are_listed_and_do_not_stop_the_others(cohort, tmp_path, capsys):
    folder = tmp_path / "predictions"
    shutil.copytree(cohort.predictions, folder)
    (folder / "a.nii.gz").write_bytes(b"no image")
    write_label(folder / "b.nii.gz", cohort.labels["b"][:-2], cohort.affine)
    moved = cohort.affine.copy()
    moved[0, 3] += 1
    write_label(folder / "c.nii.gz", cohort.labels["c"], moved)
    strange = cohort.labels["d"].copy()
    strange[0, 0, 0] = 7
    write_nifti(folder / "d.nii.gz", strange, cohort.affine)
    shutil.copy(folder / "f.nii.gz", folder / "stranger.nii.gz")
    (folder / "e.nii.gz").unlink()
    code = main(["evaluate", str(folder), str(cohort.truth), "-o", str(tmp_path / "out"), "--no-foramina"])
    shown = capsys.readouterr()
    assert code == 1
    lines = shown.err.splitlines()
    assert len(lines) == 4
    for case, words in (("a", "NIfTI"), ("b", "voxels"), ("c", "lies elsewhere"), ("d", "holds 7")):
        [line] = [line for line in lines if f" {case} not scored" in line]
        assert words in line
    assert "nearest neighbour" in lines[1]
    assert "stranger" in shown.out and "no prediction" in shown.out
    report = (tmp_path / "out" / "report.html").read_text()
    assert "stranger" in report and "holds 7" in report


def test_hostile_names_are_only_text(cohort, tmp_path):
    pair = match(cohort.predictions, cohort.truth).pairs[5]
    name = "<script>alert(1)</script>|$x_1$&\\"
    pair = replace(pair, case=name, group="<b>|", patient="p")
    others = [replace(pair, case="plain", patient="q", group="healthy")]
    unmatched = Matched((), (name,), ())
    evaluate([pair, *others], tmp_path, Settings(Reading(foramina=()), resamples=20), unmatched=unmatched)
    report = (tmp_path / "report.html").read_text()
    assert "<script>" not in report and "&lt;script&gt;" in report
    assert "<b>" not in report
    assert "\\|" in (tmp_path / "tables" / "table3_groups.md").read_text()


def test_a_name_is_no_formula():
    pictures = {(who, side): np.zeros((4, 4, 3), np.uint8) for who in ("automatic", "manual") for side in SIDES}
    figure = models_figure(pictures, "case $x_1$ \\frac")
    assert figure.get_suptitle() == "case $x_1$ \\frac"
    figure.draw_without_rendering()


def test_nothing_to_score_is_an_error(cohort, tmp_path):
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate([], tmp_path / "one")
    pair = replace(match(cohort.predictions, cohort.truth).pairs[0], prediction=tmp_path / "missing.nii.gz")
    with pytest.raises(InputError, match="no pair could be scored"):
        evaluate([pair], tmp_path / "two")


def test_an_affine_to_single_precision_is_the_same_grid(cohort, tmp_path):
    near = cohort.affine.copy()
    near[:3, 3] += 5e-4
    write_label(tmp_path / "f.nii.gz", cohort.labels["f"], near)
    pair = replace(match(cohort.predictions, cohort.truth).pairs[5], prediction=tmp_path / "f.nii.gz")
    assert score(pair, Reading(foramina=())).score("dsc", "all") == 1.0
