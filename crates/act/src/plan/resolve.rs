//! Steps of a page to planned steps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::Problem;
use jiff::Timestamp;

use super::substitute::{self, BodyForm};
use super::{
    Action, GivenInputs, Part, Plan, PlannedApproval, PlannedLimits, PlannedStep, PlannedVerify,
    inputs, targets, words,
};
use crate::runbook::{
    Effect, InputType, Lang, Runbook, SectionKind, Step, VERIFY_WITHIN, braced_names, parse_http,
    variable_of,
};

pub(super) fn plan(runbook: &Runbook, given: &GivenInputs, part: &Part, now: Timestamp) -> Plan {
    let mut resolver = Resolver {
        runbook,
        given,
        values: BTreeMap::new(),
        secrets: BTreeMap::new(),
        problems: Vec::new(),
    };
    let chosen = resolver.choose(part);
    let common_undo = resolver.common_undo(part);
    let used = resolver.used_inputs(&chosen, &common_undo);
    resolver.resolve_inputs(given, &used);
    let mut steps: Vec<PlannedStep> = Vec::new();
    for step in &chosen {
        resolver.planned_on_targets(step, &mut steps);
    }
    let changes = steps.iter().any(|step| step.effect == Effect::Change);
    let undo = if changes {
        common_undo
            .iter()
            .filter_map(|step| resolver.planned(step))
            .collect()
    } else {
        Vec::new()
    };
    let limits = resolver.limits(changes);
    let approval = runbook
        .approve
        .as_ref()
        .filter(|_| changes)
        .map(|rule| PlannedApproval {
            by: rule.by.clone(),
            ttl_ms: millis(rule.ttl),
            other_person: rule.other_person,
        });
    let mut inputs = resolver.values.clone();
    inputs.extend(resolver.secrets.clone());
    inputs.retain(|name, _| used.contains(name));
    let mut plan = Plan {
        runbook: runbook.id.clone(),
        file: runbook.file.to_string(),
        title: runbook.title.clone(),
        runbook_hash: runbook.hash.clone(),
        part: part.clone(),
        inputs,
        steps,
        undo,
        limits,
        approval,
        digest: String::new(),
        planned_at: now,
        braked: None,
        problems: resolver.problems,
    };
    plan.digest = plan.compute_digest();
    targets::check(runbook, given, &mut plan, now);
    plan
}

pub(super) struct Resolver<'a> {
    pub(super) runbook: &'a Runbook,
    pub(super) given: &'a GivenInputs,
    pub(super) values: BTreeMap<String, String>,
    /// Inputs that are references to secrets.
    secrets: BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

impl<'a> Resolver<'a> {
    fn at(&self, step: &Step, message: impl Into<String>) -> Problem {
        Problem::error(
            &self.runbook.file,
            step.place.line,
            step.place.column,
            message,
        )
    }

    pub(super) fn fail(&mut self, step: &Step, message: impl Into<String>) {
        let problem = self.at(step, message);
        self.problems.push(problem);
    }

