//! A block and its attributes to a step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::duration::parse_duration;
use bellwether_model::{Problems, suggest};
use regex::Regex;

use super::attributes::{Attribute, Info};
use super::front::error_at;
use super::parse::{is_id, shifted};
use super::shell::parse_http;
use super::{Capture, CaptureAs, Effect, Lang, Origin, Place, SectionKind, Step, Verify};
use crate::digest::digest_of;

/// Attributes of a step's info string.
const ATTRIBUTES: [&str; 20] = [
    "approve",
    "capture",
    "confirm",
    "destructive",
    "effect",
    "expect",
    "grace",
    "id",
    "idempotent",
    "ok",
    "primary",
    "probe",
    "retries",
    "skip",
    "target",
    "timeout",
    "title",
    "undo",
    "verify",
    "within",
];

/// How long a verify query is asked when the page does not say.
pub(crate) const VERIFY_WITHIN: Duration = Duration::from_mins(2);

/// A block that is a step, before its attributes are read.
pub(super) struct Draft {
    pub(super) lang: Lang,
    pub(super) body: String,
    pub(super) expected: String,
    pub(super) place: Place,
    pub(super) info_place: Place,
    pub(super) origin: Origin,
    pub(super) in_list: bool,
    pub(super) in_quote: bool,
    pub(super) before: String,
    pub(super) info: Info,
}

struct Reader<'a> {
    file: &'a Arc<str>,
    place: Place,
    attributes: BTreeMap<String, Attribute>,
    problems: &'a mut Problems,
}

/// Reads the attributes. The caller fills in section, placeholders, uses and a derived id.
pub(super) fn finish_step(
    draft: Draft,
    heading: &str,
    file: &Arc<str>,
    problems: &mut Problems,
    references: &mut Vec<(&'static str, String, Place)>,
) -> Step {
    let Draft {
        lang,
        body,
        expected,
        place,
        info_place,
        origin,
        in_list,
        in_quote,
        before,
        info,
    } = draft;
    let hash = content_hash(lang, &body, &info);
    let mut read = Reader {
        file,
        place: info_place,
        attributes: info.attributes,
        problems,
    };
    read.refuse_unknown();
    let id = read.id();
    let title = read
        .text("title")
        .or_else(|| Some(info.comment).filter(|comment| !comment.is_empty()))
        .or_else(|| sentence(&before))
        .unwrap_or_else(|| heading.to_owned());
    let (undo, is_undo) = match read.attributes.get("undo") {
        Some(Attribute { value: None, .. }) => (None, true),
        Some(_) => (read.reference("undo", references), false),
        None => (None, false),
    };
    // Convergent by their nature: a second run finds nothing to do.
    let convergent = matches!(lang, Lang::Ansible | Lang::Chef);
    let idempotent = read.flag("idempotent") || convergent;
    let step = Step {
        named: id.is_some(),
        id: id.unwrap_or_default(),
        title,
        section: 0,
        kind: SectionKind::Other,
        effect: read.effect(lang, &body),
        target: read.target(),
        timeout: read.duration("timeout"),
        grace: read.duration("grace"),
        retries: read.retries(idempotent),
        idempotent,
        ok: read.codes(),
        probe: read.reference("probe", references),
        undo,
        capture: read.capture(),
        expect: read.expect(),
        verify: read.verify(lang, &body),
        approve: read.flag("approve"),
        confirm: read.flag("confirm"),
        destructive: read.flag("destructive"),
        primary: read.text("primary"),
        is_undo,
        lang,
        body,
        expected,
        hash,
        place,
        origin,
        in_list,
        in_quote,
        placeholders: Vec::new(),
        interactive: false,
        uses: Vec::new(),
    };
    if lang == Lang::Http
        && let Err(fault) = parse_http(&step.body)
    {
        let below = Place {
            line: place.line + 1,
            column: place.column,
        };
        read.problems.push(error_at(file, below, fault));
    }
    step
}

/// Everything that makes a step what it is: its title and id may change.
fn content_hash(lang: Lang, body: &str, info: &Info) -> String {
    let attributes: BTreeMap<&str, &Option<String>> = info
        .attributes
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "id" | "title"))
        .map(|(key, attribute)| (key.as_str(), &attribute.value))
        .collect();
    digest_of(&(lang, body, attributes))
}

/// The last sentence before a block, as its title.
fn sentence(before: &str) -> Option<String> {
    let text = before.trim().trim_end_matches([':', '.', ',']).trim();
    let last = text.rsplit(". ").next().unwrap_or(text).trim();
    let words: Vec<&str> = last.split_whitespace().collect();
    (words.len() > 1 && last.chars().count() <= 100).then(|| words.join(" "))
}

