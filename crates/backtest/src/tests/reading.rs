use bellwether_model::Problems;
use proptest::prelude::*;

use crate::incidents::{self, parse_time};

fn read(file: &str, text: &str) -> (String, String) {
    let mut problems = Problems::default();
    let all = incidents::read(file, text, &mut problems);
    let lines: Vec<String> = all
        .iter()
        .map(|i| format!("{} {} {} {} {}", i.id, i.start, i.end, i.labels, i.title))
        .collect();
    (lines.join("\n"), problems.to_string())
}

#[test]
fn one_list_in_three_forms() {
    let csv = "id,start,end,title,labels\n\
        # a comment\n\
        INC-2,1772370300,1772373900,\"slow, very \"\"slow\"\"\",service=api;env=prod\n\
        INC-1,2026-03-01T10:00:00Z,2026-03-01 10:30,down,\n";
    let yaml = "incidents:\n\
        - {id: INC-2, start: 1772370300, end: 1772373900, title: 'slow, very \"slow\"', labels: {service: api, env: prod}}\n\
        - {id: INC-1, start: '2026-03-01T10:00:00Z', end: 2026-03-01 10:30, title: down, severity: high}\n";
    let json = r#"[{"id": "INC-2", "start": 1772370300, "end": 1772373900, "title": "slow, very \"slow\"",
        "labels": {"service": "api", "env": "prod"}},
        {"id": "INC-1", "start": "2026-03-01T10:00:00Z", "end": "2026-03-01T10:30:00Z", "title": "down"}]"#;
    let expected = "INC-1 2026-03-01T10:00:00Z 2026-03-01T10:30:00Z {} down\n\
        INC-2 2026-03-01T13:05:00Z 2026-03-01T14:05:00Z {env=\"prod\", service=\"api\"} slow, very \"slow\"";
    for (file, text) in [("a.csv", csv), ("a.yml", yaml), ("a.json", json)] {
        assert_eq!(
            read(file, text),
            (expected.to_owned(), String::new()),
            "{file}"
        );
    }
}

#[test]
fn every_fault_is_named_and_the_rest_is_read() {
    let (all, problems) = read(
        "i.yml",
        "- {id: a, start: 1, end: 2}\n- {id: b, end: 2}\n- {id: c, start: noon, end: 2}\n- {id: d, start: 3, end: 2}\n",
    );
    assert_eq!(all, "a 1970-01-01T00:00:01Z 1970-01-01T00:00:02Z {} ");
    assert_eq!(
        problems,
        "error: i.yml:2:3: this incident has no start\n\
         error: i.yml:3:18: start: \"noon\" is not a time; write 2026-03-01T14:05:00Z, or seconds since 1970\n\
         error: i.yml:4:3: incident \"d\" ends before it starts\n"
    );
    let (all, problems) = read("i.csv", "id,start,end\na,1,2\nb,x,2\nc,1\n");
    assert_eq!(all, "a 1970-01-01T00:00:01Z 1970-01-01T00:00:02Z {} ");
    assert_eq!(
        problems,
        "error: i.csv:3:1: start: \"x\" is not a time; write 2026-03-01T14:05:00Z, or seconds since 1970\n\
         error: i.csv:4:1: end: \"\" is not a time; write 2026-03-01T14:05:00Z, or seconds since 1970\n"
    );
    assert_eq!(
        read("i.csv", "when,what\n1,2\n").1,
        "error: i.csv:1:1: the header has no start or no end\n  hint: columns: id,start,end,title,labels\n"
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*", csv in "[a-z0-9,\"\n=;:. -]*", time in "\\PC*") {
        drop(read("a.csv", &format!("start,end,labels\n{csv}")));
        drop(read("a.csv", &text));
        drop(read("a.yml", &text));
        drop(parse_time(&time));
    }
}

#[test]
fn cases_that_people_took_are_incidents() {
    use bellwether_model::state::{NewEvent, Subject};
    use serde_json::json;
    let event = |at: i64, case: &str, kind: &str, actor: &str, data: serde_json::Value| NewEvent {
        at: super::at(at * 1000),
        subject: Subject::new("case", case),
        kind: kind.to_owned(),
        actor: actor.to_owned(),
        text: format!("case opened: {case} hurts"),
        data,
    };
    let labels = json!({"alertname": "X", "service": "api"});
    let opened = json!({"urgency": "high", "labels": labels});
    let events = [
        event(10, "taken", "case_opened", "system", opened.clone()),
        event(11, "noise", "case_opened", "system", opened.clone()),
        event(
            12,
            "ticket",
            "case_opened",
            "user:ana",
            json!({"urgency": "low", "labels": {}}),
        ),
        event(13, "open", "case_opened", "user:ana", opened),
        event(20, "taken", "acknowledged", "user:ana", json!({})),
        event(21, "noise", "resolved", "system", json!({})),
        event(30, "taken", "resolved", "system", json!({})),
    ];
    let all: Vec<String> = incidents::from_timeline(&events, super::at(99_000))
        .iter()
        .map(|i| {
            format!(
                "{} {}-{} {}",
                i.id,
                i.start.as_second(),
                i.end.as_second(),
                i.labels
            )
        })
        .collect();
    assert_eq!(
        all,
        [
            "taken 10-30 {service=\"api\"}",
            "open 13-99 {service=\"api\"}"
        ]
    );
}
