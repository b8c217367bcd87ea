//! One step on several targets, what a fleet allows, and what only the world can say before a plan is whole.

use std::time::Duration;

use bellwether_model::{Labels, Problem};
use jiff::Timestamp;
use serde::Serialize;

use super::resolve::Resolver;
use super::substitute;
use super::{Action, GivenInputs, Part, Plan, PlannedStep};
use crate::payload::VerifyResult;
use crate::runbook::{Effect, InputType, Runbook, Step, braced_names};

/// Names of the fleet's queries among [`GivenInputs::queried`]; no input can have such a name.
pub(super) const FLEET: &str = "limits.fleet";
pub(super) const FLEET_AGE: &str = "limits.fleet age";
/// Prefix of the queries that find out whether a target is a primary.
pub(super) const PRIMARY: &str = "primary ";
/// Samples older than this say nothing about now.
const FRESH: Duration = Duration::from_mins(3);
/// Targets of one step.
const TARGETS_MAX: usize = 1_000;

/// A dry run that a program can do by itself; ask for it, put the answer into [`GivenInputs::native`], then plan
/// again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NativeWanted {
    /// Id of the planned step.
    pub step: String,
    pub target: String,
    pub action: Action,
}

/// The dry runs that the steps of a part can give.
pub fn native_wanted(plan: &Plan) -> Vec<NativeWanted> {
    let can = |step: &&PlannedStep| {
        step.effect == Effect::Change
            && matches!(&step.action, Action::Program { words, .. } if dry_run(words).is_some())
    };
    let wanted = plan.steps.iter().filter(can);
    wanted
        .map(|step| NativeWanted {
            step: step.id.clone(),
            target: step.target.clone(),
            action: step.action.clone(),
        })
        .collect()
}

/// The command line of a program's own dry run.
pub fn dry_run(words: &[String]) -> Option<Vec<String>> {
    let program = words.first()?;
    let mut dry = words.to_vec();
    match program.as_str() {
        "terraform" => dry.push("-detailed-exitcode".to_owned()),
        "ansible-playbook" => dry.extend(["--check".to_owned(), "--diff".to_owned()]),
        "chef-client" => dry.push("--why-run".to_owned()),
        "kubectl" => {
            let at = dry.iter().position(|word| word == "apply")?;
            "diff".clone_into(&mut dry[at]);
        }
        _ => return None,
    }
    Some(dry)
}

/// The queries about the fleet and about primaries.
pub(super) fn queries(runbook: &Runbook, values: &substitute::Values) -> Vec<(String, String)> {
    let mut out = Vec::new();
    if let Some(fleet) = &runbook.limits.fleet
        && let Ok(fleet) = substitute::promql(fleet, values)
    {
        out.push((FLEET_AGE.to_owned(), format!("timestamp({fleet})")));
        out.push((FLEET.to_owned(), fleet));
    }
    for step in &runbook.steps {
        let Some(query) = &step.primary else { continue };
        for (host, values) in on_each(runbook, step, values) {
            if let Ok(query) = substitute::promql(query, &values) {
                out.push((primary_name(step, host.as_deref()), query));
            }
        }
    }
    out
}

fn primary_name(step: &Step, host: Option<&str>) -> String {
    format!("{PRIMARY}{} {}", step.id, host.unwrap_or_default())
}

/// The input of type `host_list` that a step's target names.
fn list_of<'a>(runbook: &'a Runbook, step: &Step) -> Option<&'a str> {
    let names = braced_names(&step.target);
    let lists = runbook
        .inputs
        .iter()
        .find(|input| input.kind == InputType::HostList && names.contains(&input.name));
    lists.map(|input| input.name.as_str())
}

/// A step's values on each of its targets: on one of a list, the list's input is that host.
fn on_each(
    runbook: &Runbook,
    step: &Step,
    values: &substitute::Values,
) -> Vec<(Option<String>, substitute::Values)> {
    let Some(list) = list_of(runbook, step) else {
        return vec![(None, values.clone())];
    };
    let Some(hosts) = values.get(list) else {
        return vec![(None, values.clone())];
    };
    let mut seen = std::collections::BTreeSet::new();
    hosts
        .split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty() && seen.insert(*host))
        .take(TARGETS_MAX)
        .map(|host| {
            let mut values = values.clone();
            values.insert(list.to_owned(), host.to_owned());
            (Some(host.to_owned()), values)
        })
        .collect()
}

