//! Pictures of the pages while the demo runs.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{Failure, Server, say};
use crate::browser::{Browser, Window};
use crate::core::pause;

/// Time for the page's script to settle.
const SETTLE: Duration = Duration::from_millis(400);

/// Takes pages in every size, light and dark, into `folder`, as `<page>-<state>-<window>.png`.
pub(super) async fn take(
    server: &Server,
    case: &str,
    folder: &Path,
    state: &str,
) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("make {}: {error}", folder.display()))?;
    let case = format!("/cases/{case}");
    let mut pages = vec![("now", "/"), ("case", case.as_str())];
    if state == "resolved" {
        pages.extend([
            ("explore", EXPLORE),
            ("targets", "/targets"),
            ("oncall", "/oncall"),
            ("rules", "/rules"),
        ]);
        pages.extend([
            ("slos", "/slos"),
            ("runbook", "/runbooks/web-slow-replica"),
            ("status", "/status"),
        ]);
    }
    for window in [
        Window::DESKTOP,
        Window::DESKTOP.dark(),
        Window::PHONE,
        Window::PHONE.dark(),
    ] {
        let browser = Browser::start(window).await?;
        let link = server
            .client
            .post("/login-links", &json!({"name": "you"}))
            .await
            .map_err(|error| error.to_string())?;
        browser
            .open(link["link"].as_str().unwrap_or_default())
            .await?;
        browser.wait_for("main").await?;
        for (name, path) in &pages {
            browser.open(&format!("{}{path}", server.address)).await?;
            browser.wait_for("main").await?;
            pause(SETTLE).await;
            let file = folder.join(format!("{name}-{state}-{}.png", window.name()));
            let picture = browser.picture().await?;
            std::fs::write(&file, picture)
                .map_err(|error| format!("write {}: {error}", file.display()))?;
        }
    }
    say(format_args!(
        "        pictures of the {state} case: {}",
        folder.display()
    ));
    Ok(())
}

/// A graph that shows what the fault did.
const EXPLORE: &str = "/explore?expr=histogram_quantile(0.99%2C%20sum%20by%20(replica%2C%20le)%20(rate(\
    demo_http_request_duration_seconds_bucket%5B15s%5D)))&range=5m";
