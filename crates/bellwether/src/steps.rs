//! Performing one step: for the server's outbox and for runs without a server alike.
//!
//! A delivery goes in, what its engine is told comes out. Nothing here decides whether a step may run: it was
//! recorded and begun before.

mod answers;
mod native;
mod secrets;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bellwether_act::{
    ChatPayload, ExecPayload, HttpPayload, Outcome, Output, PromqlPayload, RunEvent, SqlPayload,
    StepResult, VerifyResult,
};
use bellwether_connect::exec::{
    ExecOutcome, ExecResult, ExecSpec, Executor, OutputSink, Program, Stream,
};
use bellwether_connect::http::{HttpCall, HttpClient, HttpSettings};
use bellwether_connect::sql::{self, SqlCall, SqlOutcome};
use bellwether_env::Clock;
use bellwether_model::Secret;
use bellwether_model::state::Delivery;
use bellwether_store::BoxFuture;
use serde::de::DeserializeOwned;

pub use answers::{Answer, FromNobody, FromPrometheus, FromQueries};
pub use native::native_plan;
pub use secrets::resolve;

/// Slack for the process around a step.
const AROUND: Duration = Duration::from_secs(30);

/// Answers PromQL, wherever the samples are.
pub trait Ask: Send + Sync {
    /// Evaluates a query now.
    fn ask<'a>(
        &'a self,
        query: &'a str,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Answer, String>>;
}

/// What steps reach by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Configuration file of ssh; its own by default.
    pub ssh_config: Option<PathBuf>,
    /// Addresses of databases, or references to secrets with them.
    pub databases: BTreeMap<String, String>,
    /// Addresses that post into chat rooms, or references to secrets with them.
    pub chats: BTreeMap<String, String>,
}

/// Is told a step's output as it comes: run, step, stream, bytes.
pub type Listener = Arc<dyn Fn(&str, &str, Stream, &[u8]) + Send + Sync>;

/// Performs steps.
pub struct Performer {
    pub executor: Executor,
    pub clock: Arc<dyn Clock>,
    pub ask: Arc<dyn Ask>,
    pub listener: Listener,
    pub connections: Arc<dyn Fn() -> Connections + Send + Sync>,
}

/// Channels of steps.
pub fn is_step(delivery: &Delivery) -> bool {
    matches!(
        delivery.new.channel.as_str(),
        "exec" | "http" | "promql" | "manual" | "sql" | "chat"
    )
}

/// How long an attempt of a step may be left alone.
pub fn time_max(delivery: &Delivery) -> Option<Duration> {
    let ms = |key: &str| {
        delivery
            .new
            .payload
            .get(key)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_default()
    };
    let time = Duration::from_millis(ms("timeout_ms").saturating_add(ms("grace_ms")));
    (!time.is_zero()).then(|| time.saturating_add(AROUND))
}

/// Whether repeating a request changes nothing.
fn is_safe(delivery: &Delivery) -> bool {
    let method = delivery
        .new
        .payload
        .get("method")
        .and_then(serde_json::Value::as_str);
    matches!(method, Some("GET" | "HEAD"))
}

/// What the runs are told of a step that gave no output.
pub fn step_outcome(delivery: &Delivery, outcome: Outcome) -> RunEvent {
    told(delivery, outcome, Output::default(), 0)
}

fn told(delivery: &Delivery, outcome: Outcome, output: Output, duration_ms: u64) -> RunEvent {
    RunEvent::StepOutcome {
        key: delivery.new.key.clone(),
        result: StepResult {
            outcome,
            output: output.capped(),
            duration_ms,
            secrets: BTreeMap::new(),
        },
    }
}

fn read<T: DeserializeOwned>(delivery: &Delivery) -> Result<T, RunEvent> {
    serde_json::from_value(delivery.new.payload.clone()).map_err(|error| {
        let error = format!("the delivery cannot be read: {error}");
        step_outcome(delivery, Outcome::FailedToStart { error })
    })
}

impl Performer {
    /// Performs an attempt. `None`: the run waits for a person's word, not for the delivery.
    pub async fn perform(&self, delivery: &Delivery) -> Option<RunEvent> {
        Some(match delivery.new.channel.as_str() {
            "exec" => self.exec(delivery, false).await,
            "http" => self.http(delivery).await,
            "promql" => self.promql(delivery).await,
            "sql" => self.sql(delivery).await,
            "chat" => self.chat(delivery).await,
            _ => return None,
        })
    }

