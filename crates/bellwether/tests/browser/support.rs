//! A stage: the demo's service, a server that watches it, and browsers to look at it.

use std::path::Path;
use std::time::Duration;

use bellwether::browser::{Browser, Window};
use bellwether::demo::{self, Server, service};
use serde_json::{Value, json};

/// A case needs the fault to show in two windows, the longer of 30 seconds.
pub(crate) const SLOW: Duration = Duration::from_secs(90);

/// The service, its server, and where they keep things; all end with it.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) service: service::Service,
    _data: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// With more sections in the configuration.
    pub(crate) async fn with(sections: &str) -> Self {
        let service = service::start().await.unwrap();
        let data = tempfile::tempdir().unwrap();
        let config = data.path().join("bellwether.yml");
        std::fs::write(&config, demo::config(service.address, false) + sections).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_bellwether"));
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = Server::start_program(program, &config, data.path(), listen, true)
            .await
            .unwrap();
        Self {
            server,
            service,
            _data: data,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.address)
    }

    /// A browser that is signed in as `you` and shows Now.
    pub(crate) async fn visitor(&self, window: Window) -> Browser {
        let browser = Browser::start(window).await.unwrap();
        let link = self
            .server
            .client
            .post("/login-links", &json!({"name": "you"}))
            .await
            .unwrap();
        browser.open(link["link"].as_str().unwrap()).await.unwrap();
        browser.wait_for("body.signed main").await.unwrap();
        browser.wait_for("p.live.on").await.unwrap();
        browser
    }

    /// Opens a case by hand and gives its id.
    pub(crate) async fn case(&self, title: &str) -> String {
        let body = json!({"title": title, "urgency": "high"});
        let answer = self
            .server
            .client
            .post("/case-by-hand", &body)
            .await
            .unwrap();
        let id = answer["case"].as_str().or(answer["id"].as_str());
        id.unwrap_or_else(|| panic!("no id in {answer}")).to_owned()
    }
}

/// Runs a test that needs a browser, unless there is none.
pub(crate) fn play(test: impl Future<Output = ()>) {
    let installed = |name: &str| {
        ["/usr/bin", "/usr/local/bin"]
            .iter()
            .any(|folder| Path::new(folder).join(name).is_file())
    };
    if !installed("chromedriver") {
        let why = "chromedriver is not installed (Debian: chromium-driver)";
        let ci = bellwether_env::vars::CI.get();
        assert!(ci.as_deref() != Some("true"), "{why}");
        println!("skipped: {why}");
        return;
    }
    // Another test of this process may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

/// What a script gives, as text.
pub(crate) async fn text_of(browser: &Browser, script: &str) -> String {
    match browser.run(script).await.unwrap() {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Fails when the page is wider than the window.
pub(crate) async fn fits(browser: &Browser, what: &str) {
    let wide = browser
        .run(
            "const root = document.scrollingElement;
             if (root.scrollWidth <= innerWidth) return null;
             const wide = [...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1
                 && !e.closest('.scroll, pre, svg, .sr'));
             return `${root.scrollWidth} > ${innerWidth}: ` + wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(' | ');",
        )
        .await
        .unwrap();
    assert!(wide.is_null(), "{what} is wider than the window: {wide}");
}

/// Marks the page, so that a reload is noticed.
pub(crate) async fn mark(browser: &Browser) {
    browser.run("window.marked = true;").await.unwrap();
}

/// Fails when the page was loaded anew since [`mark`].
pub(crate) async fn not_reloaded(browser: &Browser) {
    let marked = browser.run("return window.marked === true;").await.unwrap();
    assert_eq!(marked, true, "the page was reloaded");
}
