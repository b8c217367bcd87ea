use bellwether_model::Problems;
use proptest::prelude::*;

use crate::unit::{Coverage, TestFile, diff};

fn read(text: &str) -> (Option<TestFile>, String) {
    let mut problems = Problems::default();
    let file = TestFile::read("t.yml", text, &mut problems);
    (file, problems.to_string())
}

#[test]
fn every_fault_of_a_test_file_has_its_place() {
    let (file, problems) = read(
        "rule_files: [a]\nevaluation_interval: 5\ntests:\n- intervall: 1m\n  alert_rule_test:\n  - {eval_time: x, alertname: A}\n  promql_expr_test:\n  - {expr: up, exp_samples: [{value: yes}]}\n",
    );
    assert!(file.is_none());
    insta::assert_snapshot!(problems, @r#"
    error: t.yml:2:22: evaluation_interval: not a valid duration string: "5"
      hint: write it as 30s, 5m or 1h30m
    error: t.yml:4:3: unknown key "intervall" in this test
      hint: did you mean "interval"?
    error: t.yml:6:17: eval_time: not a valid duration string: "x"
      hint: write it as 30s, 5m or 1h30m
    error: t.yml:8:38: value must be a number
      hint: YAML writes .NaN, .Inf and -.Inf
    "#);
}

#[test]
fn numbers_are_yaml_numbers() {
    for (text, value) in [
        ("1", Some(1.0)),
        ("-.Inf", Some(f64::NEG_INFINITY)),
        ("+.inf", Some(f64::INFINITY)),
        ("1_000", Some(1000.0)),
        ("0x10", Some(16.0)),
        ("1e3", Some(1000.0)),
        (".5", Some(0.5)),
        ("inf", None),
        ("'1'", None),
        ("NaN", None),
    ] {
        let (file, problems) = read(&format!(
            "tests: [{{promql_expr_test: [{{expr: up, exp_samples: [{{value: {text}}}]}}]}}]"
        ));
        let got = file.map(|file| file.tests[0].exprs[0].expected.as_ref().unwrap()[0].value);
        assert_eq!(got, value, "{text}: {problems}");
    }
}

#[test]
fn a_difference_shows_what_both_sides_share() {
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        diff(&lines("a b c d"), &lines("a c x d")),
        ["  a", "- b", "  c", "+ x", "  d"]
    );
    assert_eq!(diff(&[], &lines("a")), ["+ a"]);
}

proptest! {
    #[test]
    fn any_text_is_safe(text in "(tests|input_series|series|values|exp_samples|labels|value|histogram|rule_files|[a-z{}\\[\\]:,'\"\\- \\n0-9x_+]){0,40}") {
        if let (Some(file), _) = read(&text) {
            let report = file.run(&[], &|_| true, &mut Coverage::default());
            prop_assert_eq!(report.tests.len(), file.tests.len());
        }
    }

    #[test]
    fn a_diff_gives_both_sides_back(a in prop::collection::vec("[a-c]", 0..12), b in prop::collection::vec("[a-c]", 0..12)) {
        let lines = diff(&a, &b);
        let side = |mark: &str| -> Vec<String> {
            lines.iter().filter(|l| l.starts_with("  ") || l.starts_with(mark)).map(|l| l[2..].to_owned()).collect()
        };
        prop_assert_eq!(side("- "), a);
        prop_assert_eq!(side("+ "), b);
    }
}