    /// Settles an attempt whose process died.
    pub async fn settle(&self, delivery: &Delivery) -> Option<RunEvent> {
        let unknown = || Outcome::Unknown {
            reason: "the server stopped while the request was under way".to_owned(),
        };
        match delivery.new.channel.as_str() {
            "exec" => Some(self.exec(delivery, true).await),
            "http" if !is_safe(delivery) => Some(step_outcome(delivery, unknown())),
            // SQL: its marker says whether it was done. A message is said again rather than not at all.
            _ => self.perform(delivery).await,
        }
    }

    fn ms_since(&self, begun: Duration) -> u64 {
        self.clock.monotonic().saturating_sub(begun).as_millis() as u64
    }

    /// Runs a program or a shell step, or with `attach` finds out what became of one.
    async fn exec(&self, delivery: &Delivery, attach: bool) -> RunEvent {
        let key = delivery.new.key.clone();
        let payload: ExecPayload = match read(delivery) {
            Ok(payload) => payload,
            Err(event) => return event,
        };
        let sink = self.sink(&payload);
        let mut versions = BTreeMap::new();
        let result = if attach {
            match self.executor.attach(&key, Some(sink)).await {
                Some(result) => result,
                // The spool is made before anything is started, so it never was.
                None => {
                    let error = "the server stopped before it began".to_owned();
                    return step_outcome(delivery, Outcome::FailedToStart { error });
                }
            }
        } else {
            let secrets = match secrets::resolve_all(&payload.secrets).await {
                Ok(secrets) => secrets,
                Err(error) => return step_outcome(delivery, Outcome::FailedToStart { error }),
            };
            versions = secrets::versions(&secrets);
            let spec = match self.spec(&key, payload) {
                Ok(spec) => spec,
                Err(error) => return step_outcome(delivery, Outcome::FailedToStart { error }),
            };
            self.executor.start(spec, secrets, Some(sink)).await
        };
        let mut result = step_result(result);
        result.secrets = versions;
        let applied_before = matches!(&result.outcome, Outcome::Exited { code: 1 })
            && result.output.stderr.contains("AlreadyExists")
            && delivery.new.payload.to_string().contains("bw-");
        if applied_before {
            // The name was made for this step alone, so this step made it.
            result.outcome = Outcome::Exited { code: 0 };
        }
        RunEvent::StepOutcome { key, result }
    }

    fn spec(&self, key: &str, payload: ExecPayload) -> Result<ExecSpec, String> {
        let shell = |lang: &str| if lang == "sh" { "sh" } else { "bash" }.to_owned();
        let host = payload.target.strip_prefix("ssh:");
        let program = match (payload.lang.as_str(), host) {
            ("program", None) => Program::Argv {
                words: apply_saved(payload.words, &payload.env),
                input: payload.input,
            },
            ("program", Some(host)) => Program::Ssh {
                host: host.to_owned(),
                options: self.ssh_options(),
                shell: "bash".to_owned(),
                body: there(&payload.words, &payload.input),
            },
            (lang, Some(host)) => Program::Ssh {
                host: host.to_owned(),
                options: self.ssh_options(),
                shell: shell(lang),
                body: payload.body,
            },
            _ if payload.target != "local" => {
                return Err(format!("a shell step cannot run on {:?}", payload.target));
            }
            ("sh", None) => Program::Sh(payload.body),
            (_, None) => Program::Bash(payload.body),
        };
        let mut env = payload.env;
        env.insert("BELLWETHER_RUN".to_owned(), payload.run);
        env.insert("BELLWETHER_STEP".to_owned(), payload.step);
        // The same in every attempt: for requests that the other side tells apart by it.
        env.insert(
            "BELLWETHER_KEY".to_owned(),
            key.rsplit_once('/')
                .map_or(key, |(step, _)| step)
                .to_owned(),
        );
        env.insert("BELLWETHER_FENCE".to_owned(), payload.fence.to_string());
        if matches!(program, Program::Argv { .. }) {
            let passed = ["HOME", "KUBECONFIG", "SSH_AUTH_SOCK", "ANSIBLE_CONFIG"];
            for name in passed {
                if let Some(value) = bellwether_env::vars::named(name)
                    && !env.contains_key(name)
                {
                    env.insert(name.to_owned(), value);
                }
            }
        }
        Ok(ExecSpec {
            key: key.to_owned(),
            program,
            env,
            cwd: None,
            timeout: Duration::from_millis(payload.timeout_ms),
            grace: Duration::from_millis(payload.grace_ms),
        })
    }

