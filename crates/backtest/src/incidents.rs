//! Incidents as people wrote them down: what pages are held against.

use std::collections::BTreeMap;

use bellwether_model::state::NewEvent;
use bellwether_model::{Labels, Problem, Problems};
use bellwether_yaml::{MapReader, Node};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Incidents that one file may have.
const INCIDENTS_MAX: usize = 100_000;

/// Something that hurt users, for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    pub id: String,
    pub title: String,
    pub start: Timestamp,
    pub end: Timestamp,
    /// Only pages with an alert that has all of these count as being about it; empty: any page.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// Reads a file: CSV with a header line, or JSON or YAML, a list or a map with `incidents`. Keys: `start` and `end` (RFC
/// 3339 or seconds since 1970), `id`, `title`, `labels` (in CSV `name=value;name=value`). Sorted by start.
pub fn read(file: &str, text: &str, problems: &mut Problems) -> Vec<Incident> {
    let is_csv = file.to_ascii_lowercase().ends_with(".csv");
    let mut all = if is_csv {
        read_csv(file, text, problems)
    } else {
        read_yaml(file, text, problems)
    };
    if all.len() > INCIDENTS_MAX {
        problems.push(Problem::error(
            &file.into(),
            0,
            0,
            format!("more than {INCIDENTS_MAX} incidents"),
        ));
        all.truncate(INCIDENTS_MAX);
    }
    all.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
    all
}

/// A time as people and programs write it.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1000.0).round();
        return Timestamp::from_millisecond(ms as i64)
            .ok()
            .filter(|_| ms.abs() < 1e17)
            .ok_or_else(|| format!("{text} seconds since 1970 is no time of this calendar"));
    }
    let utc = |civil: jiff::civil::DateTime| civil.to_zoned(jiff::tz::TimeZone::UTC);
    text.parse::<Timestamp>()
        .or_else(|error| {
            let civil: Result<jiff::civil::DateTime, _> = text.parse();
            civil
                .and_then(utc)
                .map(|zoned| zoned.timestamp())
                .map_err(|_| error)
        })
        .map_err(|_| {
            format!("{text:?} is not a time; write 2026-03-01T14:05:00Z, or seconds since 1970")
        })
}

fn checked(
    id: String,
    title: String,
    (start, end): (Timestamp, Timestamp),
    labels: Labels,
) -> Result<Incident, String> {
    if end < start {
        return Err(format!("incident {id:?} ends before it starts"));
    }
    Ok(Incident {
        id,
        title,
        start,
        end,
        labels,
    })
}

// === YAML and JSON ===

fn read_yaml(file: &str, text: &str, problems: &mut Problems) -> Vec<Incident> {
    let Some(root) = bellwether_yaml::parse(file, text, problems) else {
        return Vec::new();
    };
    let items: &[Node] = if let Some(items) = root.as_list() {
        items
    } else {
        let mut map = MapReader::new(&root, "file of incidents", problems);
        let items = map.list("incidents");
        map.finish();
        items
    };
    let mut all = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let mut map = MapReader::new(item, "incident", problems);
        let id = map.text("id").filter(|id| !id.is_empty());
        let title = map.text("title").unwrap_or_default();
        let labels = map.labels("labels");
        let nodes = [("start", map.take("start")), ("end", map.take("end"))];
        // What other tools export beside.
        map.ignore(&[
            "severity",
            "service",
            "summary",
            "url",
            "status",
            "description",
            "impact",
            "tags",
        ]);
        map.finish();
        let mut times = Vec::new();
        for (key, node) in nodes {
            let Some(node) = node else {
                problems.push(item.error(format!("this incident has no {key}")));
                continue;
            };
            match parse_time(node.as_text().unwrap_or_default()) {
                Ok(time) => times.push(time),
                Err(text) => problems.push(node.error(format!("{key}: {text}"))),
            }
        }
        if let [start, end] = times[..] {
            let id = id.unwrap_or_else(|| format!("#{}", index + 1));
            match checked(id, title, (start, end), labels) {
                Ok(incident) => all.push(incident),
                Err(text) => problems.push(item.error(text)),
            }
        }
    }
    all
}

