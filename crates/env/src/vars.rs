//! Every environment variable that Bellwether reads.

use bellwether_model::Secret;

/// One variable: its name and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Var {
    pub name: &'static str,
    pub meaning: &'static str,
}

/// Filter of the log, as `tracing` has it: `info`, `bellwether_page=debug`.
pub const LOG: Var = Var {
    name: "BELLWETHER_LOG",
    meaning: "what is logged: info, debug, bellwether_page=debug",
};
/// Form of the log.
pub const LOG_FORMAT: Var = Var {
    name: "BELLWETHER_LOG_FORMAT",
    meaning: "form of the log: text (default) or json",
};
/// State database, as `--state`.
pub const STATE: Var = Var {
    name: "BELLWETHER_STATE",
    meaning: "PostgreSQL address for state, as --state",
};
/// API token for the command line, as `--token`.
pub const TOKEN: Var = Var {
    name: "BELLWETHER_TOKEN",
    meaning: "API token that the command line sends",
};
/// Address of the server for the command line, as `--server`.
pub const SERVER: Var = Var {
    name: "BELLWETHER_SERVER",
    meaning: "address of the server that the command line asks",
};
/// Set by continuous integration: tests that need something missing fail instead of skipping.
pub const CI: Var = Var {
    name: "CI",
    meaning: "true: a test whose data or server is missing fails",
};
/// Colour off, as <https://no-color.org> has it.
pub const NO_COLOR: Var = Var {
    name: "NO_COLOR",
    meaning: "any value: no colour in the terminal",
};
/// Where programs are.
pub const PATH: Var = Var {
    name: "PATH",
    meaning: "where notify-send is looked for",
};
/// The desktop of X11.
pub const DISPLAY: Var = Var {
    name: "DISPLAY",
    meaning: "there is a desktop that notifications can be shown on",
};
/// The desktop of Wayland.
pub const WAYLAND_DISPLAY: Var = Var {
    name: "WAYLAND_DISPLAY",
    meaning: "as DISPLAY",
};

/// Token for comments on GitLab merge requests.
pub const GITLAB_TOKEN: Var = Var {
    name: "GITLAB_TOKEN",
    meaning: "token with which `gate --gitlab` comments",
};
/// Token for comments on GitHub pull requests.
pub const GITHUB_TOKEN: Var = Var {
    name: "GITHUB_TOKEN",
    meaning: "token with which `gate --github` comments",
};
/// Database whose statements `exp queries` counts.
pub const QUERIES_DATABASE: Var = Var {
    name: "BELLWETHER_QUERIES_DATABASE",
    meaning: "PostgreSQL address for `exp queries`, as --database",
};

/// All of them, for the documentation.
pub const ALL: [Var; 13] = [
    LOG,
    LOG_FORMAT,
    STATE,
    TOKEN,
    SERVER,
    CI,
    NO_COLOR,
    PATH,
    DISPLAY,
    WAYLAND_DISPLAY,
    GITLAB_TOKEN,
    GITHUB_TOKEN,
    QUERIES_DATABASE,
];

/// A variable that somebody names in a reference to a secret, or that a program of a step expects.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub fn named(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Var {
    /// The value, when it is set and not empty.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub fn get(&self) -> Option<String> {
        std::env::var(self.name)
            .ok()
            .filter(|value| !value.is_empty())
    }

    /// The value as a secret.
    pub fn secret(&self) -> Option<Secret> {
        self.get().map(Secret::new)
    }
}
