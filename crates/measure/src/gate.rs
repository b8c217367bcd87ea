//! The gate's hands: results of this commit, the history, the re-run, the bisection.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwether_lab::Samples;
use bellwether_lab::compare::{Comparison, Limits, Report};
use bellwether_lab::gate::{Entry, GateConfig, History, read_entry, write_entry};
use bellwether_lab::import::{self, ImportError};

use crate::command::{RunError, Subject, measure as run_once};
use crate::compare::{CompareError, Floors, Output, Plan, Side};
use crate::git::{GitError, Repository};

/// Why the gate could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Compare(#[from] CompareError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("{path}: {source}")]
    Io {
        path: String,
        source: std::io::Error,
    },
    #[error("{path}: {message}")]
    Entry { path: String, message: String },
    #[error("the gate's file has no `run`: the command that measures")]
    NoRun,
}

/// Commits that a series is made of at most.
pub const COMMITS_MAX: usize = 500;
/// Time limit of one run of a benchmark, and of a build.
pub const RUN_LIMIT: Duration = Duration::from_hours(1);

/// Measures in a folder: runs `run`, then reads the files, or what was printed when none are named.
pub fn measure(config: &GateConfig, folder: &Path) -> Result<Vec<Samples>, GateError> {
    let printed = match &config.run {
        Some(shell) => Some(run_once(&subject(shell, folder), RUN_LIMIT)?.output),
        None => None,
    };
    if config.results.is_empty() {
        return match printed {
            Some(text) => Ok(import::read("output", &text, config.format)?),
            None => Ok(Vec::new()),
        };
    }
    read_files(
        config,
        &config
            .results
            .iter()
            .map(|file| folder.join(file))
            .collect::<Vec<_>>(),
    )
}

/// Reads result files; a folder means every file below it that criterion would have written.
pub fn read_files(config: &GateConfig, files: &[PathBuf]) -> Result<Vec<Samples>, GateError> {
    let mut all: Vec<Samples> = Vec::new();
    for path in files {
        let name = path.display().to_string();
        let found = if path.is_dir() {
            let mut found = Vec::new();
            let mut samples = Vec::new();
            criterion_files(path, 0, &mut samples);
            for path in samples {
                found.extend(import::read(
                    &path.display().to_string(),
                    &read(&path)?,
                    config.format,
                )?);
            }
            found
        } else {
            import::read(&name, &read(path)?, config.format)?
        };
        for samples in found {
            // The same benchmark in several files: more values of one series.
            match all.iter_mut().find(|known| known.name == samples.name) {
                Some(known) => known.values.extend(samples.values),
                None => all.push(samples),
            }
        }
    }
    Ok(all)
}

fn criterion_files(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && depth < 8 {
            criterion_files(&path, depth + 1, found);
        } else if path.ends_with("new/sample.json") {
            found.push(path);
        }
    }
}

fn read(path: &Path) -> Result<String, GateError> {
    let io = |source| GateError::Io {
        path: path.display().to_string(),
        source,
    };
    let size = fs::metadata(path).map_err(io)?.len();
    if size > import::BYTES_MAX as u64 {
        return Err(io(std::io::Error::other(format!(
            "longer than {} bytes",
            import::BYTES_MAX
        ))));
    }
    fs::read_to_string(path).map_err(io)
}

fn subject(shell: &str, folder: &Path) -> Subject {
    Subject {
        shell: shell.to_owned(),
        folder: Some(folder.to_owned()),
        variables: Vec::new(),
    }
}

/// The results of the commits before (and at) a commit, oldest first.
pub fn history(
    config: &GateConfig,
    repository: &Repository,
    end: &str,
) -> Result<Vec<Entry>, GateError> {
    match &config.history {
        History::Git => {
            let line = repository.line(end, COMMITS_MAX)?;
            Ok(repository.history(&line)?)
        }
        History::Folder(folder) => {
            let mut entries = read_folder(Path::new(folder))?;
            // In the order of the branch when there is one, else of time.
            if let Ok(line) = repository.line(end, COMMITS_MAX) {
                let place = |entry: &Entry| line.iter().position(|commit| *commit == entry.commit);
                if entries.iter().any(|entry| place(entry).is_some()) {
                    entries.retain(|entry| place(entry).is_some());
                    entries.sort_by_key(|entry| place(entry));
                    return Ok(entries);
                }
            }
            entries.sort_by_key(|entry| entry.at);
            Ok(entries)
        }
    }
}

