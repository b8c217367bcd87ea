//! Headless Chromium through ChromeDriver (W3C WebDriver): for the pictures of the documentation and the tests of the
//! pages. Not used by the server.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_env::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::core::pause;

/// Time that one command, and one wait, may take.
const TIME_MAX: Duration = Duration::from_mins(1);

/// The keys that have no letter, as WebDriver names them.
pub const TAB: char = '\u{e004}';
pub const ENTER: char = '\u{e007}';
pub const ESCAPE: char = '\u{e00c}';

/// What went wrong, for the person at the terminal.
pub type Fault = String;

/// A window: its size and what it prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub width: u32,
    pub height: u32,
    /// A phone: touch, no mouse, the page lays itself out for a small screen.
    pub phone: bool,
    pub dark: bool,
}

/// A browser with one window. Dropping it ends its processes.
pub struct Browser {
    driver: Child,
    http: reqwest::Client,
    session: String,
    profile: std::path::PathBuf,
}

impl Window {
    /// A desktop window.
    pub const DESKTOP: Self = Self {
        width: 1280,
        height: 900,
        phone: false,
        dark: false,
    };
    /// A phone.
    pub const PHONE: Self = Self {
        width: 390,
        height: 844,
        phone: true,
        dark: false,
    };

    /// The same in the dark.
    #[must_use]
    pub fn dark(self) -> Self {
        Self { dark: true, ..self }
    }

    /// Name for files: `phone-dark`.
    pub fn name(self) -> String {
        let size = if self.phone { "phone" } else { "desktop" };
        format!("{size}-{}", if self.dark { "dark" } else { "light" })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver alone would leave its browser behind: both are one process group.
        if let Some(pid) = self.driver.id() {
            let group = format!("-{pid}");
            drop(
                std::process::Command::new("kill")
                    .args(["-KILL", "--", &group])
                    .status(),
            );
        }
        drop(std::fs::remove_dir_all(&self.profile));
    }
}

// === impl Browser ===

