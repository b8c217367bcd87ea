//! Nodes to configuration.

use std::path::Path;

use bellwether_model::Problems;
use bellwether_yaml::Node;

use super::{ScrapeConfig, ScrapeGlobals};

pub(super) fn read_globals(node: &Node, problems: &mut Problems) -> ScrapeGlobals {
    drop((node.is_null(), problems.has_errors()));
    ScrapeGlobals::default()
}

/// Reads `scrape_configs`: bad entries are left out, duplicate job names are problems.
pub fn read_scrape_configs(
    node: &Node,
    globals: &ScrapeGlobals,
    base_dir: &Path,
    problems: &mut Problems,
) -> Vec<ScrapeConfig> {
    drop((
        node.is_null(),
        globals.scrape_interval,
        base_dir,
        problems.has_errors(),
    ));
    Vec::new()
}

pub(super) fn read_scrape_config(
    node: &Node,
    globals: &ScrapeGlobals,
    base_dir: &Path,
    problems: &mut Problems,
) -> Option<ScrapeConfig> {
    drop((node.is_null(), base_dir, problems.has_errors()));
    Some(ScrapeConfig::new("", globals))
}