    /// Steps that only serve others.
    fn helpers(&self) -> BTreeSet<&'a str> {
        self.runbook
            .steps
            .iter()
            .flat_map(|step| [step.probe.as_deref(), step.undo.as_deref()])
            .flatten()
            .collect()
    }

    fn choose(&mut self, part: &Part) -> Vec<&'a Step> {
        let helpers = self.helpers();
        let of = |kind| {
            self.runbook
                .steps_of(kind)
                .filter(|step| !helpers.contains(step.id.as_str()))
                .collect::<Vec<_>>()
        };
        match part {
            Part::Diagnosis => {
                let all = of(SectionKind::Diagnosis);
                self.diagnosis(all)
            }
            Part::Fix => {
                let fix = of(SectionKind::Fix);
                let verify = of(SectionKind::Verify);
                if fix.is_empty() {
                    self.problems.push(
                        Problem::error(&self.runbook.file, 0, 0, "this runbook has no fix steps")
                            .with_hint(
                                "put them under a heading such as Fix, Remediation or Mitigation",
                            ),
                    );
                }
                let chosen: Vec<&Step> = fix.into_iter().chain(verify).collect();
                for step in &chosen {
                    if step.effect.is_none() && is_shell(step) && !step.interactive {
                        let problem = self
                            .at(
                                step,
                                format!("step {:?} does not say what it does", step.id),
                            )
                            .with_hint("add effect=read or effect=change to its info string");
                        self.problems.push(problem);
                    }
                }
                chosen
            }
            Part::Step(id) => match self.runbook.step(id) {
                Some(step) => vec![step],
                None => {
                    let known = self.runbook.steps.iter().map(|step| step.id.as_str());
                    let problem = Problem::error(
                        &self.runbook.file,
                        0,
                        0,
                        format!("no step {id:?} in this runbook"),
                    );
                    self.problems
                        .push(match bellwether_model::suggest(id, known) {
                            Some(near) => problem.with_hint(format!("did you mean {near:?}?")),
                            None => problem,
                        });
                    Vec::new()
                }
            },
        }
    }

    /// Only what is known to read and needs no person; the rest is named, so that nobody thinks it ran.
    fn diagnosis(&mut self, all: Vec<&'a Step>) -> Vec<&'a Step> {
        let mut chosen = Vec::new();
        for step in all {
            let why = if step.effect != Some(Effect::Read) {
                "not known to be read-only (effect=read)"
            } else if step.interactive || step.lang == Lang::Manual {
                "needs a person"
            } else if !step.placeholders.is_empty() {
                "has undeclared inputs"
            } else {
                chosen.push(step);
                continue;
            };
            let message = format!("step {:?} is left out: {why}", step.id);
            let place = step.place;
            self.problems.push(Problem::note(
                &self.runbook.file,
                place.line,
                place.column,
                message,
            ));
        }
        chosen
    }

    /// Steps of undo sections that belong to no single step.
    fn common_undo(&self, part: &Part) -> Vec<&'a Step> {
        let helpers = self.helpers();
        if *part != Part::Fix {
            return Vec::new();
        }
        self.runbook
            .steps_of(SectionKind::Undo)
            .filter(|step| !helpers.contains(step.id.as_str()))
            .collect()
    }

    fn undo_of(&self, step: &Step) -> Option<&'a Step> {
        if let Some(id) = &step.undo {
            return self.runbook.step(id);
        }
        let at = self
            .runbook
            .steps
            .iter()
            .position(|other| other.id == step.id)?;
        self.runbook.steps[at + 1..]
            .first()
            .filter(|next| next.is_undo && !step.is_undo)
    }

    fn used_inputs(&self, chosen: &[&Step], common_undo: &[&Step]) -> Vec<String> {
        let mut used: Vec<String> = Vec::new();
        let mut add = |step: &Step| {
            used.extend(step.uses.iter().cloned());
            used.extend(braced_names(&step.target));
            if is_shell(step) {
                let named = self.runbook.inputs.iter().filter(|input| {
                    let variable = variable_of(&input.name);
                    step.body.contains(&format!("${variable}"))
                        || step.body.contains(&format!("${{{variable}"))
                });
                used.extend(named.map(|input| input.name.clone()));
            }
        };
        for step in chosen.iter().chain(common_undo) {
            add(step);
            if let Some(undo) = self.undo_of(step) {
                add(undo);
            }
            if let Some(probe) = step.probe.as_deref().and_then(|id| self.runbook.step(id)) {
                add(probe);
            }
        }
        if chosen
            .iter()
            .any(|step| step.effect_or_change() == Effect::Change)
        {
            used.extend(
                self.runbook
                    .limits
                    .lock
                    .iter()
                    .flat_map(|lock| braced_names(lock)),
            );
            used.extend(
                self.runbook
                    .limits
                    .fleet
                    .iter()
                    .flat_map(|fleet| braced_names(fleet)),
            );
        }
        used.sort();
        used.dedup();
        used
    }

    fn resolve_inputs(&mut self, given: &GivenInputs, used: &[String]) {
        let all = inputs::resolve(self.runbook, given, used, &mut self.problems);
        for (name, value) in all {
            let secret = self
                .runbook
                .input(&name)
                .is_some_and(|input| input.kind == InputType::Secret);
            if secret {
                self.secrets.insert(name, value);
            } else {
                self.values.insert(name, value);
            }
        }
    }

    pub(super) fn planned_with_helpers(&mut self, step: &Step) -> Option<PlannedStep> {
        let mut planned = self.planned(step)?;
        if let Some(undo) = self.undo_of(step) {
            planned.undo = self.planned(undo).map(Box::new);
        }
        if let Some(probe) = step.probe.as_deref().and_then(|id| self.runbook.step(id)) {
            if probe.effect == Some(Effect::Change) {
                self.fail(
                    probe,
                    format!("step {:?} is a probe and must only read", probe.id),
                );
            }
            planned.probe = self.planned(probe).map(|mut probe| {
                probe.effect = Effect::Read;
                Box::new(probe)
            });
        }
        Some(planned)
    }

    fn planned(&mut self, step: &Step) -> Option<PlannedStep> {
        if !step.placeholders.is_empty() {
            let problem = self
                .at(
                    step,
                    format!(
                        "step {:?} has undeclared inputs: {}",
                        step.id,
                        step.placeholders.join(", ")
                    ),
                )
                .with_hint(
                    "declare them under inputs: in the front matter and write them as {{name}}",
                );
            self.problems.push(problem);
            return None;
        }
        let verify = match self.verify(step) {
            Ok(verify) => verify,
            Err(fault) => {
                self.fail(step, format!("verify of step {:?}: {fault}", step.id));
                return None;
            }
        };
        let action = match self.action(step, verify.is_some()) {
            Ok(action) => action,
            Err(fault) => {
                self.fail(step, format!("step {:?}: {fault}", step.id));
                return None;
            }
        };
        Some(PlannedStep {
            id: step.id.clone(),
            title: substitute::plain(&step.title, &self.values)
                .unwrap_or_else(|_| step.title.clone()),
            hash: step.hash.clone(),
            line: step.place.line,
            effect: step.effect_or_change(),
            target: substitute::plain(&step.target, &self.values)
                .unwrap_or_else(|_| step.target.clone()),
            action,
            timeout_ms: millis(step.timeout_or_default()),
            grace_ms: millis(step.grace_or_default()),
            retries: step.retries,
            idempotent: step.idempotent,
            ok: step.ok.clone(),
            capture: step.capture.clone(),
            expect: step.expect.clone(),
            verify,
            probe: None,
            undo: None,
            approve: step.approve || self.needs_second_person(step),
            confirm: step.confirm,
            wave: None,
            pause_ms: 0,
            native: None,
        })
    }

    /// The step's verify query; a query in a verify section is one itself.
    fn verify(&self, step: &Step) -> Result<Option<PlannedVerify>, String> {
        let (query, within) = match &step.verify {
            Some(verify) => (&verify.query, verify.within),
            None if step.lang == Lang::Promql && step.kind == SectionKind::Verify => {
                (&step.body, VERIFY_WITHIN)
            }
            None => return Ok(None),
        };
        Ok(Some(PlannedVerify {
            query: substitute::promql(query, &self.values)?,
            within_ms: millis(within),
        }))
    }

    fn action(&self, step: &Step, has_verify: bool) -> Result<Action, String> {
        let values = &self.values;
        let by_hand = || {
            let text = substitute::plain(&step.body, values)?;
            Ok(Action::Manual { text })
        };
        if step.interactive {
            return by_hand();
        }
        match step.lang {
            Lang::Manual => by_hand(),
            Lang::Sh | Lang::Bash => {
                // Secrets are referred to like other inputs; their values never pass through here.
                let mut known = values.clone();
                known.extend(
                    self.secrets
                        .keys()
                        .map(|name| (name.clone(), String::new())),
                );
                Ok(Action::Shell {
                    lang: if step.lang == Lang::Sh { "sh" } else { "bash" }.to_owned(),
                    body: substitute::shell(&step.body, &known)?,
                    env: substitute::shell_env(&step.body, values),
                    secrets: substitute::shell_env(&step.body, &self.secrets),
                })
            }
            Lang::Promql if has_verify => Ok(Action::Check),
            Lang::Promql => Ok(Action::Promql {
                query: substitute::promql(&step.body, values)?,
            }),
            Lang::Http => http(&step.body, values),
            Lang::Kubectl => {
                let (line, input) = step.body.split_once("\n\n").unwrap_or((&step.body, ""));
                let mut words = vec!["kubectl".to_owned()];
                let target = substitute::plain(&step.target, values)?;
                if let Some(place) = target.strip_prefix("kube:") {
                    let (context, namespace) = place.split_once('/').unwrap_or((place, ""));
                    words.extend(["--context".to_owned(), context.to_owned()]);
                    if !namespace.is_empty() {
                        words.extend(["--namespace".to_owned(), namespace.to_owned()]);
                    }
                }
                let given = words::words(line, values)?;
                words.extend(given.into_iter().skip_while(|word| word == "kubectl"));
                let input = substitute::http_body(input.trim_start(), BodyForm::Text, values)?;
                if input.contains('{') || input.is_empty() {
                    return Ok(Action::Program {
                        words,
                        input,
                        env: BTreeMap::new(),
                    });
                }
                refuse_lines(&step.body, values)?;
                Ok(Action::Program {
                    words,
                    input,
                    env: BTreeMap::new(),
                })
            }
            Lang::Terraform => {
                let (folder, more) = step.body.split_once('\n').unwrap_or((&step.body, ""));
                let folder = substitute::plain(folder.trim(), values)?;
                let mut words = vec!["terraform".to_owned(), format!("-chdir={folder}")];
                words.extend(["plan", "-input=false", "-no-color"].map(str::to_owned));
                words.extend(words::words(more, values)?);
                Ok(Action::Program {
                    words,
                    input: String::new(),
                    env: BTreeMap::from([("TF_IN_AUTOMATION".to_owned(), "1".to_owned())]),
                })
            }
            Lang::Ansible | Lang::Chef => {
                let program = if step.lang == Lang::Chef {
                    "chef-client"
                } else {
                    "ansible-playbook"
                };
                let mut all = vec![program.to_owned()];
                let given = words::words(&step.body, values)?;
                all.extend(given.into_iter().skip_while(|word| word == program));
                Ok(Action::Program {
                    words: all,
                    input: String::new(),
                    env: BTreeMap::new(),
                })
            }
            Lang::Chat => Ok(Action::Chat {
                text: substitute::plain(&step.body, values)?,
            }),
            Lang::Sql if !step.target.starts_with("sql:") => {
                Err("it does not say on which database: target=sql:NAME".to_owned())
            }
            Lang::Sql => {
                let (body, params) = substitute::sql(&step.body, values)?;
                Ok(Action::Sql { body, params })
            }
        }
    }

    fn limits(&mut self, changes: bool) -> PlannedLimits {
        let limits = &self.runbook.limits;
        let mut planned = PlannedLimits {
            lock: None,
            runs: limits.runs.map(|(n, window)| (n, millis(window))),
            cooldown_ms: limits.cooldown.map(millis),
            deadline_ms: limits.deadline.map(millis),
            max_targets: limits.max_targets,
            when_locked: limits.when_locked,
        };
        if changes {
            let template = limits
                .lock
                .clone()
                .unwrap_or_else(|| self.runbook.id.clone());
            match substitute::plain(&template, &self.values) {
                Ok(lock) => planned.lock = Some(lock),
                Err(fault) => self.problems.push(Problem::error(
                    &self.runbook.file,
                    0,
                    0,
                    format!("lock {template:?}: {fault}"),
                )),
            }
        }
        planned
    }
}

