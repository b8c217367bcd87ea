//! Putting a page together from its front matter and blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::{Problem, Problems, Severity};

use super::attributes::{Info, language, read_info};
use super::front::{error_at, read_front, split_front};
use super::markdown::{Block, Code, read_blocks};
use super::section::{section_kind, slug};
use super::shell::{is_interactive, looks_like_commands, placeholders, split_session};
use super::step::{Draft, finish_step};
use super::{
    BYTES_MAX, Effect, Found, Lang, Origin, Place, Runbook, STEPS_MAX, Section, SectionKind, Step,
};
use crate::digest::sha256_hex;

pub(super) fn parse(file: &str, text: &str) -> (Option<Runbook>, Problems) {
    let file: Arc<str> = file.into();
    let mut problems = Problems::default();
    if text.len() > BYTES_MAX {
        let mib = BYTES_MAX >> 20;
        problems.push(
            Problem::error(
                &file,
                1,
                1,
                format!("page of {} bytes; {mib} MiB at most", text.len()),
            )
            .with_hint("split it into several pages"),
        );
        return (None, problems);
    }
    let without_bom = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (front_text, markdown, base) = split_front(without_bom);
    let front = front_text
        .map(|front| read_front(&file, front, &mut problems))
        .unwrap_or_default();
    let stem = file.rsplit('/').next().unwrap_or_default();
    let stem = stem.strip_suffix(".md").unwrap_or(stem);
    let named = front.id.is_some();
    let mut builder = Builder {
        declared: front
            .inputs
            .iter()
            .map(|input| input.name.clone())
            .collect(),
        file: Arc::clone(&file),
        ours: named,
        problems,
        sections: Vec::new(),
        steps: Vec::new(),
        found: Found::default(),
        title: None,
        above: Vec::new(),
        ordinals: BTreeMap::new(),
        references: Vec::new(),
        full: false,
    };
    for block in read_blocks(markdown, base) {
        builder.take(block);
    }
    builder.close_section(base + markdown.lines().count() as u32 + 1);
    builder.finish();
    let Builder {
        mut problems,
        sections,
        steps,
        found,
        title,
        ..
    } = builder;
    problems.sort();
    let runbook = Runbook {
        id: front.id.unwrap_or_else(|| slug(stem)),
        named,
        title: front.title.or(title).unwrap_or_else(|| stem.to_owned()),
        file,
        owner: front.owner,
        alerts: front.alerts,
        inputs: front.inputs,
        limits: front.limits,
        approve: front.approve,
        sections,
        steps,
        found,
        hash: sha256_hex(text.as_bytes()),
        text: text.into(),
        body_line: base + 1,
    };
    (Some(runbook), problems)
}

/// Whether a text may be the id of a page or a step.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

struct Builder {
    file: Arc<str>,
    declared: Vec<String>,
    /// Whether the front matter names a runbook.
    ours: bool,
    problems: Problems,
    sections: Vec<Section>,
    steps: Vec<Step>,
    found: Found,
    title: Option<String>,
    /// Headings that the present place stands under: level and kind, from the outermost.
    above: Vec<(u8, SectionKind)>,
    /// Steps so far under each slug.
    ordinals: BTreeMap<String, u32>,
    /// `probe=` and `undo=`: attribute, id, place.
    references: Vec<(&'static str, String, Place)>,
    /// Whether the limit of steps has been reported.
    full: bool,
}

/// What a block of code is.
enum Reading {
    /// For reading.
    Text,
    Step {
        lang: Lang,
        console: bool,
    },
}

fn read_language(word: &str, body: &str) -> Reading {
    let step = |lang| Reading::Step {
        lang,
        console: false,
    };
    match word {
        "sh" => step(Lang::Sh),
        "bash" | "shell" | "zsh" => step(Lang::Bash),
        "console" | "shell-session" | "shellsession" | "terminal" => Reading::Step {
            lang: Lang::Bash,
            console: true,
        },
        "promql" => step(Lang::Promql),
        "http" => step(Lang::Http),
        "sql" | "postgresql" | "pgsql" => step(Lang::Sql),
        "manual" => step(Lang::Manual),
        "kubectl" => step(Lang::Kubectl),
        "terraform-apply" => step(Lang::Terraform),
        "ansible-playbook" => step(Lang::Ansible),
        "chef-client" => step(Lang::Chef),
        "chat" => step(Lang::Chat),
        "" if looks_like_commands(body) => step(Lang::Bash),
        _ => Reading::Text,
    }
}

impl Builder {
    fn take(&mut self, block: Block) {
        match block {
            Block::Heading {
                level,
                title,
                place,
            } => self.heading(level, title, place),
            Block::Table => self.found.tables += 1,
            Block::Code(code) => self.code(code),
            Block::Inline {
                code,
                place,
                before,
                in_quote,
            } => {
                self.inline(&code, place, &before, in_quote);
            }
        }
    }