fn read_folder(folder: &Path) -> Result<Vec<Entry>, GateError> {
    let mut entries = Vec::new();
    let Ok(files) = fs::read_dir(folder) else {
        return Ok(entries);
    };
    for path in files.flatten().map(|file| file.path()) {
        if path.extension().is_some_and(|end| end == "json") {
            let message = |message| GateError::Entry {
                path: path.display().to_string(),
                message,
            };
            entries.push(read_entry(&read(&path)?).map_err(message)?);
        }
    }
    Ok(entries)
}

/// Keeps the results of a commit.
pub fn record(
    config: &GateConfig,
    repository: &Repository,
    entry: &Entry,
) -> Result<(), GateError> {
    match &config.history {
        History::Git => Ok(repository.record(entry)?),
        History::Folder(folder) => {
            let name: String = entry
                .commit
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c))
                .collect();
            let path = Path::new(folder).join(format!("{name}.json"));
            let io = |source| GateError::Io {
                path: path.display().to_string(),
                source,
            };
            fs::create_dir_all(folder).map_err(io)?;
            let fresh = path.with_extension("new");
            fs::write(&fresh, write_entry(entry)).map_err(io)?;
            fs::rename(&fresh, &path).map_err(io)
        }
    }
}

/// Two commits in folders of their own, built, and measured by turns.
pub struct Rerun {
    repository: Repository,
    folders: [PathBuf; 2],
}

impl Rerun {
    /// Checks both commits out below a folder and builds them.
    pub fn prepare(
        config: &GateConfig,
        repository: &Repository,
        below: &Path,
        commits: [&str; 2],
    ) -> Result<Self, GateError> {
        let folders = ["base", "candidate"].map(|name| below.join(name));
        let rerun = Self {
            repository: repository.clone(),
            folders,
        };
        for (folder, commit) in rerun.folders.iter().zip(commits) {
            repository.add_worktree(folder, commit)?;
            build(config, folder)?;
        }
        Ok(rerun)
    }

    /// Measures by turns; only the named series, or all.
    pub fn compare(
        &self,
        config: &GateConfig,
        only: &[String],
        progress: impl FnMut(&Comparison),
    ) -> Result<Comparison, GateError> {
        compare_folders(config, [&self.folders[0], &self.folders[1]], only, progress)
    }
}

impl Drop for Rerun {
    fn drop(&mut self) {
        for folder in &self.folders {
            // What cannot be taken away now is named by `git worktree list`.
            drop(self.repository.remove_worktree(folder));
        }
    }
}

/// Runs `prepare` in a folder.
pub fn build(config: &GateConfig, folder: &Path) -> Result<(), GateError> {
    match &config.prepare {
        Some(shell) => Ok(run_once(&subject(shell, folder), RUN_LIMIT).map(drop)?),
        None => Ok(()),
    }
}

/// Measures two folders by turns.
pub fn compare_folders(
    config: &GateConfig,
    folders: [&Path; 2],
    only: &[String],
    progress: impl FnMut(&Comparison),
) -> Result<Comparison, GateError> {
    let run = config.run.as_ref().ok_or(GateError::NoRun)?;
    // Results that go to files are printed after the run, so that one reader serves both.
    let shell = if config.results.is_empty() {
        run.clone()
    } else {
        let files: Vec<String> = config
            .results
            .iter()
            .map(|file| crate::compare::quoted(file))
            .collect();
        format!("{{ {run}\n}} >/dev/null && cat -- {}", files.join(" "))
    };
    let side = |folder: &Path| Side {
        subject: subject(&shell, folder),
        server: None,
    };
    let floor = only
        .iter()
        .map(|name| config.rule_for(name).floor)
        .fold(f64::INFINITY, f64::min);
    let floor = if floor.is_finite() {
        floor
    } else {
        config.floor
    };
    let plan = Plan {
        base: side(folders[0]),
        candidate: side(folders[1]),
        limits: Limits {
            pairs_max: config.confirm.map_or(20, |confirm| confirm.pairs_max),
            ..Limits::default()
        },
        floors: Floors {
            time: floor,
            cpu: floor,
            memory: floor,
        },
        warmup: 1,
        timeout: RUN_LIMIT,
        before_each: None,
        output: Some(Output::Benchmark(config.format, only.to_vec())),
    };
    Ok(crate::compare::run(&plan, progress)?)
}

/// Confirms a suspect: base and head again, in fresh processes of fresh check-outs.
pub fn confirm(
    config: &GateConfig,
    repository: &Repository,
    below: &Path,
    commits: [&str; 2],
    only: &[String],
    progress: impl FnMut(&Comparison),
) -> Result<Report, GateError> {
    let rerun = Rerun::prepare(config, repository, below, commits)?;
    let comparison = rerun.compare(config, only, progress)?;
    Ok(comparison.report(commits[0], commits[1]))
}