/// A value with several lines could add keys to a manifest.
fn refuse_lines(body: &str, values: &BTreeMap<String, String>) -> Result<(), String> {
    let used = braced_names(body);
    let many = values.iter().find(|(name, value)| {
        used.contains(name)
            && value.contains(['\n', '\r', '"', '\'', '{', '}', '#', ':', '&', '*', '!'])
    });
    match many {
        Some((name, value)) => Err(format!(
            "{{{{{name}}}}} in a manifest: {value:?} has characters that mean something there"
        )),
        None => Ok(()),
    }
}

fn is_shell(step: &Step) -> bool {
    matches!(step.lang, Lang::Sh | Lang::Bash)
}

fn http(body: &str, values: &BTreeMap<String, String>) -> Result<Action, String> {
    let request = parse_http(body)?;
    let url = substitute::url(&request.url, values)?;
    let mut headers = Vec::with_capacity(request.headers.len());
    let mut form = None;
    for (name, value) in request.headers {
        let value = substitute::header(&value, values)?;
        if name.eq_ignore_ascii_case("content-type") {
            form = Some(value.to_ascii_lowercase());
        }
        headers.push((name, value));
    }
    let form = match form.as_deref() {
        Some(kind) if kind.contains("json") => BodyForm::Json,
        Some(kind) if kind.contains("x-www-form-urlencoded") => BodyForm::Form,
        None if request.body.starts_with(['{', '[']) => BodyForm::Json,
        _ => BodyForm::Text,
    };
    Ok(Action::Http {
        method: request.method,
        url,
        headers,
        body: substitute::http_body(&request.body, form, values)?,
    })
}
