use std::path::Path;

use proptest::prelude::*;

use super::check;
use crate::exposition::{Entry, Format, Parser, decode_series};

/// Each case of the specification's own test set.
#[test]
fn corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/openmetrics");
    let Ok(cases) = std::fs::read_dir(&root) else {
        assert!(
            bellwether_env::vars::CI.get().as_deref() != Some("true"),
            "the OpenMetrics cases are missing"
        );
        println!("skipped: no OpenMetrics cases here");
        return;
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases.map(|case| case.unwrap().path()) {
        let about: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(case.join("test.json")).unwrap())
                .unwrap();
        let text = std::fs::read_to_string(case.join("metrics")).unwrap();
        for strict in [false, true] {
            let got = check(&text, strict);
            if got.is_ok() != about["shouldParse"].as_bool().unwrap() {
                wrong.push(format!("{} strict={strict}: {got:?}", case.display()));
            }
        }
        count += 1;
    }
    assert!(count > 90, "{count} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn reason(text: &str) -> String {
    match check(&format!("{text}# EOF\n"), false) {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Rules of the specification, each with its smallest text.
#[test]
fn each_rule_has_its_reason() {
    for (text, wanted) in [
        ("", "ok"),
        ("a 1\n", "ok"),
        ("# comment\n", "line 1: a line with # must be"),
        ("\n", "line 1: an empty line"),
        ("# TYPE a untyped\n", "\"untyped\" is not a metric type"),
        ("# TYPE  a gauge\n", "is not a metric name"),
        ("# TYPE a gauge\n# TYPE a gauge\n", "line 2: a second TYPE"),
        ("# UNIT a_x x\n# UNIT a_x x\n", "line 2: a second UNIT"),
        ("# UNIT a_x x\na_x 1\n", "ok"),
        ("# UNIT ax x\n", "does not end with its unit"),
        ("# UNIT a_x y\n", "does not end with its unit"),
        (
            "# TYPE a gauge\na 1\n# HELP a late\n",
            "line 3: metadata of a after its samples",
        ),
        (
            "a 1\nb 1\na 2\n",
            "line 4: metric family a is in two places",
        ),
        ("# TYPE a counter\na 1\n", "in two places"),
        (
            "# TYPE a counter\na_total 1\n# TYPE a_total gauge\n",
            "clashes",
        ),
        ("# TYPE a info\n# TYPE a_info gauge\n", "clashes"),
        ("# TYPE a counter\na_total -1\n", "is negative"),
        ("# TYPE a counter\na_total NaN\n", "is NaN"),
        ("# TYPE a counter\na_total +Inf\n", "ok"),
        ("# TYPE a gauge\na -Inf\n", "ok"),
        ("a +nan\n", "is not a value"),
        ("a 1e\n", "is not a value"),
        ("a .\n", "is not a value"),
        ("a .5e-3 1.\n", "ok"),
        ("a 1 \n", "is not a timestamp"),
        ("a 1 1 \n", "expected an exemplar"),
        ("a 1 1e400\n", "is not a timestamp"),
        ("a{b=\"1\",b=\"2\"} 1\n", "set twice"),
        ("a{b=\"1\",} 1\n", "a label has no value"),
        ("a{,} 1\n", "a label"),
        ("a {b=\"1\"} 1\n", "is not a value"),
        ("{\"a.b\"} 1\n", "is not a metric name"),
        (
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1.5\n",
            "whole number",
        ),
        (
            "# TYPE a histogram\na_bucket{le=\"Inf\"} 1\n",
            "not a bucket bound",
        ),
        (
            "# TYPE a histogram\na_bucket{le=\"NaN\"} 1\n",
            "not a bucket bound",
        ),
        (
            "# TYPE a histogram\na_bucket{le=\"0\"} 0\na_bucket{le=\"1e+05\"} 0\na_bucket{le=\"+Inf\"} 0\n",
            "ok",
        ),
        (
            "# TYPE a histogram\na_bucket{le=\"1\"} 0\n",
            "no +Inf bucket",
        ),
        (
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1\n",
            "a count but no sum",
        ),
        (
            "# TYPE a histogram\na_bucket{le=\"-1\"} 0\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\n",
            "negative buckets",
        ),
        (
            "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 1\na_bucket{le=\"+Inf\"} 2 2\n",
            "ok",
        ),
        ("# TYPE a summary\na{quantile=\"0.5\"} -1\n", "negative"),
        (
            "# TYPE a summary\na{quantile=\"1.5\"} 1\n",
            "not a quantile",
        ),
        ("# TYPE a summary\na_count 1.5\n", "whole number"),
        ("# TYPE a stateset\na{a=\"x\"} 2\n", "0 or 1"),
        ("# TYPE a stateset\na{a=\"x\"} 1\na{a=\"y\"} 0\n", "ok"),
        (
            "# TYPE a info\na_info{x=\"1\"} 1 2\na_info{x=\"2\"} 1 1\n",
            "ok",
        ),
        (
            "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 1\na{x=\"1\"} 2\n",
            "do not stand together",
        ),
        ("a 1 0.0000000001\na 1 0.0000000000\n", "ok"),
        ("a 1 -1.5\na 1 -1.4\n", "ok"),
        ("a 1 -1.4\na 1 -1.5\n", "go backwards"),
        ("# TYPE a counter\na_total 1 # {x=\"y\"} 1 1e3\n", "ok"),
        (
            "# TYPE a counter\na_total 1 1 # {x=\"y\"} 1 1 1\n",
            "timestamp of an exemplar",
        ),
        ("# TYPE a gauge\na 1 # {} 1\n", "cannot have an exemplar"),
        (
            "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1 # {} 1\n",
            "ok",
        ),
    ] {
        let got = reason(text);
        assert!(
            got.contains(wanted),
            "{text:?}: got {got:?}, wanted {wanted:?}"
        );
    }
    let long = |n| {
        format!(
            "# TYPE a counter\na_total 1 # {{x=\"{}\"}} 1\n",
            "é".repeat(n)
        )
    };
    assert_eq!(reason(&long(127)), "ok");
    assert!(reason(&long(128)).contains("129 characters"));
}

#[test]
fn strict_refuses_more_and_ends_are_exact() {
    assert!(check("a{__x=\"1\"} 1\n# EOF\n", false).is_ok());
    assert!(check("a{__x=\"1\"} 1\n# EOF\n", true).is_err());
    assert!(check("a 1\na 1\n# EOF\n", false).is_ok());
    assert!(check("a 1\na 1\n# EOF\n", true).is_err());
    assert!(check("# EOF", false).is_ok());
    for bad in [
        "",
        "\n",
        "a 1\n",
        "# EOF\n\n",
        "# EOF \n",
        "# EOF\n# EOF\n",
        "a 1\r\n# EOF\n",
        " # EOF\n",
    ] {
        assert!(check(bad, false).is_err(), "{bad:?}");
    }
    assert!(
        super::check_bytes(b"a 1\na{b=\"\xff\"} 1\n# EOF\n", false)
            .unwrap_err()
            .to_string()
            .starts_with("line 2")
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "([a-b_{}\"=,. +\\-\n#é0-9]|# TYPE a histogram\n|a_bucket\\{le=\"\\+Inf\"\\} 1|# EOF\n){0,40}") {
        drop(check(&text, true));
    }

    /// Whatever the strict check accepts, the scraper reads without an error.
    #[test]
    fn the_scraper_reads_all_that_is_valid(text in valid_text()) {
        prop_assert_eq!(check(&text, true), Ok(()));
        for entry in Parser::new(text.as_bytes(), Format::OpenMetrics) {
            if let Entry::Sample(sample) = entry.unwrap() {
                decode_series(sample.series).unwrap();
            }
        }
    }
}

/// Valid expositions of a few families.
fn valid_text() -> impl Strategy<Value = String> {
    let labels = proptest::collection::btree_map(
        "[a-z][a-z0-9_]{0,5}",
        "([^\"\\\\\n]|\\\\\"|\\\\\\\\|\\\\n){0,6}",
        0..4,
    );
    let family = (
        0..4_usize,
        labels,
        0..1000_u32,
        proptest::option::of(0..100_000_u32),
        "[^\n]{0,10}",
    );
    proptest::collection::vec(family, 0..6).prop_map(|families| {
        let mut text = String::new();
        for (index, (kind, labels, value, time, help)) in families.into_iter().enumerate() {
            let inside: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
            let time = time.map_or(String::new(), |time| format!(" {}.{:03}", time / 1000, time % 1000));
            let (kind, suffix, exemplar) = [
                ("gauge", "", ""),
                ("counter", "_total", " # {a=\"}\"} 0.5"),
                ("unknown", "", ""),
                ("info", "_info", ""),
            ][kind];
            let value = if kind == "info" { 1 } else { value };
            text.push_str(&format!(
                "# TYPE f{index} {kind}\n# HELP f{index} {help}\nf{index}{suffix}{{{}}} {value}{time}{exemplar}\n",
                inside.join(",")
            ));
        }
        text + "# EOF\n"
    })
}
