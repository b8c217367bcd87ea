//! State in an SQLite file: the embedded default. One thread writes, others read.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::FutureExt as _;
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};
use tokio::sync::mpsc;

use crate::client::{
    Client, Counters, GroupFail, Job, MAX_WAITING, Queued, fail_all, reply_all, run_group,
    take_group,
};
use crate::conn::{Conn, DbError, DbErrorKind, Engine, Row, Val, sqlite_text};
use crate::error::{Blame, StoreError};
use crate::migrate::migrate;
use crate::ops::{Answer, Fail, Request, perform};

/// `BELL`: tells our file from other programs' SQLite files.
const APPLICATION_ID: i64 = 0x4245_4c4c;
const READERS: usize = 2;
/// How long to wait for another process (the command line beside the server) to finish its write.
const BUSY: Duration = Duration::from_secs(10);
const CACHED_STATEMENTS: usize = 64;

/// State in an SQLite file. WAL, `synchronous=FULL`: an answered commit is on the disk. Dropping it waits until the
/// queued writes are done.
#[derive(Debug)]
pub struct SqliteStore {
    client: Option<Client>,
    threads: Vec<JoinHandle<()>>,
}

struct Sqlite(Connection);

// === impl SqliteStore ===

impl SqliteStore {
    /// Opens the file, or makes it (readable by its owner only), and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, None)
    }

    /// As [`Self::open`], but the file may not grow beyond so many pages of 4 KiB: a disk that is full, for tests.
    #[doc(hidden)]
    pub fn open_limited(path: &Path, max_pages: u32) -> Result<Self, StoreError> {
        Self::open_with(path, Some(max_pages))
    }

    fn open_with(path: &Path, max_pages: Option<u32>) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let failed = |reason: String| StoreError::Open {
            place: place.clone(),
            reason,
        };
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        }
        // SQLite gives the WAL the mode of the database, so the mode is set here.
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| failed(error.to_string()))?;
        let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .and_then(Sqlite::check_ours)
            .map_err(|error| failed(error.reason))?;
        writer.bring_up_to_date(&place).map_err(|fail| match fail {
            Fail::Refused(error) => error,
            Fail::Db(error) => failed(error.reason),
        })?;
        if let Some(pages) = max_pages {
            writer
                .batch_now(&format!("pragma max_page_count = {pages}"))
                .map_err(|error| failed(error.reason))?;
        }
        let counters = Arc::new(Counters::default());
        let (writes, write_queue) = mpsc::channel(MAX_WAITING);
        let (reads, read_queue) = mpsc::channel(MAX_WAITING);
        let mut threads = Vec::new();
        let counted = Arc::clone(&counters);
        threads.push(spawn("store-write", move || {
            write_all(&mut writer, write_queue, &counted);
        })?);
        let read_queue = Arc::new(Mutex::new(read_queue));
        for _ in 0..READERS {
            let mut reader = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
                .map_err(|error| failed(error.reason))?;
            reader
                .batch_now("pragma query_only = on")
                .map_err(|error| failed(error.reason))?;
            let queue = Arc::clone(&read_queue);
            threads.push(spawn("store-read", move || read_all(&mut reader, &queue))?);
        }
        Ok(Self {
            client: Some(Client {
                writes,
                reads,
                counters,
            }),
            threads,
        })
    }
}

impl Queued for SqliteStore {
    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is taken only by drop")
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(self.client.take());
        for thread in self.threads.drain(..) {
            // A panic in the thread was reported by the panic hook; there is no one left to tell.
            drop(thread.join());
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| StoreError::Unavailable {
            reason: format!("cannot start a thread: {error}"),
            blame: Blame::Operator,
        })
}

fn write_all(conn: &mut Sqlite, mut queue: mpsc::Receiver<Job>, counters: &Counters) {
    while let Some(first) = queue.blocking_recv() {
        let jobs = take_group(first, &mut queue);
        match at_once(run_group(conn, "begin immediate", &jobs)) {
            Ok(answers) => {
                Client::count(counters, &jobs, &answers);
                reply_all(jobs, answers);
            }
            Err(GroupFail::Before(error) | GroupFail::Committing(error, _)) => {
                tracing::warn!(%error, batches = jobs.len(), "state was not written");
                fail_all(jobs, &error.into());
            }
        }
    }
}

fn read_all(conn: &mut Sqlite, queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // One reader at a time waits for the next job; the lock is free while it works.
        let job = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(job) = job else { return };
        let answer = match &job.request {
            Request::Backup(path) => conn.backup(path),
            request => at_once(perform(conn, request)).map_err(StoreError::from),
        };
        drop(job.reply.send(answer));
    }
}

