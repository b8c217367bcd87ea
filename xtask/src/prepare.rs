//! Installs the real parts that the tests run against, from Debian's packages.

use std::path::Path;
use std::process::Command;

use crate::{Outcome, run_with};

/// Program that proves a package is there, and the package.
const NEEDED: &[(&str, &str)] = &[
    ("/usr/bin/chromium", "chromium"),
    ("/usr/bin/chromedriver", "chromium-driver"),
    ("/usr/bin/prometheus", "prometheus"),
    (
        "/usr/bin/prometheus-alertmanager",
        "prometheus-alertmanager",
    ),
    (
        "/usr/bin/prometheus-node-exporter",
        "prometheus-node-exporter",
    ),
    ("/usr/bin/redis-server", "redis-server"),
    ("/usr/sbin/nginx", "nginx-light"),
    ("/usr/lib/postgresql", "postgresql"),
    ("/usr/bin/curl", "curl"),
    ("/usr/sbin/fcgiwrap", "fcgiwrap"),
    ("/usr/sbin/sshd", "openssh-server"),
    ("/usr/bin/ssh", "openssh-client"),
    ("/usr/lib/git-core/git-http-backend", "git"),
];

/// Installs what is missing. On a system without apt, or without the right to install, it says what is missing and
/// goes on: the tests that need it then skip with a message (and fail where `CI=true`).
pub(crate) fn install_what_tests_need() -> Outcome {
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(file, _)| !Path::new(file).exists())
        .map(|(_, package)| *package)
        .collect();
    install(&missing)
}

pub(crate) fn install(packages: &[&str]) -> Outcome {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| {
            NEEDED
                .iter()
                .any(|(file, name)| name == package && !Path::new(file).exists())
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        println!(
            "note: not a Debian system; missing for the tests: {}",
            missing.join(" ")
        );
        return Ok(());
    }
    let as_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout.starts_with(b"0\n"));
    let program = if as_root { "apt-get" } else { "sudo" };
    let prefix: &[&str] = if as_root { &[] } else { &["apt-get"] };
    // Servers of these packages are started by the tests on their own ports, never by the package.
    let env = [("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")];
    let with = |args: &[&str]| {
        let all: Vec<&str> = prefix.iter().chain(args).copied().collect();
        run_with(program, &all, &env)
    };
    with(&["update", "-qq"])?;
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(missing);
    with(&args)
}
