//! The scenario files, each with the timeline that it shows.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use bellwether_sim::Scenario;

fn play(text: &str) -> String {
    let scenario = Scenario::read(text).unwrap();
    let played = scenario.play(1).unwrap();
    assert!(
        played.violations.is_empty(),
        "{:#?}\n{}",
        played.violations,
        played.shown
    );
    assert_eq!(
        scenario.play(1).unwrap().shown,
        played.shown,
        "the same again"
    );
    played.shown
}

#[test]
fn fired_acknowledged_cleared() {
    insta::assert_snapshot!(play(include_str!(
        "../scenarios/fired-acknowledged-cleared.txt"
    )));
}

#[test]
fn asleep_and_crash() {
    insta::assert_snapshot!(play(include_str!("../scenarios/asleep-and-crash.txt")));
}

#[test]
fn lost_answers() {
    insta::assert_snapshot!(play(include_str!("../scenarios/lost-answers.txt")));
}

#[test]
fn rule_with_a_scrape_gap() {
    insta::assert_snapshot!(play(include_str!(
        "../scenarios/rule-with-a-scrape-gap.txt"
    )));
}

#[test]
fn faults_name_their_line() {
    let fault = |text: &str| Scenario::read(text).unwrap_err().to_string();
    assert_eq!(
        fault("policy default ana wait 5m\nfire\n"),
        "line 2: an alert has a name"
    );
    assert_eq!(fault("\nadvance long\n").split(':').next(), Some("line 2"));
    assert_eq!(fault("dance\n"), "line 1: not a statement: dance");
    assert!(fault("advance 5m\n").contains("people and a `policy`"));
    assert!(fault("receiver ntfy sulks for 5m\n").contains("sulks"));
}
