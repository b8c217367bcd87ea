//! Silences, overrides and a new configuration.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_model::{OverrideId, uuid};
use jiff::Timestamp;
use serde_json::json;

use super::Pager;
use super::mute::InhibitIndex;
use super::state::{Due, after, span, urgency_of};
use crate::config::PageConfig;
use crate::event::{NewOverride, NewSilence};
use crate::reason::Reason;
use crate::record::{Silence, SilenceState};
use crate::schedule::{Override, OverrideKind};

/// Matchers that one silence may have.
const MATCHERS_MAX: usize = 100;
/// Bytes of a comment.
const COMMENT_MAX: usize = 16 << 10;

/// Why Alertmanager would refuse a silence; `None` when it would take it.
pub fn silence_refusal(new: &NewSilence, now: Timestamp) -> Option<String> {
    let matchers: usize = new.matcher_sets.iter().map(Vec::len).sum();
    if matchers == 0 || new.matcher_sets.iter().any(Vec::is_empty) {
        return Some("at least one matcher required".to_owned());
    }
    if matchers > MATCHERS_MAX || new.comment.len() > COMMENT_MAX {
        return Some(format!(
            "more than {MATCHERS_MAX} matchers, or a comment of more than {COMMENT_MAX} bytes"
        ));
    }
    let all_empty = |set: &Vec<bellwether_model::Matcher>| {
        set.iter().all(bellwether_model::Matcher::matches_empty)
    };
    if new.matcher_sets.iter().any(all_empty) {
        return Some("at least one matcher must not match the empty string".to_owned());
    }
    if new.ends_at < new.starts_at.unwrap_or(now) {
        return Some("end time must not be before start time".to_owned());
    }
    (new.ends_at < now).then(|| "end time can't be in the past".to_owned())
}

impl Pager {
    fn refuse(&mut self, text: impl Into<String>) {
        self.reason(Reason::Refused { text: text.into() });
    }

    pub(super) fn set_silence(&mut self, now: Timestamp, new: NewSilence) {
        if let Some(text) = silence_refusal(&new, now) {
            return self.refuse(text);
        }
        let old = match &new.id {
            None => None,
            Some(id) => match self.silences.get(id) {
                Some(old) => Some(old.clone()),
                None => return self.refuse(format!("silence {id} not found")),
            },
        };
        let mut silence = Silence {
            version: 1,
            id: String::new(),
            matcher_sets: new.matcher_sets,
            starts_at: new.starts_at.unwrap_or(now),
            ends_at: new.ends_at,
            updated_at: now,
            created_by: new.created_by,
            comment: new.comment,
            annotations: new.annotations,
        };
        match old {
            Some(old) if can_update(&old, &silence, now) => {
                silence.id.clone_from(&old.id);
                let text = format!("silence changed by {}", silence.created_by);
                self.put_silence(now, silence, "silence_updated", text);
                self.reason(Reason::SilenceUpdated { id: old.id });
            }
            old => {
                if let Some(old) = old
                    && old.state(now) != SilenceState::Expired
                {
                    self.expire_silence(now, &old.id, &silence.created_by);
                }
                let id = uuid(now, &mut self.ids);
                silence.id.clone_from(&id);
                silence.starts_at = silence.starts_at.max(now);
                let text = format!("silence by {}: {}", silence.created_by, silence.comment);
                self.put_silence(now, silence, "silence_created", text);
                self.reason(Reason::SilenceCreated { id });
            }
        }
    }

    fn put_silence(&mut self, now: Timestamp, silence: Silence, kind: &str, text: String) {
        let id = silence.id.clone();
        let data = json!({
            "matchers": silence.matcher_sets,
            "starts_at": silence.starts_at,
            "ends_at": silence.ends_at,
            "comment": silence.comment,
        });
        let actor = format!("user:{}", silence.created_by);
        self.event(now, ("silence", &id), kind, &actor, text, data);
        self.index_silence(silence);
        self.touch(Due::Silence(id));
    }

    pub(super) fn index_silence(&mut self, silence: Silence) {
        let id = silence.id.clone();
        self.silence_index.remove(&id);
        self.silence_index.add(&silence);
        self.set_timer(
            Due::Silence(id.clone()),
            Some(after(silence.ends_at, span(self.config.retention))),
        );
        self.silences.insert(id, silence);
    }

    pub(super) fn expire_silence(&mut self, now: Timestamp, id: &str, actor: &str) {
        let Some(silence) = self.silences.get(id) else {
            return self.refuse(format!("silence {id} not found"));
        };
        let mut silence = silence.clone();
        match silence.state(now) {
            SilenceState::Expired => return self.refuse(format!("silence {id} already expired")),
            SilenceState::Active => silence.ends_at = now,
            SilenceState::Pending => (silence.starts_at, silence.ends_at) = (now, now),
        }
        silence.updated_at = now;
        let text = format!("silence ended by {actor}");
        self.put_silence(now, silence, "silence_expired", text);
        self.reason(Reason::SilenceExpired { id: id.to_owned() });
    }

    pub(super) fn silence_due(&mut self, id: &str) {
        self.silences.remove(id);
        self.silence_index.remove(id);
        self.touch(Due::Silence(id.to_owned()));
    }