impl Reader<'_> {
    fn refuse_unknown(&mut self) {
        for (key, attribute) in &self.attributes {
            if ATTRIBUTES.contains(&key.as_str()) {
                continue;
            }
            let place = shifted(self.place, attribute.at);
            let problem = error_at(
                self.file,
                place,
                format!("unknown attribute {key:?} of a step"),
            );
            self.problems.push(match suggest(key, ATTRIBUTES) {
                Some(near) => problem.with_hint(format!("did you mean {near:?}?")),
                None => problem.with_hint(format!("known are {}", ATTRIBUTES.join(", "))),
            });
        }
    }

    fn fault(&mut self, key: &str, message: impl Into<String>) {
        let at = self.attributes.get(key).map_or(0, |attribute| attribute.at);
        let problem = error_at(self.file, shifted(self.place, at), message);
        self.problems.push(problem);
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match &self.attributes.get(key)?.value {
            Some(value) => Some(value.clone()),
            None => {
                self.fault(key, format!("attribute {key:?} needs a value"));
                None
            }
        }
    }

    fn flag(&mut self, key: &str) -> bool {
        let Some(attribute) = self.attributes.get(key) else {
            return false;
        };
        match attribute.value.as_deref() {
            None | Some("true" | "yes") => true,
            Some("false" | "no") => false,
            Some(other) => {
                let message = format!("{key} must be true or false, not {other:?}");
                self.fault(key, message);
                false
            }
        }
    }

    fn id(&mut self) -> Option<String> {
        let id = self.text("id")?;
        if is_id(&id) {
            return Some(id);
        }
        self.fault(
            "id",
            format!("{id:?} is not an id: letters, digits, `-`, `_`, `.`; 64 at most"),
        );
        None
    }

    fn reference(
        &mut self,
        key: &'static str,
        references: &mut Vec<(&'static str, String, Place)>,
    ) -> Option<String> {
        let id = self.text(key)?;
        let at = self.attributes.get(key).map_or(0, |attribute| attribute.at);
        references.push((key, id.clone(), shifted(self.place, at)));
        Some(id)
    }

    fn target(&mut self) -> String {
        let Some(target) = self.text("target") else {
            return "local".to_owned();
        };
        let known = ["ssh:", "kube:", "sql:", "http:", "chat:"];
        if target != "local" && !known.iter().any(|scheme| target.starts_with(scheme)) {
            self.fault(
                "target",
                format!("target {target:?}: local, ssh:HOST, kube:CONTEXT/NAMESPACE, sql:NAME or chat:NAME"),
            );
        }
        target
    }

    fn duration(&mut self, key: &str) -> Option<Duration> {
        let text = self.text(key)?;
        match parse_duration(&text) {
            Ok(duration) if duration <= Duration::from_hours(24) => Some(duration),
            Ok(_) => {
                self.fault(key, format!("{key}: 24h at most"));
                None
            }
            Err(error) => {
                self.fault(key, format!("{key}: {error}"));
                None
            }
        }
    }

    fn effect(&mut self, lang: Lang, body: &str) -> Option<Effect> {
        let declared = self.text("effect");
        let known = match lang {
            Lang::Promql | Lang::Chat => Some(Effect::Read),
            Lang::Kubectl => Some(if crate::plan::kubectl_reads(body) {
                Effect::Read
            } else {
                Effect::Change
            }),
            Lang::Terraform | Lang::Ansible | Lang::Chef => Some(Effect::Change),
            Lang::Http => parse_http(body)
                .ok()
                .map(|request| match request.method.as_str() {
                    "GET" | "HEAD" | "OPTIONS" => Effect::Read,
                    _ => Effect::Change,
                }),
            _ => None,
        };
        match declared.as_deref() {
            Some("read") => Some(Effect::Read),
            Some("change") if lang == Lang::Promql => {
                self.fault("effect", "a query changes nothing");
                known
            }
            Some("change") => Some(Effect::Change),
            Some(other) => {
                self.fault(
                    "effect",
                    format!("effect must be read or change, not {other:?}"),
                );
                known
            }
            None => known,
        }
    }

    fn retries(&mut self, idempotent: bool) -> u32 {
        let Some(text) = self.text("retries") else {
            return 0;
        };
        match text.parse::<u32>() {
            Ok(number) if number > 0 && !idempotent => {
                self.fault(
                    "retries",
                    "retries need the flag idempotent: a step that is not may not run twice",
                );
                0
            }
            Ok(number) if number <= 20 => number,
            _ => {
                self.fault(
                    "retries",
                    format!("retries must be a number up to 20, not {text:?}"),
                );
                0
            }
        }
    }

    fn codes(&mut self) -> Vec<i32> {
        let Some(text) = self.text("ok") else {
            return Vec::new();
        };
        let codes: Result<Vec<i32>, _> = text.split(',').map(|code| code.trim().parse()).collect();
        codes.unwrap_or_else(|_| {
            self.fault(
                "ok",
                format!("ok must be a list of codes such as 0,1, not {text:?}"),
            );
            Vec::new()
        })
    }

    fn capture(&mut self) -> Option<Capture> {
        let text = self.text("capture")?;
        let form = match text.as_str() {
            "text" => CaptureAs::Text,
            "json" => CaptureAs::Json,
            other => match other.strip_prefix("regex:") {
                Some(pattern) => {
                    self.compile("capture", pattern)?;
                    return Some(Capture {
                        form: CaptureAs::Regex,
                        pattern: pattern.to_owned(),
                    });
                }
                None => {
                    self.fault(
                        "capture",
                        format!("capture must be text, json or regex:…, not {other:?}"),
                    );
                    return None;
                }
            },
        };
        Some(Capture {
            form,
            pattern: String::new(),
        })
    }

    fn expect(&mut self) -> Option<String> {
        let text = self.text("expect")?;
        self.compile("expect", &text)?;
        Some(text)
    }

    fn compile(&mut self, key: &str, pattern: &str) -> Option<Regex> {
        match Regex::new(pattern) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let error = error.to_string();
                let last = error.lines().last().unwrap_or_default().to_owned();
                self.fault(key, format!("{key}: {last}"));
                None
            }
        }
    }

    /// A query with `within` is a condition that must come true, as is `verify=` on a step of another language.
    fn verify(&mut self, lang: Lang, body: &str) -> Option<Verify> {
        let within = self.duration("within");
        let query = match self.text("verify") {
            Some(query) => query,
            None if lang == Lang::Promql && within.is_some() => body.to_owned(),
            None => {
                if within.is_some() {
                    self.fault("within", "within needs verify");
                }
                return None;
            }
        };
        Some(Verify {
            query,
            within: within.unwrap_or(VERIFY_WITHIN),
        })
    }
}
