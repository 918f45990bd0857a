"""The hostile corpus in Python: the interpreter lives, guilty rows are rejected with a reason, the others come out."""

import json
import os

import pyarrow as pa
import pytest
from conftest import POISON, hostile_text

import pinhost

CORPUS = json.loads(open(os.environ["PINHOST_CORPUS"]).read())
NULLS = {2, 9, 30}
GUILTY = {7, 31}


def test_the_corpus_is_not_small():
    met = len(CORPUS["misbehaviours"]) + len(CORPUS["configuring"]) + len(CORPUS["files"])
    assert met >= 200, met


@pytest.fixture(scope="module")
def rows():
    texts = [POISON if row in GUILTY else None if row in NULLS else f"{row}: ö" for row in range(40)]
    return pa.record_batch({"text": pa.array(texts, pa.string()), "n": range(40)})


@pytest.mark.parametrize("case", CORPUS["misbehaviours"], ids=lambda case: case["config"]["do"])
def test_a_misbehaviour_ends_with_its_verdict(case, rows):
    verdict, guilty = case["verdict"], set(case["guilty"])
    try:
        rule = pinhost.Rule.from_text(hostile_text(case["config"]))
    except pinhost.RuleError as error:
        assert verdict in ("Refused", "Findings"), error
        assert error.findings and "\x1b" not in str(error)
        return
    assert verdict not in ("Refused", "Findings")
    cleaned = rule.clean(rows)
    kept = set(pa.table(cleaned).column("n").to_pylist())
    rejected = {reject.row for reject in cleaned.rejects}
    assert kept | rejected <= set(range(40)) and not kept & rejected
    if verdict in ("Trap", "Rejected"):
        assert rejected == guilty and kept == set(range(40)) - guilty
        for reject in cleaned.rejects:
            assert 0 < len(reject.reason) <= 200 and "\x1b" not in reject.reason
            assert reject.step == "bad" and json.loads(reject.record)["n"] == reject.row
    elif verdict == "TrapTogether":
        assert not rejected and len(kept) == 40
    else:
        assert len(kept) + len(rejected) + cleaned.counts.dropped == 40


@pytest.mark.parametrize("config", CORPUS["configuring"], ids=lambda config: config["do"])
def test_a_deed_in_configure_is_refused_or_harmless(config):
    try:
        pinhost.Rule.from_text(hostile_text(config))
    except pinhost.RuleError as error:
        assert error.findings


@pytest.mark.parametrize("path", CORPUS["files"], ids=os.path.basename)
def test_what_is_no_good_plugin_is_refused_or_its_rows_are_rejected(path, rows):
    text = json.loads(hostile_text({}))
    text["rule"]["steps"] = [{"plugin": path}]
    try:
        rule = pinhost.Rule.from_text(json.dumps(text))
    except pinhost.RuleError as error:
        assert error.findings and error.findings[0].severity == "error"
        return
    cleaned = rule.clean(rows.slice(0, 2))
    assert pa.table(cleaned).num_rows + len(cleaned.rejects) == 2
    assert all(reject.reason for reject in cleaned.rejects)
