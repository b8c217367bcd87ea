//! The page of silences, with a preview.

use bellwether_ui::{
    Chrome, Preview, PreviewAlert, SilenceForm, SilenceRow, SilenceWord, SilencesPage,
    render_silences,
};
use jiff::SignedDuration;

pub(crate) fn page(chrome: &Chrome) -> String {
    let hours = SignedDuration::from_hours;
    let row = |id: &str, state, from: i64, to: i64, comment: &str| SilenceRow {
        id: id.to_owned(),
        matchers: vec![r#"{service="shop",severity=~"page|ticket"}"#.to_owned()],
        state,
        from: chrome.now + hours(from),
        to: chrome.now + hours(to),
        by: "Ana".to_owned(),
        comment: comment.to_owned(),
        hides: 3,
        may_end: state != SilenceWord::Expired,
    };
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let alert = |instance: &str, suppressed| PreviewAlert {
        labels: vec![
            label("alertname", "LatencyHigh"),
            label("service", "shop"),
            label("instance", instance),
        ],
        since: chrome.now - hours(1),
        cases: vec![("case-1".to_owned(), "Checkout is slow".to_owned())],
        suppressed,
    };
    let page = SilencesPage {
        silences: vec![
            row("s1", SilenceWord::Active, -1, 2, "move of the database"),
            row("s2", SilenceWord::Pending, 5, 9, "CHG-117"),
            row("s3", SilenceWord::Expired, -9, -3, ""),
        ],
        form: Some(SilenceForm {
            matchers: r#"service="shop""#.to_owned(),
            lasts: "2h".to_owned(),
            comment: "restart".to_owned(),
            problem: None,
            preview: Some(Preview {
                alerts: vec![alert("web-1:8080", false), alert("web-2:8080", true)],
                total: 5,
                ends: Some(chrome.now + hours(2)),
            }),
        }),
    };
    render_silences(chrome, &page)
}
