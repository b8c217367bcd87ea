use bellwether_page::matchers::Mode;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    "2026-11-22T02:00:00Z".parse().unwrap()
}

fn answer(body: &str) -> String {
    match read_alerts(body.as_bytes(), Mode::Fallback) {
        Err(refusal) => shown(&refusal),
        Ok(posted) => match posted.answer() {
            Some(refusal) => format!("{} good, {}", posted.good.len(), shown(&refusal)),
            None => format!("{} good", posted.good.len()),
        },
    }
}

fn shown(refusal: &Refusal) -> String {
    let body = refusal.body.as_ref().map(ToString::to_string);
    format!("{} {}", refusal.status, body.unwrap_or_default())
}

/// What Alertmanager 0.25 and 0.34 answer; the reasons of the decoder are our decoder's.
#[test]
fn posts_of_alerts() {
    for (body, wanted) in [
        (r#"[{"labels":{"alertname":"a"}}]"#, "1 good"),
        (
            r#"[{"Labels":{"alertname":"a"},"generatorURL":"http://p:9090/graph?g0.expr=up+%3D%3D+0"}]"#,
            "1 good",
        ),
        (
            "[[]]",
            r#"400 {"code":400,"message":"parsing alerts body from \"\" failed, because invalid type: sequence, expected an object at line 1 column 3"}"#,
        ),
        ("[]", "0 good"),
        ("null", "0 good"),
        (
            "",
            r#"422 {"code":602,"message":"alerts in body is required"}"#,
        ),
        (
            "[{}]",
            r#"422 {"code":602,"message":"0.labels in body is required"}"#,
        ),
        (
            "[null]",
            r#"422 {"code":602,"message":"0.labels in body is required"}"#,
        ),
        (
            r#"[{"labels":{"alertname":"a"},"generatorURL":"not a url"}]"#,
            r#"422 {"code":601,"message":"0.generatorURL in body must be of type uri: \"not a url\""}"#,
        ),
        (
            r#"[{"labels":{"a":"b"}},{"labels":{}},{"labels":{"a":""}},{"labels":{"a":"c"},"startsAt":"2024-01-01T00:00:00Z","endsAt":"2023-01-01T00:00:00Z"},{"labels":{"":"x"}}]"#,
            r#"1 good, 400 "at least one label pair required; at least one label pair required; start time must be before end time; invalid label set: invalid name \"\"""#,
        ),
        (
            "nonsense",
            r#"400 {"code":400,"message":"parsing alerts body from \"\" failed, because expected ident at line 1 column 2"}"#,
        ),
        (
            r#"[{"labels":{"a":"b"},"startsAt":"yesterday"}]"#,
            r#"400 {"code":400,"message":"parsing alerts body from \"\" failed, because parsing time \"yesterday\": it must be written like 2026-01-02T15:04:05Z at line 1 column 44"}"#,
        ),
    ] {
        assert_eq!(answer(body), wanted, "{body}");
    }
}

#[test]
fn names_follow_the_mode() {
    let body = br#"[{"labels":{"bad-name":"x"}},{"labels":{"a":"c"},"annotations":{"b-d":"x"}}]"#;
    let classic = read_alerts(body, Mode::Classic).unwrap();
    assert!(classic.good.is_empty());
    assert_eq!(
        classic.refused.join("; "),
        r#"invalid label set: invalid name "bad-name"; invalid annotations: invalid name "b-d""#
    );
    assert_eq!(read_alerts(body, Mode::Fallback).unwrap().good.len(), 2);
}

#[test]
fn times_are_read_as_the_original_reads_them() {
    let read = |text: &str| {
        let body = format!(r#"[{{"labels":{{"a":"b"}},"endsAt":"{text}"}}]"#);
        read_alerts(body.as_bytes(), Mode::Fallback).unwrap().good[0].ends_at
    };
    assert_eq!(read("0001-01-01T00:00:00Z"), None);
    assert_eq!(read(""), None);
    for same in [
        "2026-11-22T02:00:00Z",
        "2026-11-22T03:00:00+01:00",
        "2026-11-22T02:00:00.000000000Z",
        "2026-11-22 02:00:00",
    ] {
        assert_eq!(read(same), Some(now()), "{same}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let many = format!(
        "[{}]",
        vec![r#"{"labels":{"a":"b"}}"#; ALERTS_MAX + 1].join(",")
    );
    assert_eq!(
        read_alerts(many.as_bytes(), Mode::Fallback)
            .unwrap_err()
            .status,
        413
    );
    let large = format!(
        r#"[{{"labels":{{"a":"{}"}}}},{{"labels":{{"b":"c"}}}}]"#,
        "x".repeat(1 << 20)
    );
    let posted = read_alerts(large.as_bytes(), Mode::Fallback).unwrap();
    assert_eq!(posted.good.len(), 1);
    assert_eq!(
        shown(&posted.answer().unwrap()),
        r#"400 "labels and annotations have 1048577 bytes, more than 262144""#
    );
    let bad_utf8 = b"[{\"labels\":{\"a\":\"\xff\"}}]";
    assert_eq!(
        read_alerts(bad_utf8, Mode::Fallback).unwrap_err().status,
        400
    );
}

fn silence(body: &str) -> String {
    match read_silence(body.as_bytes(), Mode::Fallback, now(), |id| id == "known") {
        Err(refusal) => shown(&refusal),
        Ok(new) => format!("good {:?} from {:?}", new.matcher_sets, new.starts_at),
    }
}

#[test]
fn posts_of_silences() {
    let rest = r#""startsAt":"2026-11-22T01:00:00Z","endsAt":"2026-12-22T01:00:00Z","createdBy":"me","comment":"c""#;
    let with = |matcher: &str| silence(&format!(r#"{{"matchers":[{matcher}],{rest}}}"#));
    let coded = |code: u16, text: &str| format!(r#"422 {{"code":{code},"message":"{text}"}}"#);
    assert!(with(r#"{"name":"a","value":"b","isRegex":false}"#).starts_with("good"));
    assert!(with(r#"{"name":"a-b","value":"b","isRegex":false}"#).starts_with("good"));
    assert_eq!(
        with(""),
        coded(612, "matchers in body should have at least 1 items")
    );
    assert_eq!(
        with("{}"),
        coded(602, "matchers.0.isRegex in body is required")
    );
    assert_eq!(
        with(r#"{"name":"a","isRegex":true}"#),
        coded(602, "matchers.0.value in body is required")
    );
    for (matcher, why) in [
        (
            r#"{"name":"a","value":"","isRegex":false}"#,
            "at least one matcher must not match the empty string",
        ),
        (
            r#"{"name":"a","value":".*","isRegex":true}"#,
            "at least one matcher must not match the empty string",
        ),
        (
            r#"{"name":"","value":"b","isRegex":false}"#,
            r#"invalid label matcher 0: invalid label name \"\""#,
        ),
    ] {
        assert_eq!(with(matcher), format!(r#"400 "invalid silence: {why}""#));
    }
    assert!(
        with(r#"{"name":"a","value":"(","isRegex":true}"#).starts_with(
            r#"400 "invalid silence: invalid label matcher 0: invalid regular expression"#
        )
    );
    assert!(
        with(r#"{"name":"a","value":"(((x{100}){100}){100}){100}","isRegex":true}"#)
            .starts_with("400")
    );
    assert_eq!(
        silence(&format!("{{{rest}}}")),
        coded(602, "matchers in body is required")
    );
    assert_eq!(silence("{}"), coded(602, "comment in body is required"));
    assert_eq!(silence("null"), coded(602, "comment in body is required"));
    assert_eq!(silence(""), coded(602, "silence in body is required"));
    let one = r#""matchers":[{"name":"a","value":"b","isRegex":false}]"#;
    assert_eq!(
        silence(&format!(r#"{{"id":"no",{one},{rest}}}"#)),
        r#"404 "silence not found""#
    );
    assert!(silence(&format!(r#"{{"id":"known",{one},{rest}}}"#)).starts_with("good"));
    let past = r#""startsAt":"2020-12-21T01:00:00Z","endsAt":"2020-12-22T01:00:00Z","createdBy":"","comment":"""#;
    assert_eq!(
        silence(&format!("{{{one},{past}}}")),
        r#"400 "Failed to create silence: end time can't be in the past""#
    );
    let turned = r#""startsAt":"2026-12-23T01:00:00Z","endsAt":"2026-12-22T01:00:00Z","createdBy":"","comment":"""#;
    assert_eq!(
        silence(&format!("{{{one},{turned}}}")),
        r#"400 "Failed to create silence: start time must be before end time""#
    );
}

#[test]
fn queries() {
    let query = |name: &str, value: &str| {
        let pairs = [(name.to_owned(), value.to_owned())];
        Query::read(&pairs, Mode::Fallback)
            .map(|_| ())
            .map_err(|refusal| shown(&refusal))
    };
    assert_eq!(query("active", "nope"), Ok(()));
    assert_eq!(query("filter", "a=b"), Ok(()));
    assert_eq!(
        query("filter", "x"),
        Err(r#"400 "bad matcher format: x""#.to_owned())
    );
    assert_eq!(
        query("filter", "{a=b,c=d}"),
        Err(r#"400 "expected 1 matcher, found 2""#.to_owned())
    );
    assert!(
        query("receiver", "(")
            .unwrap_err()
            .starts_with(r#"400 "failed to parse receiver param"#)
    );
    assert!(
        is_uuid("6d3a1d5a-7e4b-4c0e-9a4b-0123456789ab")
            && !is_uuid("abc")
            && !is_uuid("6d3a1d5a-7e4b-4c0e-9a4b-0123456789ag")
    );
}

proptest! {
    #[test]
    fn no_bytes_break_the_readers(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(read_alerts(&bytes, Mode::Fallback));
        drop(read_silence(&bytes, Mode::Fallback, now(), |_| true));
    }

    #[test]
    fn almost_good_posts_do_not_break_the_readers(
        text in r#"\[?\{"(labels|matchers|startsAt|generatorURL)": ?(\{"a":"[a-z%:/]{0,9}"\}|\[\{"name":"a"\}\]|"[ -~]{0,9}"|null|1)\}\]?"#
    ) {
        drop(read_alerts(text.as_bytes(), Mode::Fallback));
        drop(read_silence(text.as_bytes(), Mode::Fallback, now(), |_| true));
    }
}
