//! Alertmanager's two matcher languages: classic, and UTF-8 with a fallback.

/// Which language matchers are read in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// UTF-8 first, classic when only that can read it: Alertmanager's default.
    #[default]
    Fallback,
    Classic,
    Utf8,
}