    fn heading(&mut self, level: u8, title: String, place: Place) {
        self.found.headings += 1;
        self.close_section(place.line);
        let is_title = level == 1 && self.title.is_none();
        // A page's own title names its subject: "Redis recovery" does not make the whole page a fix.
        let own = if is_title && title.split_whitespace().count() > 1 {
            SectionKind::Other
        } else {
            section_kind(&title)
        };
        if self.title.is_none() && level <= 2 {
            self.title = Some(title.clone());
        }
        let above = self.kind_above(level).filter(|_| own == SectionKind::Other);
        self.above.push((level, above.unwrap_or(own)));
        self.sections.push(Section {
            title,
            level,
            kind: above.unwrap_or(own),
            inherited: above.is_some(),
            place,
            end_line: place.line,
        });
    }

    /// Kind of the nearest heading above that a heading of this level stands under.
    fn kind_above(&mut self, level: u8) -> Option<SectionKind> {
        self.above.retain(|(above, _)| *above < level);
        let known = |(_, kind): &&(u8, SectionKind)| *kind != SectionKind::Other;
        self.above.iter().rev().find(known).map(|(_, kind)| *kind)
    }

    fn close_section(&mut self, line: u32) {
        if let Some(last) = self.sections.last_mut() {
            last.end_line = line;
        }
    }

    /// Index of the section that a block at this place stands in.
    fn section(&mut self, place: Place) -> usize {
        if self.sections.is_empty() {
            self.sections.push(Section {
                title: String::new(),
                level: 0,
                kind: SectionKind::Other,
                inherited: false,
                place,
                end_line: place.line,
            });
        }
        self.sections.len() - 1
    }

    fn code(&mut self, code: Code) {
        let Some(raw) = code.info.clone() else {
            self.found.indented += 1;
            if looks_like_commands(&code.body) {
                self.block_step(code, Info::default(), Lang::Bash, false, Origin::Indented);
            }
            return;
        };
        let word = language(&raw);
        self.found.fences += 1;
        self.found.fences_in_lists += u32::from(code.in_list);
        self.found.fences_without_language += u32::from(word.is_empty());
        if !code.closed {
            // CommonMark lets it run to the end. In a page that was not written for us that is no error, but what
            // it swallowed is no step either.
            let mut problem = error_at(&self.file, code.place, "this fence never ends")
                .with_hint("close it with the same characters on a line of their own");
            if !self.ours {
                problem.severity = Severity::Warning;
            }
            self.problems.push(problem);
            return;
        }
        let Reading::Step { lang, console } = read_language(&word, &code.body) else {
            return;
        };
        let info = read_info(&raw);
        for (at, fault) in &info.faults {
            let problem = error_at(&self.file, shifted(code.info_place, *at), fault.clone());
            self.problems.push(problem);
        }
        if info.attributes.contains_key("skip") {
            return;
        }
        self.block_step(code, info, lang, console, Origin::Fence);
    }

    fn block_step(&mut self, code: Code, info: Info, lang: Lang, console: bool, origin: Origin) {
        let is_shell = matches!(lang, Lang::Sh | Lang::Bash);
        let session = is_shell
            .then(|| split_session(&code.body, console))
            .flatten();
        self.found.console_blocks += u32::from(session.is_some());
        let (body, expected) =
            session.unwrap_or_else(|| (code.body.trim_end().to_owned(), String::new()));
        if body.trim().is_empty() {
            return;
        }
        self.found.with_expected_output += u32::from(!expected.is_empty());
        self.found.block_steps += 1;
        let draft = Draft {
            lang,
            body,
            expected,
            place: code.place,
            info_place: code.info_place,
            origin,
            in_list: code.in_list,
            in_quote: code.in_quote,
            before: code.before,
            info,
        };
        self.add(draft);
    }

