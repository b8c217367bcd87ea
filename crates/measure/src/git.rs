//! What the gate asks of git: the commits of a branch, notes that hold results, folders of other commits.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bellwether_lab::gate::Entry;

/// Notes that hold results, one JSON document for each commit.
pub const NOTES: &str = "refs/notes/bellwether";

/// A repository, by a folder in it.
#[derive(Clone, Debug)]
pub struct Repository {
    folder: PathBuf,
}

/// Why git did not do it.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("start git: {0}")]
    Start(#[from] std::io::Error),
    #[error("git {command}: {errors}")]
    Failed { command: String, errors: String },
    #[error("the note of commit {commit} is not a result: {message}")]
    Note { commit: String, message: String },
}

impl Repository {
    /// That of the present folder.
    pub fn here() -> Self {
        Self::at(Path::new("."))
    }

    /// That of a folder.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The commit that is checked out.
    pub fn head(&self) -> Result<String, GitError> {
        self.commit("HEAD")
    }

    /// The commit that a name stands for.
    pub fn commit(&self, name: &str) -> Result<String, GitError> {
        let text = self.git(&[
            "rev-parse",
            "--verify",
            "--end-of-options",
            &format!("{name}^{{commit}}"),
        ])?;
        Ok(text.trim().to_owned())
    }

    /// Whether tracked files have changes.
    pub fn is_dirty(&self) -> Result<bool, GitError> {
        Ok(!self
            .git(&["status", "--porcelain", "--untracked-files=no"])?
            .trim()
            .is_empty())
    }

    /// The newest commits of the first-parent line that ends at a commit, oldest first.
    pub fn line(&self, end: &str, max: usize) -> Result<Vec<String>, GitError> {
        let text = self.git(&[
            "rev-list",
            "--first-parent",
            &format!("--max-count={max}"),
            end,
            "--",
        ])?;
        let mut commits: Vec<String> = text.lines().map(str::to_owned).collect();
        commits.reverse();
        Ok(commits)
    }

    /// The results that notes hold for these commits, in their order; commits without a note are left out.
    pub fn history(&self, commits: &[String]) -> Result<Vec<Entry>, GitError> {
        let listed = self
            .git(&["notes", "--ref", NOTES, "list"])
            .unwrap_or_default();
        let noted: std::collections::BTreeSet<&str> = listed
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        let mut entries = Vec::new();
        for commit in commits
            .iter()
            .filter(|commit| noted.contains(commit.as_str()))
        {
            let text = self.git(&["notes", "--ref", NOTES, "show", commit])?;
            let entry =
                bellwether_lab::gate::read_entry(&text).map_err(|message| GitError::Note {
                    commit: commit.clone(),
                    message,
                })?;
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Puts results on their commit, in place of those that it had.
    pub fn record(&self, entry: &Entry) -> Result<(), GitError> {
        let text = bellwether_lab::gate::write_entry(entry);
        let mut child = self
            .command(&[
                "notes",
                "--ref",
                NOTES,
                "add",
                "--force",
                "--file=-",
                &entry.commit,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut pipe) = child.stdin.take() {
            std::io::Write::write_all(&mut pipe, text.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        finished(&["notes", "add"], &output).map(drop)
    }

    /// Checks a commit out in a folder of its own.
    pub fn add_worktree(&self, folder: &Path, commit: &str) -> Result<(), GitError> {
        let folder = folder.to_string_lossy();
        self.git(&["worktree", "add", "--detach", "--force", &folder, commit])
            .map(drop)
    }

    /// Takes such a folder away again.
    pub fn remove_worktree(&self, folder: &Path) -> Result<(), GitError> {
        let folder = folder.to_string_lossy();
        self.git(&["worktree", "remove", "--force", &folder])
            .map(drop)
    }

    /// Runs `git bisect` between two commits with a command for each step; what git says at the end.
    pub fn bisect(&self, good: &str, bad: &str, step: &[String]) -> Result<String, GitError> {
        self.git(&["bisect", "start", bad, good, "--"])?;
        let mut arguments = vec!["bisect", "run"];
        arguments.extend(step.iter().map(String::as_str));
        let said = self.git(&arguments);
        let log = self.git(&["bisect", "log"]).unwrap_or_default();
        drop(self.git(&["bisect", "reset"]));
        said.map(|said| format!("{said}\n{log}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&self.folder)
            // Results do not depend on who is logged in; messages are read by us.
            .args([
                "-c",
                "user.name=bellwether",
                "-c",
                "user.email=bellwether@localhost",
            ])
            .args(arguments)
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::null());
        command
    }

    fn git(&self, arguments: &[&str]) -> Result<String, GitError> {
        let output = self.command(arguments).output()?;
        finished(arguments, &output)
    }
}

fn finished(arguments: &[&str], output: &std::process::Output) -> Result<String, GitError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(GitError::Failed {
        command: arguments
            .iter()
            .take(2)
            .copied()
            .collect::<Vec<_>>()
            .join(" "),
        errors: errors
            .trim()
            .lines()
            .last()
            .unwrap_or("failed without a word")
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_ride_on_their_commits() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::at(folder.path());
        repository.git(&["init", "--quiet"]).unwrap();
        for message in ["one", "two", "three"] {
            repository
                .git(&["commit", "--quiet", "--allow-empty", "-m", message])
                .unwrap();
        }
        let commits = repository.line("HEAD", 10).unwrap();
        assert_eq!(commits.len(), 3);
        assert_eq!(commits[2], repository.head().unwrap());
        assert!(repository.history(&commits).unwrap().is_empty());
        let entry = |commit: &str| Entry {
            version: 1,
            commit: commit.to_owned(),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            results: Vec::new(),
            accepted: vec!["parse".to_owned()],
        };
        for commit in [&commits[0], &commits[2]] {
            repository.record(&entry(commit)).unwrap();
            repository.record(&entry(commit)).unwrap();
        }
        assert_eq!(
            repository.history(&commits).unwrap(),
            [entry(&commits[0]), entry(&commits[2])]
        );
        let elsewhere = folder.path().join("elsewhere");
        repository.add_worktree(&elsewhere, &commits[0]).unwrap();
        assert_eq!(Repository::at(&elsewhere).head().unwrap(), commits[0]);
        repository.remove_worktree(&elsewhere).unwrap();
        assert!(!elsewhere.exists());
        assert!(repository.commit("no-such-thing").is_err());
        assert!(repository.commit("--output=x").is_err());
    }
}
