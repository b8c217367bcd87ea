//! `bellwether capture`: a profile of a process, and the difference of two.

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use bellwether_profile::{Difference, Options, Pause, Profile, Stacks, capture, diff};
use bellwether_ui::picture::{Flame, FlameNode, FlameTone};

use super::{complain, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::{Capture, CaptureCommand};

/// Rows of the tables.
const ROWS: usize = 12;
/// The longest capture.
const LONGEST: Duration = Duration::from_hours(1);
/// Bytes of a profile that is read.
const FILE_MAX: u64 = 256 << 20;

pub(super) async fn run(args: Capture) -> ExitCode {
    if let Some(CaptureCommand::Diff {
        before,
        after,
        requests,
        svg,
        json,
    }) = &args.command
    {
        return difference(before, after, requests.as_deref(), svg.as_deref(), *json);
    }
    let Some(pid) = args.pid else {
        complain("which process? name it with --pid");
        return ExitCode::from(EXIT_BAD_INPUT);
    };
    if args.duration.is_zero() || args.duration > LONGEST {
        complain("--for must be above 0 and at most 1h");
        return ExitCode::from(EXIT_BAD_INPUT);
    }
    let options = Options {
        pid,
        duration: args.duration,
        frequency: args.frequency,
    };
    let (stop, stopped) = channel();
    drop(tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = stop.send(());
        }
    }));
    let captured =
        tokio::task::spawn_blocking(move || capture(&options, &mut Waiting(stopped))).await;
    let profile = match captured {
        Ok(Ok(profile)) => profile,
        Ok(Err(error)) => {
            complain(error);
            return ExitCode::from(EXIT_BAD_INPUT);
        }
        Err(error) => {
            complain(format_args!("the capture ended early: {error}"));
            return ExitCode::FAILURE;
        }
    };
    finish(&args, &profile)
}

/// Waits for the signal that ends a capture early.
struct Waiting(Receiver<()>);

impl Pause for Waiting {
    fn pause(&mut self, time: Duration) -> bool {
        match self.0.recv_timeout(time) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        }
    }
}

fn finish(args: &Capture, profile: &Profile) -> ExitCode {
    let json = serde_json::to_string_pretty(profile).unwrap_or_default();
    let mut code = ExitCode::SUCCESS;
    let mut write = |path: &Path, text: &str| {
        if let Err(error) = std::fs::write(path, text) {
            complain(format_args!("{}: {error}", path.display()));
            code = ExitCode::FAILURE;
        }
    };
    if let Some(path) = &args.output {
        write(path, &json);
    }
    if let Some(path) = &args.folded {
        write(path, &profile.stacks.folded());
    }
    if let Some(path) = &args.svg {
        write(path, &flame(profile).draw(true).into_string());
    }
    if args.json {
        say(&json);
    } else {
        print(profile);
    }
    if profile.samples == 0 && profile.syscalls.is_empty() {
        complain("nothing could be captured");
        return ExitCode::FAILURE;
    }
    code
}

fn print(profile: &Profile) {
    say(format_args!(
        "process     {} ({}), {} threads, {:.1} s{}",
        profile.command,
        profile.pid,
        profile.threads,
        profile.seconds,
        if profile.ended {
            ", until it ended"
        } else {
            ""
        }
    ));
    say(format_args!(
        "processor   {:.2} s in itself, {:.2} s in the kernel",
        profile.user_s, profile.system_s
    ));
    say(format_args!(
        "samples     {} by {}, {} Hz",
        profile.samples,
        match profile.method.as_str() {
            "perf" => "performance events",
            _ => "looks into /proc",
        },
        profile.frequency
    ));
    let inclusive = profile.stacks.inclusive();
    let mut functions: Vec<(&str, u64)> = inclusive.into_iter().collect();
    functions.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    for (name, count) in functions.iter().take(ROWS) {
        let share = *count as f64 / profile.samples.max(1) as f64 * 100.0;
        say(format_args!("{share:>10.1} %  {name}"));
    }
    say("where its threads were, when looked at");
    for row in profile.syscalls.iter().take(ROWS) {
        say(format_args!(
            "{:>10.1} %  {} ({} threads at most)",
            row.share * 100.0,
            row.name,
            row.threads_max
        ));
    }
    if !profile.pressure.is_empty() {
        say("stalled meanwhile");
    }
    for row in &profile.pressure {
        say(format_args!(
            "{:>10.1} %  {} {} of the {}",
            row.share * 100.0,
            row.resource,
            row.kind,
            row.scope
        ));
    }
    for what in &profile.could_not {
        say(format_args!("could not   {what}"));
    }
}