    fn inline(&mut self, code: &str, place: Place, before: &str, in_quote: bool) {
        self.found.inline_steps += 1;
        let body = code.trim().trim_start_matches("$ ").to_owned();
        self.add(Draft {
            lang: Lang::Bash,
            body,
            expected: String::new(),
            place,
            info_place: place,
            origin: Origin::Inline,
            in_list: true,
            in_quote,
            before: before.to_owned(),
            info: Info::default(),
        });
    }

    fn add(&mut self, draft: Draft) {
        if self.steps.len() >= STEPS_MAX {
            if !self.full {
                self.full = true;
                let message = format!("more than {STEPS_MAX} steps; the rest is left out");
                let problem = error_at(&self.file, draft.place, message);
                self.problems.push(problem);
            }
            return;
        }
        let index = self.section(draft.place);
        let section = &self.sections[index];
        let (heading, kind) = (section.title.clone(), section.kind);
        let is_shell = matches!(draft.lang, Lang::Sh | Lang::Bash);
        let declared: Vec<&str> = self.declared.iter().map(String::as_str).collect();
        let placeholders = placeholders(&draft.body, is_shell, &declared);
        let interactive = is_shell && is_interactive(&draft.body);
        self.found.with_placeholders += u32::from(!placeholders.is_empty());
        self.found.interactive += u32::from(interactive);
        let mut step = finish_step(
            draft,
            &heading,
            &self.file,
            &mut self.problems,
            &mut self.references,
        );
        step.section = index;
        step.kind = kind;
        step.placeholders = placeholders;
        step.uses = super::braced_names(&step.body)
            .into_iter()
            .chain(
                step.verify
                    .iter()
                    .flat_map(|v| super::braced_names(&v.query)),
            )
            .chain(super::braced_names(&step.target))
            .chain(
                step.primary
                    .iter()
                    .flat_map(|query| super::braced_names(query)),
            )
            .filter(|name| self.declared.contains(name))
            .collect();
        step.uses.dedup();
        if interactive {
            step.interactive = true;
            step.effect = step.effect.filter(|effect| *effect == Effect::Read);
        }
        if step.id.is_empty() {
            step.id = self.ordinal_id(&heading);
        } else if let Some(other) = self
            .steps
            .iter()
            .find(|other| other.named && other.id == step.id)
        {
            let message = format!(
                "step id {:?} is already used on line {}",
                step.id, other.place.line
            );
            let problem = error_at(&self.file, step.place, message);
            self.problems.push(problem);
            step.id = self.ordinal_id(&heading);
            step.named = false;
        }
        self.steps.push(step);
    }

    fn ordinal_id(&mut self, heading: &str) -> String {
        let slug = slug(heading);
        let ordinal = self.ordinals.entry(slug.clone()).or_insert(0);
        *ordinal += 1;
        format!("{slug}-{ordinal}")
    }

    /// What can only be checked when all steps are known.
    fn finish(&mut self) {
        self.shift_derived_ids();
        for (attribute, id, place) in std::mem::take(&mut self.references) {
            if self.steps.iter().any(|step| step.id == id) {
                continue;
            }
            let problem = error_at(
                &self.file,
                place,
                format!("{attribute}={id}: no step has this id"),
            );
            let known = self.steps.iter().map(|step| step.id.as_str());
            self.problems
                .push(match bellwether_model::suggest(&id, known) {
                    Some(near) => problem.with_hint(format!("did you mean {near:?}?")),
                    None => problem,
                });
        }
        let mut change_before = false;
        for step in &self.steps {
            if step.is_undo && !change_before {
                let message = "this undo block has no step before it to take back";
                self.problems
                    .push(error_at(&self.file, step.place, message));
            }
            change_before |= !step.is_undo;
        }
    }

    /// A derived id that a written one takes gets a letter: written ids are promises.
    fn shift_derived_ids(&mut self) {
        let named: Vec<String> = self
            .steps
            .iter()
            .filter(|step| step.named)
            .map(|step| step.id.clone())
            .collect();
        for step in self.steps.iter_mut().filter(|step| !step.named) {
            while named.contains(&step.id) {
                step.id.push('x');
            }
        }
    }
}

/// The place some characters further on the same line.
pub(super) fn shifted(place: Place, by: usize) -> Place {
    Place {
        line: place.line,
        column: place.column + by as u32,
    }
}
