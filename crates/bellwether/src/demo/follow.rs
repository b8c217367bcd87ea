//! Follows the loop through the API and notes each stage, with the moment it happened.

use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_model::duration::format_brief;
use serde_json::{Value, json};

use super::{Failure, Server, say};
use crate::cli::Demo;
use crate::core::pause;
use crate::demo::screenshots;

/// Pause between looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Time from the fault to the end, before the demo gives up.
const END_MAX: Duration = Duration::from_mins(4);
/// How long an unattended run looks at the page before it taps, as a person would.
const THINK: Duration = Duration::from_secs(3);

/// A stage: the word in the case's timeline, the part of the runbook it must be about, and what it means.
type Stage = (&'static str, Option<&'static str>, &'static str);

/// The stages that must happen.
const STAGES: [Stage; 7] = [
    ("case_opened", None, "the symptom opened a case"),
    (
        "context_ready",
        None,
        "the diagnosis ran by itself and its output is in the case",
    ),
    ("page_sent", None, "the page went out"),
    ("run_started", Some("fix"), "the fix was started"),
    (
        "resolved",
        None,
        "the symptom cleared and the case is resolved",
    ),
    (
        "verify_held",
        None,
        "the runbook's check holds: users are served as promised again",
    ),
    ("run_succeeded", Some("fix"), "the fix succeeded"),
];

/// Follows one case from its opening to its end.
pub(super) struct Follow<'a> {
    server: &'a Server,
    args: &'a Demo,
    started: SystemClock,
    case: Option<String>,
    /// Stages seen, with the time since the start.
    seen: Vec<(usize, Duration)>,
    tapped: bool,
    timeline: Vec<Value>,
    /// Whether the page's text has what the diagnosis saw.
    page_has_diagnosis: bool,
}

impl<'a> Follow<'a> {
    pub(super) fn new(server: &'a Server, args: &'a Demo) -> Self {
        Self {
            server,
            args,
            started: SystemClock::new(),
            case: None,
            seen: Vec::new(),
            tapped: false,
            timeline: Vec::new(),
            page_has_diagnosis: false,
        }
    }

    /// Time since the start, for people.
    pub(super) fn clock(&self) -> String {
        format!("{:>6}", format_brief(self.started.monotonic()))
    }

    /// Lets the service run without a fault; a case now would be a false alarm.
    pub(super) async fn warm_up(&self, warmup: Duration) -> Result<(), Failure> {
        say(format_args!(
            "{}  all is well; in {} one replica gets a fault",
            self.clock(),
            format_brief(warmup)
        ));
        pause(warmup).await;
        let open = self
            .server
            .client
            .get("/cases?state=open")
            .await
            .map_err(|error| error.to_string())?;
        let of_web = open
            .as_array()
            .into_iter()
            .flatten()
            .filter(|case| case["labels"]["service"] == "web")
            .count();
        if of_web > 0 {
            return Err("a case was open before there was a fault".to_owned());
        }
        Ok(())
    }

    /// Looks until the case is resolved.
    pub(super) async fn see_it_through(&mut self) -> Result<(), Failure> {
        let begun = self.started.monotonic();
        let mut waiting_for_tap = false;
        loop {
            if self.started.monotonic() > begun + END_MAX && (self.args.ci || self.args.auto) {
                return Err(format!(
                    "waited {} for {}",
                    format_brief(END_MAX),
                    self.missing().join(", ")
                ));
            }
            pause(LOOK_EVERY).await;
            self.look().await?;
            let paged = self.has("page_sent");
            if paged && !self.args.auto && !self.tapped {
                if self.args.ci || self.args.screenshots.is_some() {
                    self.tap().await?;
                } else if !waiting_for_tap {
                    waiting_for_tap = true;
                    say(
                        "        -> open the case in the browser, look at what the diagnosis saw, and run the fix",
                    );
                }
            }
            // A person may have done without the runbook; then the end of the case is the end.
            let fix_begun = self.has_part("run_started", Some("fix"));
            let attended = !self.args.ci && !self.args.auto && self.args.screenshots.is_none();
            if self.missing().is_empty() || (attended && self.has("resolved") && !fix_begun) {
                return Ok(());
            }
        }
    }

