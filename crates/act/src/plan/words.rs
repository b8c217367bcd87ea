//! Command lines that no shell reads: words for a program, and what it gets on standard input.

use super::substitute::{self, Values};
use crate::runbook::braced_names;

/// Splits a command line into words: blanks between, `'…'` and `"…"` around, a backslash before. `{{x}}` stays whole
/// and becomes (part of) exactly one word. What only a shell understands is an error.
pub(super) fn words(line: &str, values: &Values) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars().peekable();
    let mut quote: Option<char> = None;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => match chars.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("a backslash at the end".to_owned()),
            },
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '{') if chars.peek() == Some(&'{') => {
                let word = word.get_or_insert_default();
                word.push('{');
                for c in chars.by_ref() {
                    word.push(c);
                    if word.ends_with("}}") {
                        break;
                    }
                }
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '|' | ';' | '&' | '<' | '>' | '`' | '$') => {
                return Err(format!(
                    "{c:?} means something to a shell only: there is none here; write an sh block, or quote it"
                ));
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote that is not closed".to_owned());
    }
    words.extend(word);
    words
        .into_iter()
        .map(|word| {
            let filled = substitute::plain(&word, values)?;
            // A value must not become an option of the program.
            if filled.starts_with('-') && !word.starts_with('-') && !braced_names(&word).is_empty()
            {
                return Err(format!("{word} would be read as an option: {filled:?}"));
            }
            Ok(filled)
        })
        .collect()
}

/// What `kubectl` does to the cluster, by its command.
pub(crate) fn kubectl_reads(body: &str) -> bool {
    let mut words = body
        .split_whitespace()
        .skip_while(|word| *word == "kubectl")
        .filter(|word| !word.starts_with('-'));
    match words.next() {
        Some(
            "get" | "describe" | "logs" | "top" | "explain" | "api-resources" | "api-versions"
            | "version" | "diff" | "cluster-info" | "events" | "wait",
        ) => true,
        Some("rollout") => matches!(words.next(), Some("status" | "history")),
        Some("auth") => words.next() == Some("can-i"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{kubectl_reads, words};

    #[test]
    fn a_value_is_one_word_and_never_an_option() {
        let values = |value: &str| BTreeMap::from([("x".to_owned(), value.to_owned())]);
        let split = |line: &str, value: &str| words(line, &values(value));
        assert_eq!(
            split("get pod {{x}} -o 'a b' --l=\"{{x}}\"", "a b;c").unwrap(),
            ["get", "pod", "a b;c", "-o", "a b", "--l=a b;c"]
        );
        assert_eq!(split("a \\\n  b", "").unwrap(), ["a", "b"]);
        assert!(split("get {{x}}", "--all").unwrap_err().contains("option"));
        assert!(split("get a | less", "").unwrap_err().contains("shell"));
        assert!(split("get 'a", "").unwrap_err().contains("quote"));
    }

    #[test]
    fn what_looks_is_known() {
        assert!(kubectl_reads("kubectl get pods -n x"));
        assert!(kubectl_reads("rollout status deploy/x"));
        assert!(!kubectl_reads("rollout undo deploy/x"));
        assert!(!kubectl_reads("delete pod x"));
    }
}