    pub(super) fn add_override(&mut self, now: Timestamp, new: NewOverride) {
        let oncall = &self.config.oncall;
        let Some(schedule) = oncall.schedules.get(&new.schedule) else {
            return self.refuse(format!("no schedule {:?}", new.schedule));
        };
        if let Some(layer) = &new.layer
            && !schedule.layers.iter().any(|known| known.name == *layer)
        {
            return self.refuse(format!("schedule {} has no layer {layer:?}", new.schedule));
        }
        let unknown = new
            .people
            .iter()
            .chain(&new.replaces)
            .find(|person| !oncall.people.contains_key(*person));
        if let Some(person) = unknown {
            return self.refuse(format!("no person {person:?}"));
        }
        if new.from >= new.until {
            return self.refuse("an override ends after it begins");
        }
        let replaces = new.kind == OverrideKind::Replace;
        if replaces != new.replaces.is_some() {
            return self.refuse("`replaces` belongs to the kind replace, and is needed there");
        }
        if new.people.is_empty() && new.kind != OverrideKind::Only {
            return self.refuse("an override names at least one person");
        }
        let id = OverrideId::new(now, &mut self.ids).to_string();
        let stored = Override {
            version: 1,
            id: id.clone(),
            schedule: new.schedule,
            layer: new.layer,
            kind: new.kind,
            people: new.people,
            replaces: new.replaces,
            from: new.from,
            until: new.until,
            by: new.actor.clone(),
            comment: new.comment,
        };
        let text = format!(
            "{} changed who is on call from {} to {}: {}",
            new.actor,
            stored.from,
            stored.until,
            stored.people.join(", ")
        );
        let data = json!(stored);
        let schedule = stored.schedule.clone();
        self.index_override(stored);
        self.touch(Due::Override(id.clone()));
        self.event(
            now,
            ("schedule", &schedule),
            "override_added",
            &new.actor,
            text,
            data,
        );
        self.reason(Reason::OverrideAdded { id });
    }

    pub(super) fn index_override(&mut self, stored: Override) {
        self.set_timer(
            Due::Override(stored.id.clone()),
            Some(after(stored.until, span(self.config.retention))),
        );
        self.overrides.insert(stored.id.clone(), stored);
    }

    pub(super) fn remove_override(&mut self, now: Timestamp, id: &str, actor: &str) {
        let Some(stored) = self.overrides.remove(id) else {
            return self.refuse(format!("no override {id}"));
        };
        self.set_timer(Due::Override(id.to_owned()), None);
        self.touch(Due::Override(id.to_owned()));
        let text = format!("{actor} took back the override of {}", stored.by);
        let data = json!(stored);
        self.event(
            now,
            ("schedule", &stored.schedule),
            "override_removed",
            actor,
            text,
            data,
        );
        self.reason(Reason::OverrideRemoved { id: id.to_owned() });
    }

    /// A new configuration: alerts are routed anew; groups, cases and the log stay where their keys stay.
    pub(super) fn reconfigure(&mut self, now: Timestamp, config: Arc<PageConfig>) {
        self.config = config;
        self.adopt_config(now);
        self.reason(Reason::Reconfigured);
    }

    pub(super) fn adopt_config(&mut self, now: Timestamp) {
        let config = Arc::clone(&self.config);
        let index: std::collections::BTreeMap<&str, usize> = config
            .routes
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (node.id.as_str(), index))
            .collect();
        let gone: Vec<Arc<str>> = self
            .groups
            .iter_mut()
            .filter_map(|(id, group)| match index.get(group.stored.route.as_str()) {
                Some(node) => {
                    group.node = *node;
                    None
                }
                None => Some(Arc::clone(id)),
            })
            .collect();
        for id in gone {
            self.drop_group(now, &id);
        }
        self.inhibit = InhibitIndex::default();
        self.context_alerts.clear();
        let fingerprints: Vec<u64> = self.alerts.keys().copied().collect();
        for fingerprint in fingerprints {
            let alert = &self.alerts[&fingerprint].stored;
            let labels = alert.labels.clone();
            if !alert.resolved {
                self.inhibit
                    .add(&config.inhibit_rules, fingerprint, &labels);
                if urgency_of(&labels).is_none() {
                    self.context_alerts.insert(fingerprint);
                }
            }
            let held = self.alerts[&fingerprint].groups.clone();
            let before: BTreeSet<Arc<str>> = held.iter().cloned().collect();
            self.join_groups(now, fingerprint, &held);
            for id in before {
                self.note_empty(now, &id);
            }
            self.drop_if_done(fingerprint);
        }
    }

    fn drop_group(&mut self, now: Timestamp, id: &Arc<str>) {
        let Some(group) = self.groups.remove(id) else {
            return;
        };
        for flight in group.stored.in_flight.into_values() {
            self.deliveries.remove(&flight.delivery);
            self.cancel_delivery(now, flight.delivery);
        }
        for fingerprint in group.members {
            if let Some(alert) = self.alerts.get_mut(&fingerprint) {
                alert.groups.retain(|held| held != id);
            }
        }
        self.set_timer(Due::Group(Arc::clone(id)), None);
        self.touch(Due::Group(Arc::clone(id)));
    }
}

/// Whether the edit leaves matchers and past alone, so that the silence keeps its id.
fn can_update(old: &Silence, new: &Silence, now: Timestamp) -> bool {
    if old.matcher_sets != new.matcher_sets {
        return false;
    }
    match old.state(now) {
        SilenceState::Active => {
            old.starts_at.as_second() == new.starts_at.as_second() && new.ends_at >= now
        }
        SilenceState::Pending => new.starts_at >= now,
        SilenceState::Expired => false,
    }
}
