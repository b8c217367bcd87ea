//! Dependency policy: licences, sources, and dependencies that have one owner.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::{Outcome, root};

/// Licences that may be in the tree. A compound licence passes when one alternative does.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that must not be in the tree, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "TLS is rustls with ring"),
    ("aws-lc-sys", "TLS is rustls with ring"),
    ("native-tls", "TLS is rustls with ring"),
    ("chrono", "time is jiff"),
    ("once_cell_try", "std has OnceLock"),
];

/// Dependencies that only the named crates of ours may use.
const OWNED: &[(&str, &[&str])] = &[
    ("rusqlite", &["bellwether-store"]),
    (
        "tokio-postgres",
        &[
            "bellwether-store",
            "bellwether-connect",
            "bellwether-measure",
        ],
    ),
    ("lettre", &["bellwether-connect"]),
    ("pulldown-cmark", &["bellwether-act", "bellwether-ui"]),
    ("saphyr-parser", &["bellwether-yaml"]),
    ("getrandom", &["bellwether-env"]),
    ("tracing-subscriber", &["bellwether-env"]),
];

pub(crate) fn check(_: &[String]) -> Outcome {
    let metadata = metadata()?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo metadata has no packages")?;
    let mut faults = BTreeSet::new();
    for package in packages {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            faults.insert(format!("{name} is not allowed: {why}"));
        }
        if !allowed(text("license")) {
            faults.insert(format!(
                "{name} {version}: licence {:?} is not on the list",
                text("license")
            ));
        }
        let source = package["source"].as_str();
        if source.is_some_and(|source| !source.starts_with("registry+")) {
            faults.insert(format!("{name} {version} does not come from a registry"));
        }
        if source.is_none() {
            owned(package, name, &mut faults);
        }
    }
    if faults.is_empty() {
        println!(
            "policy: {} packages, licences, sources and owners as agreed",
            packages.len()
        );
        return Ok(());
    }
    Err(faults.into_iter().collect::<Vec<_>>().join("\n"))
}

/// Faults of one of our own crates that uses what belongs to another.
fn owned(package: &Value, name: &str, faults: &mut BTreeSet<String>) {
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let used = dependency["name"].as_str().unwrap_or_default();
        let is_dev = dependency["kind"].as_str() == Some("dev");
        if let Some((_, owners)) = OWNED.iter().find(|(owned, _)| *owned == used)
            && !is_dev
            && !owners.contains(&name)
        {
            faults.insert(format!(
                "{name} uses {used}, which belongs to {}",
                owners.join(", ")
            ));
        }
    }
}

fn allowed(expression: &str) -> bool {
    let alternatives = expression.replace('/', " OR ").replace(['(', ')'], "");
    alternatives.split(" OR ").any(|all| {
        all.split(" AND ")
            .all(|licence| LICENCES.contains(&licence.trim()))
    })
}

fn metadata() -> Result<Value, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("start cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("read cargo metadata: {error}"))
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn compound_licences_pass_by_one_alternative() {
        assert!(
            allowed("MIT OR Apache-2.0")
                && allowed("(MIT OR GPL-3.0) AND ISC")
                && allowed("MIT/Unlicense")
        );
        assert!(!allowed("GPL-3.0") && !allowed("MIT AND AGPL-3.0") && !allowed(""));
    }
}
