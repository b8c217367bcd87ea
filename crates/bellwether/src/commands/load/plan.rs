//! From arguments to a plan.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use bellwether_load::arrival::Arrival;
use bellwether_load::plan::{Model, Plan, Protocol, TlsOptions, Warmup};
use bellwether_load::replay::read_log;
use bellwether_load::scenario::{Endpoint, Expect, Scenario, Template, header, read_scenario};
use bellwether_load::{Target, TargetError};
use bellwether_model::Problems;
use bellwether_model::duration::parse_duration;

use super::super::complain;
use crate::cli::{ArrivalKind, Load};

/// Bytes that a body from a file may have.
const BODY_MAX: u64 = 64 << 20;
const DURATION: Duration = Duration::from_secs(10);

/// The plan that the arguments ask for.
pub(super) fn build(args: &Load) -> Result<Plan, String> {
    let (url, mut scenario) = scenario(args)?;
    let url = url.ok_or("no target: name it, such as http://127.0.0.1:8080/")?;
    let target = Target::resolve(&url).map_err(|error| error.to_string())?;
    if !args.i_own_this_target {
        target.must_be_near().map_err(|error| match error {
            TargetError::Foreign { .. } => {
                format!("{error}\nhint: if it is yours, say so with --i-own-this-target")
            }
            other => other.to_string(),
        })?;
    }
    let duration = args.duration.unwrap_or(DURATION);
    let (model, order, duration) = match &args.replay {
        Some(path) => {
            let (replayed, model, order, length) = replay(path, args.speed)?;
            scenario = Some(replayed);
            (model, Some(order), args.duration.unwrap_or(length))
        }
        None => (model(args, duration), None, duration),
    };
    let scenario = match scenario {
        Some(scenario) => scenario,
        None => single(args, &target)?,
    };
    let mut plan = Plan::new(&target, scenario, model);
    plan.order = order;
    add_headers(args, &mut plan)?;
    plan.duration = duration;
    plan.requests_max = args.requests;
    plan.timeout = args.timeout;
    plan.seed = args.seed;
    plan.rate_max = args.max_rate;
    plan.warmup = warmup(&args.warmup)?;
    if args.http2 {
        plan.protocol = Protocol::Http2;
    }
    plan.tls_options = TlsOptions {
        insecure: args.insecure,
        ca_file: args.cacert.clone(),
    };
    if let Some(threads) = args.threads {
        plan.threads = threads;
    }
    if let Some(connections) = args.connections {
        plan = plan.with_connections(connections);
    }
    plan.check(args.max_duration)?;
    Ok(plan)
}

/// How the target is called in the results.
pub(super) fn name(args: &Load, plan: &Plan) -> String {
    let scheme = if plan.tls { "https" } else { "http" };
    match &args.url {
        Some(url) if url.contains("://") => url.clone(),
        Some(url) => format!("{scheme}://{url}"),
        None => format!("{scheme}://{}", plan.host),
    }
}

fn model(args: &Load, duration: Duration) -> Model {
    if args.closed {
        return Model::Closed;
    }
    if let Some(to) = args.ramp_to {
        return Model::Open(Arrival::Ramp {
            from: args.rate,
            to,
            over: duration,
        });
    }
    Model::open(args.rate, args.arrival == ArrivalKind::Poisson)
}

/// Target and scenario, as far as a file gives them.
fn scenario(args: &Load) -> Result<(Option<String>, Option<Scenario>), String> {
    let Some(path) = &args.scenario else {
        return Ok((args.url.clone(), None));
    };
    let text = read(path)?;
    let mut problems = Problems::default();
    let file = path.display().to_string();
    let Some(read) = read_scenario(&file.as_str().into(), &text, &mut problems) else {
        return Err(problems.to_string().trim_end().to_owned());
    };
    Ok((args.url.clone().or(read.target), Some(read.scenario)))
}

type Replayed = (Scenario, Model, std::sync::Arc<[u32]>, Duration);

fn replay(path: &Path, speed: f64) -> Result<Replayed, String> {
    if !(speed.is_finite() && speed > 0.0) {
        return Err("--speed must be above 0".to_owned());
    }
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| failed(&error))?;
    let replay = read_log(BufReader::new(file), speed).map_err(|error| failed(&error))?;
    if replay.skipped + replay.unsafe_skipped > 0 {
        complain(format_args!(
            "{}: left out {} lines that are no requests and {} requests that may change something",
            path.display(),
            replay.skipped,
            replay.unsafe_skipped
        ));
    }
    let last = replay.times.last().copied().unwrap_or(0);
    let length = Duration::from_nanos(last) + Duration::from_millis(100);
    let model = Model::Open(Arrival::Replay {
        times: replay.times,
    });
    Ok((replay.scenario, model, replay.order, length))
}

/// The one request of the command line.
fn single(args: &Load, target: &Target) -> Result<Scenario, String> {
    let body = match (&args.body, &args.body_file) {
        (Some(text), _) => Some(Template::parse(text)?),
        (None, Some(path)) => {
            let size = std::fs::metadata(path).map_or(0, |about| about.len());
            if size > BODY_MAX {
                return Err(format!("{}: larger than 64 MiB", path.display()));
            }
            let bytes =
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Some(Template::plain(bytes))
        }
        (None, None) => None,
    };
    let with_body = if body.is_some() {
        axum::http::Method::POST
    } else {
        axum::http::Method::GET
    };
    let method = args.method.clone().unwrap_or(with_body);
    let endpoint = Endpoint {
        group: 0,
        path: Template::parse(&target.path)?,
        headers: Vec::new(),
        body,
        expect: Expect::Below400,
        method: method.clone(),
    };
    Ok(Scenario::single(
        format!("{method} {}", target.path),
        endpoint,
    ))
}

/// Headers of the command line go to every request, in place of the scenario's.
fn add_headers(args: &Load, plan: &mut Plan) -> Result<(), String> {
    for text in &args.headers {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| format!("header {text:?} has no colon: write 'Name: value'"))?;
        let (name, value) = header(name.trim(), value.trim())?;
        for endpoint in &mut plan.scenario.endpoints {
            // The same name twice on the command line is two headers.
            let given = args.headers.iter().filter(|other| {
                other
                    .split_once(':')
                    .is_some_and(|(other, _)| other.trim().eq_ignore_ascii_case(&name))
            });
            if given.count() == 1 {
                endpoint
                    .headers
                    .retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            }
            endpoint.headers.push((name.clone(), value.clone()));
        }
    }
    Ok(())
}

fn warmup(text: &str) -> Result<Warmup, String> {
    match text {
        "auto" => Ok(Warmup::Detect),
        "none" => Ok(Warmup::None),
        other => parse_duration(other)
            .map(Warmup::Fixed)
            .map_err(|error| format!("--warmup: {error}: it is auto, none or a duration")),
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
