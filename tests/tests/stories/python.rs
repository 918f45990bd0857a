//! Rules in Python: runs the tests of `host/python/tests` in interpreters that have the module.

use pinhost_tests::python::Environment;
use pinhost_tests::{pinhost, services};

const NOTHING: [(&str, &str); 0] = [];

#[test]
fn rules_load_and_clean_in_python() {
    Environment::Data.tests(&["test_rule.py", "test_clean.py", "test_examples.py"], NOTHING);
}

#[test]
fn invariant_6_holds_in_a_process_of_somebody_else() {
    Environment::Data.tests(&["test_faults.py", "test_process.py", "test_hostile.py"], NOTHING);
}

#[test]
fn spark_cleans_batches_and_streams() {
    Environment::Data.tests(&["test_spark.py"], [("PINHOST_POSTGRES", services::postgres())]);
}

#[test]
fn airflow_runs_the_command() {
    Environment::Airflow.tests(&["test_airflow.py"], NOTHING);
}

#[test]
fn one_rule_gives_equal_bytes_everywhere() {
    Environment::Data.tests(&["test_conformance.py"], [("PINHOST_COMMAND", pinhost!())]);
}