    fn has(&self, kind: &str) -> bool {
        self.has_part(kind, None)
    }

    fn has_part(&self, kind: &str, part: Option<&str>) -> bool {
        let matches = |event: &Value| {
            event["kind"] == kind && part.is_none_or(|part| event["data"]["part"] == part)
        };
        self.timeline.iter().any(matches)
    }

    fn missing(&self) -> Vec<&'static str> {
        STAGES
            .iter()
            .filter(|(kind, part, _)| !self.has_part(kind, *part))
            .map(|stage| stage.0)
            .collect()
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let client = &self.server.client;
        if self.case.is_none() {
            let cases = client
                .get("/cases")
                .await
                .map_err(|error| error.to_string())?;
            let found = cases
                .as_array()
                .into_iter()
                .flatten()
                .find(|case| case["labels"]["service"] == "web");
            self.case = found
                .and_then(|case| case["id"].as_str())
                .map(str::to_owned);
        }
        let Some(case) = &self.case else {
            return Ok(());
        };
        let view = client
            .get(&format!("/cases/{case}"))
            .await
            .map_err(|error| error.to_string())?;
        self.timeline = view["timeline"].as_array().cloned().unwrap_or_default();
        self.page_has_diagnosis |= view["case"]["context"]
            .as_str()
            .is_some_and(|text| !text.is_empty());
        for (index, (kind, part, meaning)) in STAGES.iter().enumerate() {
            if self.has_part(kind, *part) && !self.seen.iter().any(|(seen, _)| *seen == index) {
                self.seen.push((index, self.started.monotonic()));
                say(format_args!("{}  {meaning}", self.clock()));
            }
        }
        Ok(())
    }

    /// What a person does: looks at the page, then at the plan, and runs the fix that they saw.
    async fn tap(&mut self) -> Result<(), Failure> {
        self.tapped = true;
        let Some(case) = self.case.clone() else {
            return Ok(());
        };
        if let Some(folder) = &self.args.screenshots {
            screenshots::take(self.server, &case, folder, "open").await?;
        }
        pause(THINK).await;
        let client = &self.server.client;
        let plan = client
            .get(&format!("/cases/{case}/plan?part=fix"))
            .await
            .map_err(|error| error.to_string())?;
        if plan["runnable"] != true {
            return Err(format!("the fix cannot run: {}", plan["problems"]));
        }
        let steps: Vec<&str> = plan["steps"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|step| step["title"].as_str())
            .collect();
        say(format_args!(
            "{}  tap: run the fix ({})",
            self.clock(),
            steps.join(", ")
        ));
        let body = json!({"part": "fix", "digest": plan["digest"]});
        client
            .post(&format!("/cases/{case}/run"), &body)
            .await
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    pub(super) async fn print_timeline(&self) -> Result<(), Failure> {
        let Some(case) = &self.case else {
            return Ok(());
        };
        if let Some(folder) = &self.args.screenshots {
            screenshots::take(self.server, case, folder, "resolved").await?;
        }
        let view = self
            .server
            .client
            .get(&format!("/cases/{case}"))
            .await
            .map_err(|error| error.to_string())?;
        say("\nThe case's timeline:");
        crate::commands::show_case(&view);
        Ok(())
    }

    /// Whether every stage really happened.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let missing = self.missing();
        if !missing.is_empty() {
            return Err(format!(
                "these stages did not happen: {}",
                missing.join(", ")
            ));
        }
        if !self.page_has_diagnosis {
            return Err("the case has nothing of what the diagnosis saw".to_owned());
        }
        say(format_args!("\nall {} stages happened", STAGES.len()));
        Ok(())
    }
}
