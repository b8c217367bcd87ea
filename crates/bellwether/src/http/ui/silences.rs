//! Silences: the list, what a new one would hide, making and ending one.

use bellwether_model::Matcher;
use bellwether_model::duration::parse_duration;
use bellwether_page::engine::silence_refusal;
use bellwether_page::record::SilenceState;
use bellwether_page::view::AlertState;
use bellwether_page::{NewSilence, PagerEvent, matchers};
use bellwether_ui as ui;
use bellwether_ui::path;
use jiff::SignedDuration;

use super::cases::{actor_words, send};
use super::frame::{Page, Posted, Visitor, back_to, pairs, shown};
use crate::http::auth::Scope;
use crate::http::problem::Problem;

/// Alerts that a preview lists.
const PREVIEW_MAX: usize = 50;
/// Ended silences that are listed.
const ENDED_MAX: usize = 30;
/// How long a silence lasts unless something else is said.
const LASTS: &str = "2h";

/// A silence as the form has it.
fn read(
    visitor: &Visitor,
    text: &str,
    lasts: &str,
    comment: &str,
) -> Result<(Vec<Matcher>, NewSilence), String> {
    let mode = visitor
        .app
        .core
        .view(|flow| flow.pager.config().matcher_mode);
    let set = matchers::parse(text, mode).map_err(|error| format!("matchers: {error}"))?;
    let length = parse_duration(lasts.trim())
        .ok()
        .filter(|length| !length.is_zero())
        .and_then(|length| SignedDuration::try_from(length).ok())
        .ok_or_else(|| format!("{lasts:?} is no length of time: 30m, 2h or 1d"))?;
    let ends_at = visitor
        .now
        .checked_add(length)
        .map_err(|_| format!("{lasts:?} is too long"))?;
    let new = NewSilence {
        matcher_sets: vec![set.clone()],
        ends_at,
        created_by: visitor.name_of(&visitor.identity.actor),
        comment: comment.to_owned(),
        ..NewSilence::default()
    };
    match silence_refusal(&new, visitor.now) {
        Some(why) => Err(why),
        None => Ok((set, new)),
    }
}

fn preview(visitor: &Visitor, set: Vec<Matcher>, new: &NewSilence) -> ui::Preview {
    visitor.app.core.view(|flow| {
        let found = flow.pager.silence_preview(&[set], visitor.now);
        let alerts = found
            .iter()
            .take(PREVIEW_MAX)
            .map(|alert| ui::PreviewAlert {
                labels: pairs(&alert.labels),
                since: alert.starts_at,
                suppressed: alert.state == AlertState::Suppressed,
                cases: alert
                    .cases
                    .iter()
                    .filter_map(|id| flow.pager.case(*id, visitor.now))
                    .map(|view| (view.case.id.to_string(), view.case.title))
                    .collect(),
            });
        ui::Preview {
            alerts: alerts.collect(),
            total: found.len(),
            ends: Some(new.ends_at),
        }
    })
}

/// The list, and the preview of what the query parameters say.
pub(super) async fn show(visitor: Visitor) -> Page {
    let may = visitor.may(Scope::Respond);
    let now = visitor.now;
    let mut rows: Vec<ui::SilenceRow> = visitor.app.core.view(|flow| {
        let all = flow.pager.silences(now);
        all.into_iter()
            .map(|view| {
                let silence = view.silence;
                let expired = view.state == SilenceState::Expired;
                let hides = if expired {
                    0
                } else {
                    flow.pager.silence_preview(&silence.matcher_sets, now).len()
                };
                ui::SilenceRow {
                    matchers: silence
                        .matcher_sets
                        .iter()
                        .map(|set| matchers::write_all(set))
                        .collect(),
                    state: match view.state {
                        SilenceState::Pending => ui::SilenceWord::Pending,
                        SilenceState::Active => ui::SilenceWord::Active,
                        SilenceState::Expired => ui::SilenceWord::Expired,
                    },
                    from: silence.starts_at,
                    to: silence.ends_at,
                    by: silence.created_by,
                    comment: silence.comment,
                    hides,
                    may_end: may && !expired,
                    id: silence.id,
                }
            })
            .collect()
    });
    for row in &mut rows {
        row.by = actor_words(&visitor, &row.by);
    }
    let ended = |row: &ui::SilenceRow| row.state == ui::SilenceWord::Expired;
    rows.sort_by_key(|row| {
        (
            ended(row),
            if ended(row) {
                -row.to.as_second()
            } else {
                row.to.as_second()
            },
        )
    });
    let first_ended = rows.iter().position(ended).unwrap_or(rows.len());
    rows.truncate(first_ended + ENDED_MAX);
    let form = may.then(|| {
        let mut form = ui::SilenceForm {
            matchers: visitor.param("matchers").to_owned(),
            lasts: match visitor.param("for") {
                "" => LASTS.to_owned(),
                lasts => lasts.to_owned(),
            },
            comment: visitor.param("comment").to_owned(),
            ..ui::SilenceForm::default()
        };
        if !form.matchers.is_empty() {
            match read(&visitor, &form.matchers, &form.lasts, &form.comment) {
                Ok((set, new)) => form.preview = Some(preview(&visitor, set, &new)),
                Err(problem) => form.problem = Some(problem),
            }
        }
        form
    });
    let page = ui::SilencesPage {
        silences: rows,
        form,
    };
    Ok(shown(ui::render_silences(
        &visitor.chrome("Silences", ui::Nav::Silences),
        &page,
    )))
}

/// Saves a silence.
pub(super) async fn add(posted: Posted) -> Page {
    posted.need(Scope::Respond)?;
    let visitor = &posted.visitor;
    let comment = posted.text("comment", 500);
    let read = read(
        visitor,
        posted.field("matchers"),
        posted.field("for"),
        &comment,
    );
    let (_, new) = read.map_err(|why| visitor.fail(Problem::bad(why)))?;
    send(&posted, PagerEvent::SilenceSet(new)).await?;
    Ok(back_to(path::SILENCES, "silence"))
}

/// Ends a silence.
pub(super) async fn end(posted: Posted) -> Page {
    posted.need(Scope::Respond)?;
    let event = PagerEvent::SilenceExpire {
        id: posted.field("id").to_owned(),
        actor: posted.visitor.identity.actor.clone(),
    };
    send(&posted, event).await?;
    Ok(back_to(path::SILENCES, "silence-end"))
}