    fn ssh_options(&self) -> Vec<String> {
        let config = (self.connections)().ssh_config;
        config.map_or_else(Vec::new, |file| {
            vec!["-F".to_owned(), file.display().to_string()]
        })
    }

    fn sink(&self, payload: &ExecPayload) -> OutputSink {
        let (listener, run, step) = (
            Arc::clone(&self.listener),
            payload.run.clone(),
            payload.step.clone(),
        );
        Arc::new(move |stream, bytes: &[u8]| listener(&run, &step, stream, bytes))
    }

    /// Makes an HTTP request.
    async fn http(&self, delivery: &Delivery) -> RunEvent {
        let payload: HttpPayload = match read(delivery) {
            Ok(payload) => payload,
            Err(event) => return event,
        };
        let call = HttpCall {
            method: payload.method,
            url: Secret::new(payload.url),
            headers: payload.headers,
            body: payload.body.into_bytes(),
            idempotency_key: payload.idempotency_key,
            timeout: Duration::from_millis(payload.timeout_ms),
        };
        let begun = self.clock.monotonic();
        let (outcome, output) = request(call).await;
        told(delivery, outcome, output, self.ms_since(begun))
    }

    /// Posts a message into a chat room: an incoming webhook of Slack, Mattermost, Rocket.Chat.
    async fn chat(&self, delivery: &Delivery) -> RunEvent {
        let payload: ChatPayload = match read(delivery) {
            Ok(payload) => payload,
            Err(event) => return event,
        };
        let known = (self.connections)().chats;
        let url = match known.get(&payload.room) {
            Some(url) => resolve(url).await,
            None => Err(format!("no chat room {:?} is configured", payload.room)),
        };
        let url = match url {
            Ok(url) => url,
            Err(error) => return step_outcome(delivery, Outcome::FailedToStart { error }),
        };
        let call = HttpCall {
            method: "POST".to_owned(),
            url,
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: serde_json::json!({"text": payload.text})
                .to_string()
                .into_bytes(),
            idempotency_key: delivery.new.key.clone(),
            timeout: Duration::from_millis(payload.timeout_ms.min(30_000)),
        };
        let begun = self.clock.monotonic();
        let (outcome, _) = request(call).await;
        told(delivery, outcome, Output::default(), self.ms_since(begun))
    }

    /// Runs a statement.
    async fn sql(&self, delivery: &Delivery) -> RunEvent {
        let payload: SqlPayload = match read(delivery) {
            Ok(payload) => payload,
            Err(event) => return event,
        };
        let name = payload.target.strip_prefix("sql:").unwrap_or_default();
        let known = (self.connections)().databases;
        let url = match known.get(name) {
            Some(url) => resolve(url).await,
            None => Err(format!(
                "no database {name:?} is configured: name it under runbooks: {{databases: …}}, or --database {name}=ADDRESS"
            )),
        };
        let url = match url {
            Ok(url) => url,
            Err(error) => return step_outcome(delivery, Outcome::FailedToStart { error }),
        };
        let call = SqlCall {
            url,
            key: delivery.new.key.clone(),
            body: payload.body,
            params: payload.params,
            read_only: payload.read_only,
            json: payload.json,
            timeout: Duration::from_millis(payload.timeout_ms),
        };
        let begun = self.clock.monotonic();
        let (outcome, text) = match sql::call(&call).await {
            SqlOutcome::Answered { text } => (Outcome::Answered, text),
            SqlOutcome::Refused { error } => (Outcome::Refused { error }, String::new()),
            SqlOutcome::NotStarted { error } => (Outcome::FailedToStart { error }, String::new()),
            SqlOutcome::Unknown { reason } => (Outcome::Unknown { reason }, String::new()),
            SqlOutcome::TimedOut => (Outcome::TimedOut, String::new()),
        };
        if !text.is_empty() {
            (self.listener)(&payload.run, &payload.step, Stream::Stdout, text.as_bytes());
        }
        told(
            delivery,
            outcome,
            Output::new(&text, ""),
            self.ms_since(begun),
        )
    }

