use proptest::prelude::*;

use super::*;

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[test]
fn every_form_is_taken_out() {
    let secret = Secret::new("p@ss \"w\u{f6}rd\"/1");
    let raw = secret.expose().as_bytes();
    let redactor = Redactor::new([&secret]);
    for before in ["", "a", "ab"] {
        let mut text = before.as_bytes().to_vec();
        text.extend_from_slice(raw);
        text.extend_from_slice(b"tail");
        let encoded = STANDARD_NO_PAD.encode(&text);
        let redacted = redactor.redact(encoded.as_bytes());
        assert!(contains(&redacted, MARK), "{before:?}");
        assert!(
            redacted.len() < encoded.len() - raw.len() + MARK.len(),
            "{before:?}"
        );
    }
    for text in [
        secret.expose().to_owned(),
        serde_json::to_string(secret.expose()).unwrap(),
        String::from_utf8(percent_encoded(raw, true)).unwrap(),
        String::from_utf8(hex(raw, false)).unwrap(),
    ] {
        let redacted = redactor.redact(format!("<{text}>").as_bytes());
        assert!(contains(&redacted, MARK), "{text}");
        assert!(redacted.len() <= MARK.len() + 4, "{text}");
    }
}

#[test]
fn overlapping_secrets_leave_nothing_of_either() {
    let secrets = [Secret::new("abcdef"), Secret::new("defghi")];
    let redactor = Redactor::new(&secrets);
    assert_eq!(redactor.redact(b"1abcdefghi2"), b"1<secret>2");
    assert_eq!(redactor.redact(b"abcdefabcdef"), b"<secret><secret>");
}

#[test]
fn lines_of_a_key_are_taken_out_one_by_one() {
    let key = Secret::new("-----BEGIN KEY-----\nMIIEvQIBADANBg\nabc\n-----END KEY-----\n");
    let redacted = Redactor::new([&key]).redact(b"line: MIIEvQIBADANBg, abc");
    assert_eq!(redacted, b"line: <secret>, abc");
}

#[test]
fn without_secrets_nothing_is_held_back() {
    let mut stream = Redactor::new([]).stream();
    assert_eq!(stream.push(b"abc"), b"abc");
    let short = Redactor::new([&Secret::new("a")]);
    assert_eq!(short.redact(b"abc"), b"abc");
}

proptest! {
    #[test]
    fn chunks_do_not_matter_and_no_secret_survives(
        pieces in prop::collection::vec(prop_oneof![
            Just("hunter2secret".to_owned()),
            Just("hunter2".to_owned()),
            Just("secretkey".to_owned()),
            Just("2secretkeyhunt".to_owned()),
            "[a-z ]{0,6}",
        ], 0..12),
        cuts in prop::collection::vec(1_usize..9, 1..40),
    ) {
        let secrets = [Secret::new("hunter2secret"), Secret::new("secretkey"), Secret::new("tkey")];
        let redactor = Redactor::new(&secrets);
        let text = pieces.concat().into_bytes();
        let whole = redactor.redact(&text);
        for secret in &secrets {
            prop_assert!(!contains(&whole, secret.expose().as_bytes()));
        }
        let mut stream = redactor.stream();
        let mut out = Vec::new();
        let mut rest = text.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, left) = rest.split_at((*cut).min(rest.len()));
            out.extend(stream.push(chunk));
            rest = left;
        }
        out.extend(stream.finish());
        prop_assert_eq!(out, whole);
    }
}