impl Resolver<'_> {
    /// Plans a step on each of its targets, in batches.
    pub(super) fn planned_on_targets(&mut self, step: &Step, out: &mut Vec<PlannedStep>) {
        let all = on_each(self.runbook, step, &self.values);
        let limits = &self.runbook.limits;
        let changes = step.effect_or_change() == Effect::Change;
        let size = match limits.batch {
            Some(batch) => batch.size(all.len()),
            // Carefully by default: changes one at a time, looks all together.
            None if changes => 1,
            None => all.len().max(1),
        };
        let pause = limits.pause_between.filter(|_| changes);
        let first_wave = out
            .iter()
            .filter_map(|step| step.wave)
            .max()
            .map_or(0, |wave| wave + 1);
        let whole = self.values.clone();
        let several = all.len() > 1;
        for (index, (host, values)) in all.into_iter().enumerate() {
            self.values = values;
            if let Some(mut planned) = self.planned_with_helpers(step) {
                if let Some(host) = host.filter(|_| several) {
                    planned.id = format!("{}@{host}", planned.id);
                    planned.title = format!("{} on {host}", planned.title);
                    let wave = (index / size) as u32;
                    planned.wave = Some(first_wave + wave);
                    if wave > 0 && index % size == 0 {
                        planned.pause_ms = pause.map_or(0, |pause| pause.as_millis() as u64);
                    }
                }
                let terraform = matches!(&planned.action, Action::Program { words, .. } if words[0] == "terraform");
                let native = self.given.native.get(&planned.id);
                if terraform && native.is_none_or(|native| native.file.is_none()) {
                    self.fail(step, format!("step {:?} has no saved plan", planned.id));
                }
                if let Some(native) = native {
                    planned.approve |= native.destroys > 0;
                    if let (Some(file), Action::Program { env, .. }) =
                        (&native.file, &mut planned.action)
                    {
                        env.insert("BELLWETHER_SAVED_PLAN".to_owned(), file.clone());
                    }
                    planned.native = Some(native.clone());
                }
                out.push(planned);
            }
        }
        self.values = whole;
    }

    /// Whether this step must not run on a word of the one who starts it: it destroys, and its target is a primary or
    /// may be one.
    pub(super) fn needs_second_person(&mut self, step: &Step) -> bool {
        if !step.destructive && step.primary.is_none() {
            return false;
        }
        if step.primary.is_none() {
            return true;
        }
        let host = list_of(self.runbook, step).and_then(|list| self.values.get(list));
        let name = primary_name(step, host.map(String::as_str));
        let Some(samples) = self
            .given
            .queried
            .get(&name)
            .or_else(|| self.given.queried.get(&primary_name(step, None)))
        else {
            let problem = Problem::warning(
                &self.runbook.file,
                step.place.line,
                step.place.column,
                format!(
                    "step {:?}: nobody knows whether its target is a primary",
                    step.id
                ),
            );
            self.problems.push(
                problem.with_hint("another person must approve it; name a Prometheus to ask"),
            );
            return true;
        };
        let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
        matches!(
            VerifyResult::of_values(&values, ""),
            VerifyResult::Holds { .. }
        )
    }
}

/// How much of the fleet is unhealthy: bad ones and all.
fn unhealthy(samples: &[(Labels, f64)]) -> (usize, usize) {
    let bad = samples
        .iter()
        .filter(|(_, value)| *value == 0.0 || value.is_nan());
    (bad.count(), samples.len())
}

/// Holds a plan against the limits on targets and on the fleet.
pub(super) fn check(runbook: &Runbook, given: &GivenInputs, plan: &mut Plan, now: Timestamp) {
    if !plan.changes() || matches!(plan.part, Part::Diagnosis) {
        return;
    }
    let targets = plan.targets().len();
    let mut fail = |message: String| {
        plan.problems
            .push(Problem::error(&runbook.file, 0, 0, message));
    };
    if let Some(max) = runbook.limits.max_targets
        && targets > max as usize
    {
        fail(format!("{targets} targets; max_targets is {max}"));
    }
    if runbook.limits.fleet.is_none() {
        return;
    }
    let fleet = given.queried.get(FLEET).map_or(&[][..], Vec::as_slice);
    let newest = given
        .queried
        .get(FLEET_AGE)
        .into_iter()
        .flatten()
        .map(|(_, at)| *at)
        .fold(f64::MIN, f64::max);
    let age = now.as_millisecond() as f64 / 1e3 - newest;
    let (bad, all) = unhealthy(fleet);
    if let Some(max) = runbook.limits.max_percent
        && all > 0
        && targets as f64 > (all as f64 * max).max(1.0)
    {
        fail(format!(
            "{targets} targets of a fleet of {all}; max_percent is {}%",
            max * 100.0
        ));
    }
    plan.braked = if fleet.is_empty() || age > FRESH.as_secs_f64() {
        Some("metrics of the fleet are missing or old: an outage of the eyes must not look like one of the fleet".to_owned())
    } else if bad as f64 > all as f64 * runbook.limits.max_unhealthy {
        Some(format!(
            "{bad} of {all} are unhealthy, more than {}%: this is no case for automation",
            runbook.limits.max_unhealthy * 100.0
        ))
    } else {
        None
    };
    if let Some(why) = &plan.braked {
        let problem = Problem::warning(&runbook.file, 0, 0, why.clone());
        plan.problems.push(problem);
    }
}