impl Browser {
    /// Starts ChromeDriver on a port that it picks, and a browser under it.
    pub async fn start(window: Window) -> Result<Self, Fault> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("start chromedriver: {error} (Debian: chromium-driver)"))?;
        let port = tokio::time::timeout(TIME_MAX, port_of(&mut driver))
            .await
            .map_err(|_| "chromedriver did not say its port".to_owned())??;
        let http = reqwest::Client::builder()
            .timeout(TIME_MAX)
            .no_proxy()
            .build();
        let http = http.map_err(|error| error.to_string())?;
        let profile = std::env::temp_dir().join(format!(
            "bellwether-browser-{}",
            &bellwether_env::random_token()[..8]
        ));
        let mut browser = Self {
            driver,
            http,
            session: format!("http://127.0.0.1:{port}/session"),
            profile,
        };
        let answer = browser.post("", &browser.capabilities(window)).await?;
        let id = answer["sessionId"]
            .as_str()
            .ok_or("chromedriver gave no session")?
            .to_owned();
        browser.session = format!("{}/{id}", browser.session);
        let scheme = if window.dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser
            .devtools("Emulation.setEmulatedMedia", &media)
            .await?;
        Ok(browser)
    }

    fn capabilities(&self, window: Window) -> Value {
        let Window {
            width,
            height,
            phone,
            ..
        } = window;
        let mut options = json!({"args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars",
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", self.profile.display()),
        ]});
        if phone {
            options["mobileEmulation"] = json!({"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2.0, "touch": true}});
        }
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        json!({"capabilities": {"alwaysMatch": wanted}})
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Fault> {
        let request = self
            .http
            .post(format!("{}{path}", self.session))
            .header("content-type", "application/json");
        let response = request
            .body(body.to_string())
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let text = response.text().await.map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!(
                "{error}: {}",
                value["message"].as_str().unwrap_or_default()
            )),
            None => Ok(value),
        }
    }

    async fn devtools(&self, command: &str, params: &Value) -> Result<Value, Fault> {
        self.post(
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": params}),
        )
        .await
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) -> Result<(), Fault> {
        self.post("/url", &json!({"url": url})).await.map(drop)
    }

    /// Runs a function body in the page and gives what it returns.
    pub async fn run(&self, script: &str) -> Result<Value, Fault> {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
            .await
    }

    /// The visible text of the first element that matches; `None` when there is none.
    pub async fn text(&self, css: &str) -> Result<Option<String>, Fault> {
        let script = format!(
            "const e = document.querySelector({}); return e && e.innerText;",
            json!(css)
        );
        Ok(self.run(&script).await?.as_str().map(str::to_owned))
    }

    /// Waits until a script gives a true value.
    pub async fn wait_until(&self, script: &str) -> Result<(), Fault> {
        self.wait_within(script, TIME_MAX).await
    }

    /// As [`Browser::wait_until`], for what takes its time.
    pub async fn wait_within(&self, script: &str, limit: Duration) -> Result<(), Fault> {
        let clock = SystemClock::new();
        loop {
            let value = self.run(script).await.unwrap_or_default();
            if value.as_bool() == Some(true) {
                return Ok(());
            }
            if clock.monotonic() > limit {
                let body = self
                    .text("body")
                    .await
                    .unwrap_or_default()
                    .unwrap_or_default();
                return Err(format!(
                    "waited {limit:?} for {script}; the page says:\n{body}"
                ));
            }
            pause(Duration::from_millis(100)).await;
        }
    }

    /// Waits until an element is there.
    pub async fn wait_for(&self, css: &str) -> Result<(), Fault> {
        self.wait_until(&format!(
            "return document.querySelector({}) !== null;",
            json!(css)
        ))
        .await
    }

    /// The W3C reference of the first element that matches.
    async fn element(&self, css: &str) -> Result<String, Fault> {
        let asked = json!({"using": "css selector", "value": css});
        let found = self.post("/element", &asked).await?;
        let id = found
            .as_object()
            .and_then(|map| map.values().next())
            .and_then(Value::as_str);
        id.map(str::to_owned)
            .ok_or_else(|| format!("no element {css}"))
    }

    /// A real click (or tap) in the middle of the first element that matches, after it was scrolled into view.
    pub async fn click(&self, css: &str) -> Result<(), Fault> {
        let id = self.element(css).await?;
        self.post(&format!("/element/{id}/click"), &json!({}))
            .await
            .map(drop)
            .map_err(|error| format!("click {css}: {error}"))
    }

    /// Types into the first element that matches.
    pub async fn type_into(&self, css: &str, text: &str) -> Result<(), Fault> {
        let id = self.element(css).await?;
        self.post(&format!("/element/{id}/value"), &json!({"text": text}))
            .await
            .map(drop)
            .map_err(|error| format!("type into {css}: {error}"))
    }

    /// Presses keys, one after the other, wherever the focus is. [`TAB`] and the like are WebDriver's code points.
    pub async fn press(&self, keys: &str) -> Result<(), Fault> {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})))
            .collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.post("/actions", &actions).await.map(drop)
    }

    /// Pages run their scripts, or not.
    pub async fn scripts(&self, enabled: bool) -> Result<(), Fault> {
        let params = json!({"value": !enabled});
        self.devtools("Emulation.setScriptExecutionDisabled", &params)
            .await
            .map(drop)
    }

    /// What the console said since the last call: the level (`SEVERE` for errors) and the text.
    pub async fn console(&self) -> Result<Vec<(String, String)>, Fault> {
        let entries = self.post("/se/log", &json!({"type": "browser"})).await?;
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let entries = entries.as_array().into_iter().flatten();
        Ok(entries
            .map(|entry| (text(entry, "level"), text(entry, "message")))
            .collect())
    }

    /// A picture of the window, as PNG.
    pub async fn picture(&self) -> Result<Vec<u8>, Fault> {
        let shot = self
            .devtools("Page.captureScreenshot", &json!({"format": "png"}))
            .await?;
        let data = shot["data"].as_str().ok_or("no picture")?;
        STANDARD.decode(data).map_err(|error| error.to_string())
    }
}

/// ChromeDriver says its port on its standard output.
async fn port_of(driver: &mut Child) -> Result<u16, Fault> {
    let stdout = driver.stdout.take().ok_or("chromedriver has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.map_err(|error| error.to_string())? {
        // The first line says the port that was asked for, which is 0.
        let port = line
            .split("on port ")
            .nth(1)
            .and_then(|rest| rest.trim_end_matches('.').parse().ok());
        if let Some(port) = port.filter(|port| *port != 0) {
            // Keep reading, so that it never waits for a full pipe.
            crate::app::spawn("read chromedriver's output", async move {
                while let Ok(Some(_)) = lines.next_line().await {}
            });
            return Ok(port);
        }
    }
    Err("chromedriver ended at once".to_owned())
}
