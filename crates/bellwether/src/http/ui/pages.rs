//! Pages outside the menu: logging in, the first administrator, signed links.

use axum::response::Html;
use bellwether_ui::{AckPage, Chrome, LoginPage, SetupPage};

use super::frame::bare;
use crate::app::App;
use crate::links::AckLink;

/// Goes on to a path of ours by a page, not by a redirect.
pub fn redirect(next: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Bellwether</title>\
         <meta http-equiv=refresh content=\"0;url={0}\"><a href=\"{0}\">Go on</a></html>",
        next.replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('<', "&lt;")
    ))
}

/// The login form.
pub fn login(app: &App, next: &str, error: Option<&str>) -> Html<String> {
    let page = LoginPage {
        error: error.unwrap_or_default().to_owned(),
        name: String::new(),
        next: next.to_owned(),
    };
    Html(bellwether_ui::render_login(&bare(app, "Sign in"), &page))
}

/// The form for the first administrator.
pub fn setup(app: &App, ticket: &str, error: Option<&str>) -> Html<String> {
    let page = SetupPage {
        ticket: ticket.to_owned(),
        error: error.unwrap_or_default().to_owned(),
        name: String::new(),
        password_min: 8,
    };
    let chrome = Chrome {
        notices: Vec::new(),
        ..bare(app, "Welcome")
    };
    Html(bellwether_ui::render_setup(&chrome, &page))
}

/// What a signed link leads to.
pub fn acknowledge(app: &App, link: &AckLink, done: bool) -> Html<String> {
    let title = app.core.view(|flow| {
        flow.pager
            .case(link.case, app.clock.now())
            .map(|view| view.case.title)
    });
    let config = app.config();
    let person = config.page.oncall.people.get(&link.person);
    let page = AckPage {
        case_id: link.case.to_string(),
        title: title.unwrap_or_else(|| "This case is over and forgotten.".to_owned()),
        person: person.map_or_else(|| link.person.clone(), |person| person.name.clone()),
        action: app.links.ack_path(link),
        done,
    };
    let chrome = Chrome {
        notices: Vec::new(),
        ..bare(app, "Acknowledge")
    };
    Html(bellwether_ui::render_ack(&chrome, &page))
}
