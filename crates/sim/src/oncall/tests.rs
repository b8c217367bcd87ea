use std::time::Duration;

use bellwether_model::Problems;
use jiff::tz::TimeZone;

use super::{Failure, Played, Rehearsal, differences, read_alerts, rehearse};
use crate::read_page_config;

const CONFIG: &str = "
route: {receiver: people, group_wait: 10s, group_by: [alertname]}
receivers: [{name: people, page_configs: [{policy: default}]}]
oncall:
  diagnosis_wait: 0s
  people:
    ana: {email: ana@example.org, timezone: Europe/Berlin, rules: {high: [browser, {after: 2m, channel: email}]}}
    bo: {email: bo@example.org, rules: {high: [email]}}
  schedules:
    primary:
      timezone: Europe/Berlin
      layers:
      - {name: nights, members: [ana], start: 2026-03-02T00:00, turn: 1w}
  policies:
    default:
      steps:
      - {notify: ['schedule:primary'], wait: 5m}
      - {notify: ['person:bo'], wait: 5m}
      repeat: 1
";

fn play(config: &str, failures: &[&str]) -> Played {
    let config = read_page_config("c.yml", config).unwrap();
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let from = "2026-03-03T00:00:00Z".parse().unwrap();
    let mut problems = Problems::default();
    let alerts = read_alerts(
        "alerts.yml",
        "- {at: 2026-03-03T02:10, for: 40m, labels: {alertname: Down, severity: page}}\n\
         - {startsAt: '2026-03-03T10:00:00Z', endsAt: '2026-03-03T10:30:00Z', labels: {alertname: Slow, severity: page}}\n",
        &zone,
        from,
        &mut problems,
    );
    assert!(problems.0.is_empty(), "{problems}");
    let failures = failures
        .iter()
        .map(|text| Failure::parse(text, &config.oncall).unwrap())
        .collect();
    rehearse(&Rehearsal {
        config,
        from,
        to: "2026-03-04T00:00:00Z".parse().unwrap(),
        alerts,
        failures,
        answer_in: Duration::from_mins(1),
    })
}

fn show(played: &Played) -> String {
    let lines: Vec<String> = played
        .lines
        .iter()
        .map(|line| {
            format!(
                "{} {} {}",
                line.at.strftime("%H:%M:%S"),
                line.kind,
                line.text
            )
        })
        .collect();
    lines.join("\n")
}

#[test]
fn awake_and_asleep() {
    let awake = play(CONFIG, &[]);
    assert_eq!(awake.cases.len(), 2);
    assert_eq!(awake.cases[0].acknowledged.as_ref().unwrap().0, "ana");
    assert_eq!(awake.cases[0].paged, ["ana"]);
    let asleep = play(CONFIG, &["ana: asleep 22:00-07:00", "browser: down"]);
    insta::assert_snapshot!(show(&asleep), @r##"
    01:10:10 case_opened case opened: Down
    01:10:10 escalated step 1, loop 1: paging ana
    01:10:10 page_sent page to ana by browser
    01:10:12 page_failed page to ana by browser failed: as rehearsed
    01:10:12 page_sent page to ana by email
    01:10:14 page_delivered page to ana by email arrived
    01:15:10 escalated step 2, loop 1: paging bo
    01:15:10 page_sent page to bo by email
    01:15:12 page_delivered page to bo by email arrived
    01:16:10 acknowledged bo has it
    01:46:10 acknowledgement_expired acknowledged, but it still fires: paging again
    01:46:10 escalated step 1, loop 2: paging ana
    01:46:10 page_sent page to ana by browser
    01:46:12 page_failed page to ana by browser failed: as rehearsed
    01:46:12 page_sent page to ana by email
    01:46:14 page_delivered page to ana by email arrived
    01:50:00 alert_resolved Down ended, 0 still firing
    01:50:00 resolved resolved: all alerts have ended
    10:00:10 case_opened case opened: Slow
    10:00:10 escalated step 1, loop 1: paging ana
    10:00:10 page_sent page to ana by browser
    10:00:12 page_failed page to ana by browser failed: as rehearsed
    10:00:12 page_sent page to ana by email
    10:00:14 page_delivered page to ana by email arrived
    10:01:12 acknowledged ana has it
    10:30:00 alert_resolved Slow ended, 0 still firing
    10:30:00 resolved resolved: all alerts have ended
    "##);
    assert_eq!(asleep.cases[0].acknowledged.as_ref().unwrap().0, "bo");
    assert_eq!(asleep.cases[1].acknowledged.as_ref().unwrap().0, "ana");
    assert_eq!(
        differences(&awake, &asleep),
        [
            "2026-03-03T01:10:10Z Down: paged ana -> ana, bo; answered by ana after 1m -> by bo after 6m",
            "2026-03-03T10:00:10Z Slow: answered by ana after 1m -> by ana after 1m2s",
        ]
    );
    assert!(differences(&awake, &awake).is_empty());
    // Equal plans, equal bytes.
    assert_eq!(
        asleep,
        play(CONFIG, &["ana: asleep 22:00-07:00", "browser: down"])
    );
}

#[test]
fn nobody_answers() {
    let played = play(CONFIG, &["ana: asleep", "bo: no answer"]);
    assert!(played.cases[0].exhausted && played.cases[0].acknowledged.is_none());
    assert_eq!(played.cases[0].paged, ["ana", "bo"]);
    let late = play(CONFIG, &["ana: answers in 3m", "bo: email fails"]);
    assert_eq!(late.cases[0].paged, ["ana"]);
}

#[test]
fn what_is_not_understood_is_refused_with_a_hint() {
    let config = read_page_config("c.yml", CONFIG).unwrap();
    for text in [
        "ana",
        "eve: asleep",
        "ana: dances",
        "ana: asleep 22-7",
        "fax: down",
        "ana: fax fails",
        "ana: answers in soon",
        "ntfy: sings",
    ] {
        let error = Failure::parse(text, &config.oncall).unwrap_err();
        assert!(error.contains("hint: "), "{text}: {error}");
    }
    let mut problems = Problems::default();
    let found = read_alerts(
        "a.yml",
        "[{at: soon, labels: {a: b}}, {labels: {}}, {at: '2026-01-01T00:00:00Z'}]",
        &TimeZone::UTC,
        jiff::Timestamp::UNIX_EPOCH,
        &mut problems,
    );
    assert!(found.is_empty());
    assert_eq!(problems.0.len(), 3, "{problems}");
}
