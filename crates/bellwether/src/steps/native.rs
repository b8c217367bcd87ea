//! Dry runs that a program does by itself: Terraform's plan, `kubectl diff`, `--check`, `--why-run`.

use std::path::Path;
use std::time::Duration;

use bellwether_act::digest::digest_of;
use bellwether_act::plan::Action;
use bellwether_act::{NativePlan, NativeWanted, dry_run};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const TIMEOUT: Duration = Duration::from_mins(5);
/// Bytes of a dry run that are kept for people.
const SUMMARY_MAX: usize = 16 << 10;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Does a dry run; `folder` keeps saved plans.
pub async fn native_plan(wanted: &NativeWanted, folder: &Path) -> Result<NativePlan, String> {
    let Action::Program { words, input, .. } = &wanted.action else {
        return Err("not a program".to_owned());
    };
    if wanted.target.starts_with("ssh:") {
        return Err("a dry run on another host is not supported".to_owned());
    }
    let Some(mut dry) = dry_run(words) else {
        return Err(format!("{} has no dry run", words[0]));
    };
    let terraform = words[0] == "terraform";
    let file = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let file = file.join(format!("{}.tfplan", &digest_of(words)[..16]));
    if terraform {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        dry.push(format!("-out={}", file.display()));
    }
    let ran = run(&dry, input).await?;
    let advisory = matches!(words[0].as_str(), "ansible-playbook" | "chef-client");
    // Terraform and kubectl: 0 nothing to do, 1 (kubectl) or 2 (Terraform) something to do, anything else an error.
    // kubectl says 1 for some errors too, without a diff.
    let changes = match (words[0].as_str(), ran.code) {
        (_, Some(0)) => advisory,
        ("terraform", Some(2)) => true,
        ("kubectl", Some(1)) if !ran.out.trim().is_empty() => true,
        (_, code) => {
            let said = ran
                .err
                .lines()
                .chain(ran.out.lines())
                .find(|line| !line.trim().is_empty());
            let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("exit {code}"));
            return Err(format!("{code}: {}", said.unwrap_or_default().trim()));
        }
    };
    let mut plan = NativePlan {
        summary: ran.out[..ran.out.floor_char_boundary(SUMMARY_MAX)].to_owned(),
        empty: !changes,
        advisory,
        ..NativePlan::default()
    };
    if terraform {
        let show = [
            &words[0],
            &words[1],
            "show",
            "-json",
            &file.display().to_string(),
        ]
        .map(str::to_owned);
        let shown = run(&show, "").await?;
        let json: Value =
            serde_json::from_str(&shown.out).map_err(|error| format!("terraform show: {error}"))?;
        let mut all: Vec<Value> = json["resource_changes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        all.retain(|change| change["change"]["actions"] != serde_json::json!(["no-op"]));
        let deletes = |change: &&Value| {
            let actions = change["change"]["actions"].as_array();
            actions.is_some_and(|actions| actions.iter().any(|action| action == "delete"))
        };
        plan.destroys = all.iter().filter(deletes).count() as u32;
        for change in &all {
            let address = change["address"].as_str().unwrap_or("?");
            plan.summary
                .push_str(&format!("{} {address}\n", change["change"]["actions"]));
        }
        plan.digest = digest_of(&(&all, &json["resource_drift"], &json["output_changes"]));
        plan.file = Some(file.display().to_string());
    } else {
        plan.digest = digest_of(&stable(&ran.out));
    }
    Ok(plan)
}

/// A diff without the names of temporary files and the times in its headings.
fn stable(diff: &str) -> Vec<&str> {
    let heading = |line: &&str| {
        line.starts_with("diff ") || line.starts_with("--- /") || line.starts_with("+++ /")
    };
    diff.lines().filter(|line| !heading(line)).collect()
}

async fn run(words: &[String], input: &str) -> Result<Ran, String> {
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .env("TF_IN_AUTOMATION", "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{}: {error}", words[0]))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that reads nothing closes it.
        drop(stdin.write_all(input.as_bytes()).await);
    }
    let ended = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await;
    let output = ended
        .map_err(|_| format!("{} took longer than {TIMEOUT:?}", words[0]))?
        .map_err(|error| format!("{}: {error}", words[0]))?;
    Ok(Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
