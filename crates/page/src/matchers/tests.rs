use super::{Mode, parse, write_all};

fn both(text: &str) -> String {
    let show = |mode| match parse(text, mode) {
        Ok(matchers) => write_all(&matchers),
        Err(error) => format!("error: {error}").chars().take(26).collect(),
    };
    format!(
        "{text} -> classic {} | utf8 {} | fallback {}",
        show(Mode::Classic),
        show(Mode::Utf8),
        show(Mode::Fallback)
    )
}

#[test]
fn both_languages_and_the_fallback() {
    let lines: Vec<String> = [
        "",
        "{}",
        r#"foo="bar""#,
        r"foo=bar",
        r#"{foo="bar",baz!~"q.*",}"#,
        r#"{foo="bar""#,
        "foo=",
        "foo= bar ",
        r#"foo=~"[0-9]""#,
        r#""foo 🙂"="bar""#,
        r"ünicode=x",
        r#"foo="a\"b\\c\nd""#,
        r#"foo="a\dx""#,
        r#"foo="\u00e9""#,
        r#"foo="bar"#,
        r#"foo=ba"r"#,
        "0x=y",
        "foo",
        r#"foo="a,b",bar="}""#,
        "foo=bar baz",
    ]
    .into_iter()
    .map(both)
    .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

proptest::proptest! {
    #[test]
    fn written_matchers_are_read_again(value in "[a-z\"\\\\\n {},=~!]{0,12}", name in "[a-z_]{1,5}") {
        let matcher = bellwether_model::Matcher::equal(&name, &value);
        let text = write_all(std::slice::from_ref(&matcher));
        let read = parse(&text, Mode::Utf8).unwrap();
        proptest::prop_assert_eq!(read, vec![matcher]);
    }

    #[test]
    fn no_text_panics(text in "[a-z\"\\\\{},=~! xu0é]{0,40}") {
        for mode in [Mode::Classic, Mode::Utf8, Mode::Fallback] {
            let _ignored = parse(&text, mode);
        }
    }
}