/// The flame graph of a profile.
pub(crate) fn flame(profile: &Profile) -> Flame {
    Flame {
        title: format!("{} ({})", profile.command, profile.pid),
        note: format!(
            "{} samples in {:.0} s at {} Hz, {}",
            profile.samples, profile.seconds, profile.frequency, profile.started
        ),
        unit: "samples".to_owned(),
        root: node(&profile.stacks.tree(), None),
    }
}

fn node(of: &bellwether_profile::Node, difference: Option<&Difference>) -> FlameNode {
    let name = of.name.strip_suffix("_[k]");
    let found = difference.and_then(|difference| difference.of(&of.name));
    let (tone, note) = match (difference, found) {
        (None, _) if name.is_some() => (FlameTone::Kernel, String::new()),
        (None, _) => (FlameTone::Plain, String::new()),
        (Some(_), Some(frame)) if frame.significant => (
            if frame.ratio > 1.0 {
                FlameTone::More
            } else {
                FlameTone::Less
            },
            format!(
                "{} -> {} samples, {}",
                frame.before,
                frame.after,
                times(frame.ratio)
            ),
        ),
        (Some(_), Some(frame)) => (
            FlameTone::Same,
            format!(
                "{} -> {} samples, no significant difference",
                frame.before, frame.after
            ),
        ),
        (Some(_), None) => (FlameTone::Same, String::new()),
    };
    FlameNode {
        name: name.unwrap_or(&of.name).to_owned(),
        value: of.count,
        tone,
        note,
        children: of
            .children
            .iter()
            .map(|child| node(child, difference))
            .collect(),
    }
}

fn times(ratio: f64) -> String {
    if ratio.is_finite() {
        format!("{ratio:.2} times as much")
    } else {
        "new".to_owned()
    }
}

fn difference(
    before: &Path,
    after: &Path,
    requests: Option<&str>,
    svg: Option<&Path>,
    json: bool,
) -> ExitCode {
    let bad = |error: &str| {
        complain(error);
        ExitCode::from(EXIT_BAD_INPUT)
    };
    let requests = match requests.map(two_numbers) {
        None => None,
        Some(Some(numbers)) => Some(numbers),
        Some(None) => return bad("--requests takes two numbers above 0, such as 10000,12000"),
    };
    let (old, new) = match (read(before), read(after)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(error), _) | (_, Err(error)) => return bad(&error),
    };
    let found = diff(&old, &new, requests);
    if let Some(path) = svg {
        let picture = Flame {
            title: format!("{} against {}", after.display(), before.display()),
            note: "red: significantly more, blue: significantly less, grey: no significant difference (exact test, 5 % false discoveries)".to_owned(),
            unit: "samples".to_owned(),
            root: node(&new.tree(), Some(&found)),
        };
        if let Err(error) = std::fs::write(path, picture.draw(true).into_string()) {
            complain(format_args!("{}: {error}", path.display()));
            return ExitCode::FAILURE;
        }
    }
    if json {
        say(serde_json::to_string_pretty(&found).unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let significant: Vec<_> = found
        .frames
        .iter()
        .filter(|frame| frame.significant)
        .collect();
    say(format_args!(
        "{} of {} functions differ ({})",
        significant.len(),
        found.frames.len(),
        if requests.is_some() {
            "samples per request"
        } else {
            "share of the samples"
        }
    ));
    for frame in significant.iter().take(ROWS * 4) {
        say(format_args!(
            "{:>8} -> {:<8} {:<22} p {:.1e}  {}",
            frame.before,
            frame.after,
            times(frame.ratio),
            frame.p,
            frame.name
        ));
    }
    ExitCode::SUCCESS
}

fn two_numbers(text: &str) -> Option<(f64, f64)> {
    let (a, b) = text.split_once(',')?;
    let one = |text: &str| {
        text.trim()
            .parse()
            .ok()
            .filter(|n: &f64| n.is_finite() && *n > 0.0)
    };
    Some((one(a)?, one(b)?))
}

/// Stacks of a profile in JSON, or folded.
fn read(path: &Path) -> Result<Stacks, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let size = std::fs::metadata(path)
        .map_err(|error| failed(&error))?
        .len();
    if size > FILE_MAX {
        return Err(failed(&"larger than 256 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    if text.trim_start().starts_with('{') {
        let profile: Profile = serde_json::from_str(&text).map_err(|error| failed(&error))?;
        return Ok(profile.stacks);
    }
    Stacks::parse(&text).map_err(|error| failed(&error))
}