    /// Asks a query: a step of its own, or the check of another one.
    async fn promql(&self, delivery: &Delivery) -> RunEvent {
        let key = delivery.new.key.clone();
        let payload: PromqlPayload = match read(delivery) {
            Ok(payload) => payload,
            Err(event) => return event,
        };
        let begun = self.clock.monotonic();
        let timeout = Duration::from_millis(payload.timeout_ms.max(1));
        let answer = self.ask.ask(&payload.query, timeout).await;
        if payload.verify {
            let result = match answer {
                Ok(answer) => VerifyResult::of_values(&answer.values, answer.text),
                Err(error) => VerifyResult::Error { error },
            };
            return RunEvent::VerifyResult { key, result };
        }
        let (outcome, output) = match answer {
            Ok(answer) => {
                (self.listener)(
                    &payload.run,
                    &payload.step,
                    Stream::Stdout,
                    format!("{}\n", answer.text).as_bytes(),
                );
                (Outcome::Answered, Output::new(&answer.text, ""))
            }
            Err(error) => (Outcome::Refused { error }, Output::default()),
        };
        told(delivery, outcome, output, self.ms_since(begun))
    }
}

async fn request(call: HttpCall) -> (Outcome, Output) {
    let client = match HttpClient::new(HttpSettings::default()) {
        Ok(client) => client,
        Err(error) => {
            let error = error.to_string();
            return (Outcome::FailedToStart { error }, Output::default());
        }
    };
    match client.call(call).await {
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let status = answer.status;
            (Outcome::Responded { status }, Output::new(&text, ""))
        }
        Err(error) if error.surely_not_sent() => {
            let error = error.to_string();
            (Outcome::FailedToStart { error }, Output::default())
        }
        Err(error) => {
            let reason = error.to_string();
            (Outcome::Unknown { reason }, Output::default())
        }
    }
}

/// Terraform applies the plan that was saved when the run was planned; a second apply of it is refused as stale.
fn apply_saved(words: Vec<String>, env: &BTreeMap<String, String>) -> Vec<String> {
    match (words.first().map(String::as_str), env.get(SAVED_PLAN)) {
        (Some("terraform"), Some(file)) => {
            let folder = words.get(1).cloned().unwrap_or_default();
            [
                "terraform",
                &folder,
                "apply",
                "-input=false",
                "-no-color",
                file,
            ]
            .map(str::to_owned)
            .to_vec()
        }
        _ => words,
    }
}

/// Variable with the file of a saved Terraform plan.
pub const SAVED_PLAN: &str = "BELLWETHER_SAVED_PLAN";

/// A program's words as a line of the shell on another host.
fn there(words: &[String], input: &str) -> String {
    let quoted = |word: &String| format!("'{}'", word.replace('\'', "'\\''"));
    let line: Vec<String> = words.iter().map(quoted).collect();
    if input.is_empty() {
        return line.join(" ");
    }
    format!(
        "printf %s {} | {}",
        quoted(&input.to_owned()),
        line.join(" ")
    )
}

fn step_result(result: ExecResult) -> StepResult {
    let ExecResult {
        outcome,
        stdout,
        stderr,
        duration_ms,
    } = result;
    let mut output = Output::new(&stdout.text, &stderr.text);
    output.bytes = stdout.bytes + stderr.bytes;
    output.truncated |= stdout.truncated || stderr.truncated;
    let outcome = match outcome {
        ExecOutcome::Exited { code } => Outcome::Exited { code },
        ExecOutcome::Signalled { signal } => Outcome::Signalled { signal },
        ExecOutcome::TimedOut => Outcome::TimedOut,
        ExecOutcome::Cancelled => Outcome::Unknown {
            reason: "it was cancelled while it ran".to_owned(),
        },
        ExecOutcome::FailedToStart { error } => Outcome::FailedToStart { error },
        ExecOutcome::Unknown { reason } => Outcome::Unknown { reason },
    };
    StepResult {
        outcome,
        output: output.capped(),
        duration_ms,
        secrets: BTreeMap::new(),
    }
}