/// SQLite's futures never wait.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    future
        .now_or_never()
        .expect("every future of this connection is ready at once")
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Sqlite, DbError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(db_error)?;
    conn.busy_timeout(BUSY).map_err(db_error)?;
    conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    let sqlite = Sqlite(conn);
    sqlite.batch_now(
        "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; \
         pragma trusted_schema = off; pragma temp_store = memory; pragma cache_size = -16000;",
    )?;
    Ok(sqlite)
}

fn db_error(error: rusqlite::Error) -> DbError {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => DbErrorKind::Contention,
        Some(
            ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory,
        ) => DbErrorKind::Resource,
        _ => DbErrorKind::Other,
    };
    DbError {
        kind,
        reason: error.to_string(),
    }
}

// === impl Sqlite ===

impl Sqlite {
    fn batch_now(&self, sql: &str) -> Result<(), DbError> {
        self.0.execute_batch(sql).map_err(db_error)
    }

    fn number(&self, sql: &str) -> Result<i64, DbError> {
        self.0
            .query_row(sql, [], |row| row.get(0))
            .map_err(db_error)
    }

    /// Refuses another program's file.
    fn check_ours(self) -> Result<Self, DbError> {
        let id = self.number("pragma application_id")?;
        let tables = self.number("select count(*) from sqlite_schema")?;
        if id != APPLICATION_ID && (id != 0 || tables != 0) {
            return Err(DbError::other("the file belongs to another program"));
        }
        self.batch_now(&format!("pragma application_id = {APPLICATION_ID}"))?;
        Ok(self)
    }

    /// The write lock is the advisory lock: one process migrates, the others wait for it.
    fn bring_up_to_date(&mut self, place: &str) -> Result<(), Fail> {
        self.batch_now("begin immediate")?;
        let done = at_once(migrate(self, place));
        let end = if done.is_ok() { "commit" } else { "rollback" };
        self.batch_now(end)?;
        done
    }

    fn backup(&mut self, path: &Path) -> Result<Answer, StoreError> {
        let failed = |reason: String| StoreError::Backup {
            path: path.display().to_string(),
            reason,
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| failed(error.to_string()))?;
        let text = path_text(path).ok_or_else(|| failed("the path is not UTF-8".to_owned()))?;
        let copied = self
            .batch_now("pragma query_only = off")
            .and_then(|()| self.0.execute("vacuum into ?1", [text]).map_err(db_error))
            .map_err(|error| error.reason)
            .and_then(|_| file.sync_all().map_err(|error| error.to_string()));
        self.batch_now("pragma query_only = on")
            .map_err(|error| failed(error.reason))?;
        copied.map_err(|reason| {
            drop(fs::remove_file(path));
            failed(reason)
        })?;
        Ok(Answer::Done)
    }

    fn run(&self, sql: &str, values: &[Val]) -> Result<Vec<Row>, DbError> {
        let mut statement = self.0.prepare_cached(&sqlite_text(sql)).map_err(db_error)?;
        let columns = statement.column_count();
        let bound = rusqlite::params_from_iter(values.iter());
        let mut rows = statement.query(bound).map_err(db_error)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(db_error)? {
            let mut read = Vec::with_capacity(columns);
            for index in 0..columns {
                read.push(value(row.get_ref(index).map_err(db_error)?, index)?);
            }
            found.push(Row(read));
        }
        Ok(found)
    }
}

fn path_text(path: &Path) -> Option<String> {
    PathBuf::from(path).to_str().map(str::to_owned)
}

fn value(value: ValueRef<'_>, index: usize) -> Result<Val, DbError> {
    match value {
        ValueRef::Null => Ok(Val::Null),
        ValueRef::Integer(number) => Ok(Val::Int(number)),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(DbError::other)?;
            Ok(Val::Text(text.to_owned()))
        }
        ValueRef::Real(_) => Err(wrong_type(index, Type::Real)),
        ValueRef::Blob(_) => Err(wrong_type(index, Type::Blob)),
    }
}

fn wrong_type(index: usize, found: Type) -> DbError {
    DbError::other(format!("column {index} holds a {found}"))
}

impl ToSql for Val {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => rusqlite::types::Null.into(),
            Self::Int(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
        })
    }
}

impl Conn for Sqlite {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    async fn query_many(
        &mut self,
        statements: Vec<(&str, Vec<Val>)>,
    ) -> Result<Vec<Vec<Row>>, DbError> {
        statements
            .iter()
            .map(|(sql, values)| self.run(sql, values))
            .collect()
    }

    async fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        // Cached: begin, savepoint and their like run for every batch.
        if sql.contains(';') {
            self.batch_now(sql)
        } else {
            self.run(sql, &[]).map(drop)
        }
    }

    fn in_transaction(&self) -> bool {
        !self.0.is_autocommit()
    }
}
