//! What the lists answer.

use bellwether_model::{Labels, MatchOp, Matcher};
use bellwether_page::config::PageConfig;
use bellwether_page::record::SilenceState;
use bellwether_page::view::{AlertState, AlertView, GroupView, SilenceView};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// About the program, for `GET /status`.
#[derive(Clone, Debug)]
pub struct Version {
    pub version: String,
    pub revision: String,
    pub build_date: String,
}

/// A time in UTC with exactly three digits of a second: `2026-01-02T15:04:05.000Z`.
struct Millis(Timestamp);

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let rounded = Timestamp::from_millisecond(self.0.as_millisecond()).unwrap_or(self.0);
        to.collect_str(&format_args!("{rounded:.3}"))
    }
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    inhibited_by: &'a [String],
    muted_by: &'a [String],
    silenced_by: &'a [String],
    state: AlertState,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    annotations: &'a Labels,
    ends_at: Millis,
    fingerprint: &'a str,
    receivers: Vec<Named<'a>>,
    starts_at: Millis,
    status: Status<'a>,
    updated_at: Millis,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    labels: &'a Labels,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    alerts: Vec<Alert<'a>>,
    labels: &'a Labels,
    receiver: Named<'a>,
    route_labels: &'a Labels,
}

/// In this API an alert is active from the start, and time intervals mute groups, not alerts.
pub(super) fn state(view: &AlertView) -> AlertState {
    if view.silenced_by.is_empty() && view.inhibited_by.is_empty() {
        AlertState::Active
    } else {
        AlertState::Suppressed
    }
}

fn alert<'a>(view: &'a AlertView, muted_by: &'a [String]) -> Alert<'a> {
    Alert {
        annotations: &view.annotations,
        ends_at: Millis(view.ends_at),
        fingerprint: &view.fingerprint,
        receivers: view.receivers.iter().map(|name| Named { name }).collect(),
        starts_at: Millis(view.starts_at),
        status: Status {
            inhibited_by: &view.inhibited_by,
            muted_by,
            silenced_by: &view.silenced_by,
            state: if muted_by.is_empty() {
                state(view)
            } else {
                AlertState::Suppressed
            },
        },
        updated_at: Millis(view.updated_at),
        generator_url: &view.generator_url,
        labels: &view.labels,
    }
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(value).expect("views are plain data");
    text.push(b'\n');
    text
}

/// Answer of `GET /alerts`.
pub fn alerts_json(views: &[AlertView]) -> Vec<u8> {
    let alerts: Vec<Alert<'_>> = views.iter().map(|view| alert(view, &[])).collect();
    bytes(&alerts)
}

/// Answer of `GET /alerts/groups`.
pub fn groups_json(views: &[GroupView]) -> Vec<u8> {
    let groups: Vec<Group<'_>> = views
        .iter()
        .map(|view| Group {
            alerts: view
                .alerts
                .iter()
                .map(|found| alert(found, &view.muted_by))
                .collect(),
            labels: &view.labels,
            receiver: Named {
                name: &view.receiver,
            },
            route_labels: &view.route_labels,
        })
        .collect();
    bytes(&groups)
}

fn silence(view: &SilenceView) -> Value {
    let silence = &view.silence;
    let matchers: Vec<Value> = silence
        .matcher_sets
        .first()
        .into_iter()
        .flatten()
        .map(|matcher| {
            json!({
                "isEqual": matches!(matcher.op, MatchOp::Equal | MatchOp::Regex),
                "isRegex": matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex),
                "name": matcher.name,
                "value": matcher.value,
            })
        })
        .collect();
    json!({
        "id": silence.id,
        "status": {"state": view.state},
        "updatedAt": Millis(silence.updated_at),
        "annotations": silence.annotations,
        "comment": silence.comment,
        "createdBy": silence.created_by,
        "endsAt": Millis(silence.ends_at),
        "matchers": matchers,
        "startsAt": Millis(silence.starts_at),
    })
}

/// Answer of `GET /silence/{id}`.
pub fn silence_json(view: &SilenceView) -> Vec<u8> {
    bytes(&silence(view))
}

/// Answer of `GET /silences`: active ones by their end, pending ones by their begin, expired ones last, the latest
/// first. A silence with several sets of matchers cannot be said in this API and is left out.
pub fn silences_json(mut views: Vec<SilenceView>) -> Vec<u8> {
    views.retain(|view| view.silence.matcher_sets.len() == 1);
    views.sort_by(|a, b| {
        let order = |view: &SilenceView| match view.state {
            SilenceState::Active => (1, view.silence.ends_at.as_nanosecond()),
            SilenceState::Pending => (2, view.silence.starts_at.as_nanosecond()),
            SilenceState::Expired => (3, -view.silence.ends_at.as_nanosecond()),
        };
        order(a)
            .cmp(&order(b))
            .then_with(|| a.silence.id.cmp(&b.silence.id))
    });
    bytes(&views.iter().map(silence).collect::<Vec<_>>())
}

/// Answer of `GET /receivers`, in the order of their names.
pub fn receivers_json(config: &PageConfig, wanted: &[Matcher]) -> Vec<u8> {
    let receivers: Vec<Value> = config
        .receivers
        .values()
        .filter(|receiver| {
            wanted
                .iter()
                .all(|matcher| matcher.matches_labels(&receiver.labels))
        })
        .map(|receiver| {
            let mut value = json!({"name": receiver.name});
            if !receiver.labels.is_empty() {
                value["labels"] = json!(receiver.labels);
            }
            value
        })
        .collect();
    bytes(&receivers)
}

/// Answer of `GET /status`. There is one node: the cluster is disabled, as Alertmanager without peers says.
pub fn status_json(version: &Version, original: &str, started_at: Timestamp) -> Vec<u8> {
    bytes(&json!({
        "cluster": {"peers": [], "status": "disabled"},
        "config": {"original": original},
        "uptime": Millis(started_at),
        "versionInfo": {
            "branch": "bellwether",
            "buildDate": version.build_date,
            "buildUser": "",
            "goVersion": "",
            "revision": version.revision,
            "version": version.version,
        },
    }))
}