// === CSV ===

/// Fields of one record (RFC 4180): quotes double inside quotes.
fn fields(line: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let field = all.last_mut().expect("there is always one");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(String::new()),
            c => field.push(c),
        }
    }
    all
}

fn read_csv(file: &str, text: &str, problems: &mut Problems) -> Vec<Incident> {
    let file: std::sync::Arc<str> = file.into();
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let Some((_, header)) = lines.next() else {
        problems.push(
            Problem::error(&file, 1, 1, "no header line")
                .with_hint("start with id,start,end,title"),
        );
        return Vec::new();
    };
    let header: Vec<String> = fields(header.trim_start_matches('\u{feff}'))
        .into_iter()
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let column = |name: &str| header.iter().position(|known| known == name);
    let (Some(start), Some(end)) = (column("start"), column("end")) else {
        problems.push(
            Problem::error(&file, 1, 1, "the header has no start or no end")
                .with_hint("columns: id,start,end,title,labels"),
        );
        return Vec::new();
    };
    let mut all = Vec::new();
    for (index, line) in lines {
        let number = index as u32 + 1;
        let fields = fields(line);
        let field = |column: Option<usize>| {
            column
                .and_then(|c| fields.get(c))
                .map_or("", |text| text.trim())
        };
        let times = (parse_time(field(Some(start))), parse_time(field(Some(end))));
        let incident = match times {
            (Ok(start), Ok(end)) => {
                let id = match field(column("id")) {
                    "" => format!("#{}", all.len() + 1),
                    id => id.to_owned(),
                };
                let labels = field(column("labels"))
                    .split(';')
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(name, value)| (name.trim(), value.trim()));
                checked(
                    id,
                    field(column("title")).to_owned(),
                    (start, end),
                    Labels::new(labels),
                )
            }
            (Err(text), _) => Err(format!("start: {text}")),
            (_, Err(text)) => Err(format!("end: {text}")),
        };
        match incident {
            Ok(incident) => all.push(incident),
            Err(text) => problems.push(Problem::error(&file, number, 1, text)),
        }
    }
    all
}

// === our own cases ===

/// Cases that were incidents, from the timeline: urgent ones that a person opened or took. A case still open ends at `now`.
pub fn from_timeline<'a>(
    events: impl IntoIterator<Item = &'a NewEvent>,
    now: Timestamp,
) -> Vec<Incident> {
    struct Seen {
        incident: Incident,
        urgent: bool,
        by_people: bool,
        ended: bool,
    }
    let by_people = |event: &NewEvent| event.actor != "system" && !event.actor.starts_with("rule:");
    let mut cases: BTreeMap<&str, Seen> = BTreeMap::new();
    for event in events {
        if event.subject.kind != "case" {
            continue;
        }
        let id = event.subject.id.as_str();
        if event.kind == "case_opened" {
            let labels: Labels =
                serde_json::from_value(event.data["labels"].clone()).unwrap_or_default();
            let title = event.text.trim_start_matches("case opened: ").to_owned();
            let seen = Seen {
                incident: Incident {
                    id: id.to_owned(),
                    title,
                    start: event.at,
                    end: now,
                    // What says where it hurt, and does not change when a rule is rewritten.
                    labels: labels.retain(|name| name == "service"),
                },
                urgent: event.data["urgency"] == "high",
                by_people: by_people(event),
                ended: false,
            };
            cases.insert(id, seen);
            continue;
        }
        let Some(case) = cases.get_mut(id) else {
            continue;
        };
        match event.kind.as_str() {
            "urgency_raised" => case.urgent = true,
            "acknowledged" | "escalated_by_hand" | "comment" => case.by_people |= by_people(event),
            "resolved" if !case.ended => {
                case.incident.end = event.at;
                case.ended = true;
            }
            _ => {}
        }
    }
    let mut all: Vec<Incident> = cases
        .into_values()
        .filter(|case| case.urgent && case.by_people)
        .map(|case| case.incident)
        .collect();
    all.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
    all
}
