use bellwether_model::Problems;
use proptest::prelude::*;

use crate::{MapReader, parse};

fn problems_of(text: &str) -> String {
    let mut problems = Problems::default();
    if let Some(node) = parse("f.yml", text, &mut problems) {
        let mut map = MapReader::new(&node, "config", &mut problems);
        map.duration("interval");
        map.integer("limit");
        map.boolean("on");
        map.texts("names");
        map.labels("labels");
        map.required_text("name");
        map.finish();
    }
    problems.to_string()
}

#[test]
fn every_fault_is_reported_with_its_place() {
    let text = "interval: 5x\nlimit: many\non: perhaps\nnames: {a: 1}\nintervall: 1s\n";
    assert_eq!(
        problems_of(text),
        "\
error: f.yml:1:11: interval: not a valid duration string: \"5x\"
  hint: write it as 30s, 5m or 1h30m
error: f.yml:2:8: limit must be a whole number, not \"many\"
error: f.yml:3:5: on must be true or false, not \"perhaps\"
error: f.yml:4:8: names must be a list, not a map
error: f.yml:1:1: this config has no name
error: f.yml:5:1: unknown key \"intervall\" in this config
  hint: did you mean \"interval\"?
"
    );
}

#[test]
fn duplicate_keys_tabs_and_bombs_are_errors() {
    assert!(problems_of("name: a\nname: b\n").contains("f.yml:2:1: key \"name\" is already set"));
    assert!(problems_of("name: a\nlabels:\n\tx: y\n").contains("tab"));
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..9 {
        let alias = format!("*a{},", i - 1).repeat(10);
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", alias.trim_end_matches(',')));
    }
    assert!(
        problems_of(&bomb).contains("aliases expanded"),
        "{}",
        problems_of(&bomb)
    );
    assert!(problems_of(&("[".repeat(100) + &"]".repeat(100))).contains("nested deeper"));
}

#[test]
fn merge_keys_and_anchors_work() {
    let mut problems = Problems::default();
    let node = parse(
        "f",
        "\u{feff}base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n",
        &mut problems,
    )
    .unwrap();
    assert_eq!(
        node.get("use").unwrap().to_json(),
        serde_json::json!({"x": 1, "y": 3})
    );
    assert!(!problems.has_errors());
}

#[test]
fn quoted_text_may_go_on_left_of_its_key() {
    let text =
        "a:\n  b: 'one\n  two {{range\n    \"x\"}}\n  three'\n  c: \"four\n\n five\"\nd: 1\n";
    let mut problems = Problems::default();
    let node = parse("f.yml", text, &mut problems).unwrap();
    assert_eq!(
        node.to_json(),
        serde_json::json!({"a": {"b": "one two {{range \"x\"}} three", "c": "four\nfive"}, "d": 1})
    );
    assert!(
        !problems.has_errors() && problems.0.len() == 2,
        "{problems}"
    );
    let mut problems = Problems::default();
    assert!(parse("f.yml", "a:\n  b: 'one\n  two\n", &mut problems).is_none());
    assert!(problems.has_errors(), "{problems}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "[ \\n\\t:\\-\\[\\]{}&*#!|>'\"a-c0-9<,]{0,200}") {
        problems_of(&text);
    }
}
