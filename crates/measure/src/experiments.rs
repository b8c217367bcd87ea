//! Experiments on disk: a folder each, files that are written once.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bellwether_lab::experiment::{
    DECISION, ENVIRONMENT, Experiment, ExperimentError, MANIFEST, Manifest, PLAN, Plan, RAW,
    RESULT, digest_of, encode, slug,
};

/// A folder of experiments.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// Why the folder did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {source}")]
    Io {
        path: String,
        source: std::io::Error,
    },
    #[error("{id}: {source}")]
    Experiment { id: String, source: ExperimentError },
    #[error("there is no experiment {id} in {folder}")]
    Unknown { id: String, folder: String },
    #[error("{id} has {name} already; what is written is not changed (make a new experiment)")]
    Written { id: String, name: String },
    #[error("{id} could be {candidates}")]
    Ambiguous { id: String, candidates: String },
}

/// Bytes that one file may have.
const FILE_MAX: u64 = 256 << 20;
/// Experiments that one folder may have.
const COUNT_MAX: usize = 10_000;

impl Store {
    /// Of a folder, which need not exist yet.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Ids, oldest first.
    pub fn ids(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(io(&self.folder, source)),
        };
        let mut ids: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().join(PLAN).is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .take(COUNT_MAX)
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// The id that a name, or the number at its beginning, stands for.
    pub fn find(&self, name: &str) -> Result<String, StoreError> {
        let ids = self.ids()?;
        if ids.iter().any(|id| id == name) {
            return Ok(name.to_owned());
        }
        let number = name
            .parse::<u32>()
            .map_or_else(|_| name.to_owned(), |number| format!("{number:04}-"));
        let found: Vec<&String> = ids.iter().filter(|id| id.starts_with(&number)).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(StoreError::Unknown {
                id: name.to_owned(),
                folder: self.folder.display().to_string(),
            }),
            several => Err(StoreError::Ambiguous {
                id: name.to_owned(),
                candidates: several
                    .iter()
                    .map(|id| id.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    /// Writes a plan; its id is given here.
    pub fn create(&self, mut plan: Plan) -> Result<Plan, StoreError> {
        let last = self
            .ids()?
            .last()
            .and_then(|id| id.split('-').next()?.parse::<u32>().ok())
            .unwrap_or(0);
        plan.id = format!("{:04}-{}", last + 1, slug(&plan.title));
        let folder = self.folder.join(&plan.id);
        fs::create_dir_all(&folder).map_err(|source| io(&folder, source))?;
        self.add(&plan.id, PLAN, &encode(&plan))?;
        Ok(plan)
    }

    /// Writes a file of an experiment, which must not be there yet, and its digest into the manifest.
    pub fn add(&self, id: &str, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let folder = self.folder.join(id);
        let path = folder.join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| {
                if source.kind() == std::io::ErrorKind::AlreadyExists {
                    StoreError::Written {
                        id: id.to_owned(),
                        name: name.to_owned(),
                    }
                } else {
                    io(&path, source)
                }
            })?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(|source| io(&path, source))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444))
            .map_err(|source| io(&path, source))?;
        let manifest_path = folder.join(MANIFEST);
        let mut manifest: Manifest = match fs::read(&manifest_path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|error| io(&manifest_path, error.into()))?
            }
            Err(_) => Manifest {
                version: 1,
                ..Manifest::default()
            },
        };
        manifest.files.insert(name.to_owned(), digest_of(bytes));
        let fresh = folder.join("manifest.json.new");
        fs::write(&fresh, encode(&manifest)).map_err(|source| io(&fresh, source))?;
        fs::rename(&fresh, &manifest_path).map_err(|source| io(&manifest_path, source))
    }

    /// Reads an experiment.
    pub fn read(&self, id: &str) -> Result<Experiment, StoreError> {
        let folder = self.folder.join(id);
        let mut files = BTreeMap::new();
        for name in [PLAN, ENVIRONMENT, RAW, RESULT, DECISION, MANIFEST] {
            let path = folder.join(name);
            match fs::metadata(&path) {
                Err(_) => continue,
                Ok(meta) if meta.len() > FILE_MAX => {
                    let what = format!("longer than {FILE_MAX} bytes");
                    return Err(io(&path, std::io::Error::other(what)));
                }
                Ok(_) => {}
            }
            files.insert(
                name.to_owned(),
                fs::read(&path).map_err(|source| io(&path, source))?,
            );
        }
        Experiment::read(&files).map_err(|source| StoreError::Experiment {
            id: id.to_owned(),
            source,
        })
    }
}

fn io(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use bellwether_lab::compare::Limits;

    use super::*;

    #[test]
    fn what_is_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&folder.path().join("experiments"));
        assert!(store.ids().unwrap().is_empty());
        let plan = Plan {
            version: 1,
            id: String::new(),
            title: "Batch inserts".into(),
            hypothesis: "Fewer round trips.".into(),
            base: "true".into(),
            candidate: "true".into(),
            setup: Vec::new(),
            limits: Limits::default(),
            created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let first = store.create(plan.clone()).unwrap();
        let second = store.create(plan).unwrap();
        assert_eq!(
            (first.id.as_str(), second.id.as_str()),
            ("0001-batch-inserts", "0002-batch-inserts")
        );
        assert_eq!(store.find("2").unwrap(), second.id);
        assert!(matches!(store.find(""), Err(StoreError::Ambiguous { .. })));
        assert!(matches!(store.find("7"), Err(StoreError::Unknown { .. })));
        let refused = store.add(&first.id, PLAN, b"{}").unwrap_err();
        assert!(matches!(refused, StoreError::Written { .. }), "{refused}");
        let read = store.read(&first.id).unwrap();
        assert_eq!((read.plan, read.faults.len()), (first, 0));
    }
}
