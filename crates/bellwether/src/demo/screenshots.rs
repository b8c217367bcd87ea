//! Pictures of the pages while the demo runs, with headless Chromium.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use super::{Failure, Server, say};

/// Window sizes: name, width, height.
const SIZES: [(&str, u32, u32); 2] = [("desktop", 1280, 900), ("phone", 390, 844)];
const TIME_MAX: Duration = Duration::from_mins(1);

/// Takes the case's page in every size, light and dark, into `folder`.
pub(super) async fn take(server: &Server, case: &str, folder: &Path, state: &str) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| format!("make {}: {error}", folder.display()))?;
    for (size, width, height) in SIZES {
        for theme in ["light", "dark"] {
            let file = folder.join(format!("case-{state}-{size}-{theme}.png"));
            let link = server.client.post("/login-links", &json!({})).await.map_err(|error| error.to_string())?;
            let link = format!("{}&next=/cases/{case}", link["link"].as_str().unwrap_or_default());
            shoot(&link, &file, width, height, theme).await?;
            say(format_args!("        picture: {}", file.display()));
        }
    }
    Ok(())
}

async fn shoot(link: &str, file: &Path, width: u32, height: u32, theme: &str) -> Result<(), Failure> {
    let profile = std::env::temp_dir().join(format!("bellwether-chromium-{}", &bellwether_env::random_token()[..8]));
    let mut command = Command::new("chromium");
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--virtual-time-budget=4000", "--force-device-scale-factor=1"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--screenshot={}", file.display()));
    if theme == "dark" {
        command.arg("--blink-settings=preferredColorScheme=0");
    }
    command.arg(link).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(TIME_MAX, command.status()).await;
    drop(std::fs::remove_dir_all(&profile));
    match ended {
        Ok(Ok(status)) if status.success() && file.exists() => Ok(()),
        Ok(Ok(status)) => Err(format!("chromium ended with {status}")),
        Ok(Err(error)) => Err(format!("start chromium: {error}")),
        Err(_) => Err("chromium did not end".to_owned()),
    }
}
