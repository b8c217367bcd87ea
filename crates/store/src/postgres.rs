//! State in PostgreSQL: one thread with two connections, one that writes and one that reads, each remade when lost.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::{join, try_join_all};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Client as PgClient, Config, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::client::{
    Client, Counters, GroupFail, Job, MAX_WAITING, Queued, fail_all, reply_all, run_group,
    take_group,
};
use crate::conn::{Conn, DbError, DbErrorKind, Engine, Row, Val};
use crate::error::{Blame, StoreError};
use crate::migrate::migrate;
use crate::ops::{Answer, Fail, perform};

/// Our tables live in a schema of their own.
const SCHEMA: &str = "bellwether";
/// Key of the advisory lock that keeps two nodes from migrating at once (`bell` in ASCII).
const MIGRATION_LOCK: i64 = 0x6265_6c6c;
/// Longest time for one statement, waiting for the network included.
const STATEMENT: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(3);
/// Pauses between attempts to connect again; after them the waiting requests fail.
const RECONNECT: [u64; 6] = [0, 50, 150, 400, 1000, 2000];
/// How often a transaction that lost against another one is repeated.
const CONTENTION_TRIES: u32 = 8;
/// Statements that are sent before the first answer is waited for.
const PIPELINE: usize = 256;

/// State in PostgreSQL (12 or newer), in the schema `bellwether` of the given database.
#[derive(Debug)]
pub struct PostgresStore {
    client: Client,
}

struct Pg {
    client: PgClient,
    statements: BTreeMap<String, Statement>,
    in_transaction: bool,
    /// Number of the transaction begun last: tells after a lost connection whether it was committed.
    xid: Option<i64>,
}

/// A connection that is made again when it is lost.
struct Link {
    config: Config,
    conn: Option<Pg>,
}

// === impl PostgresStore ===

impl PostgresStore {
    /// Connects, and brings the schema up to date. The address is a URL (`postgres://user@host/database`) or a list
    /// of `key=value`. With `sslmode=require` the connection is encrypted and the server's certificate is checked
    /// against the system's authorities and the host's name; otherwise it is not encrypted.
    pub async fn connect(address: &str) -> Result<Self, StoreError> {
        let config: Config = address.parse().map_err(|error: tokio_postgres::Error| {
            StoreError::Open {
                // Not the address: it may hold a password.
                place: "PostgreSQL".to_owned(),
                reason: chain(&error),
            }
        })?;
        let place = place(&config);
        let (writes, write_queue) = mpsc::channel(MAX_WAITING);
        let (reads, read_queue) = mpsc::channel(MAX_WAITING);
        let counters = Arc::new(Counters::default());
        let counted = Arc::clone(&counters);
        let (opened, opening) = oneshot::channel();
        let at = place.clone();
        thread::Builder::new()
            .name("store-postgres".to_owned())
            .spawn(move || serve(config, &at, opened, write_queue, read_queue, &counted))
            .map_err(|error| StoreError::Unavailable {
                reason: format!("cannot start a thread: {error}"),
                blame: Blame::Operator,
            })?;
        opening.await.map_err(|_| StoreError::Open {
            place,
            reason: "the thread that serves state has ended".to_owned(),
        })??;
        Ok(Self {
            client: Client {
                writes,
                reads,
                counters,
            },
        })
    }
}

impl Queued for PostgresStore {
    fn client(&self) -> &Client {
        &self.client
    }
}

/// The address without secrets.
fn place(config: &Config) -> String {
    let host = config.get_hosts().first().map_or_else(
        || "localhost".to_owned(),
        |host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        },
    );
    format!("postgres://{host}/{}", config.get_dbname().unwrap_or(""))
}

fn serve(
    mut config: Config,
    place: &str,
    opened: oneshot::Sender<Result<(), StoreError>>,
    writes: mpsc::Receiver<Job>,
    reads: mpsc::Receiver<Job>,
    counters: &Counters,
) {
    config
        .application_name("bellwether")
        .connect_timeout(CONNECT)
        .keepalives_idle(Duration::from_secs(10))
        .tcp_user_timeout(STATEMENT);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            // Nobody waits for the answer: connect was dropped.
            drop(opened.send(Err(StoreError::Open {
                place: place.to_owned(),
                reason: error.to_string(),
            })));
            return;
        }
    };
    runtime.block_on(async {
        let writer = open(config.clone(), place).await;
        let (writer, result) = match writer {
            Ok(writer) => (Some(writer), Ok(())),
            Err(error) => (None, Err(error)),
        };
        drop(opened.send(result));
        if let Some(writer) = writer {
            let reader = Link { config, conn: None };
            join(write_all(writer, writes, counters), read_all(reader, reads)).await;
        }
    });
}

async fn open(config: Config, place: &str) -> Result<Link, StoreError> {
    let failed = |error: DbError| StoreError::Open {
        place: place.to_owned(),
        reason: error.reason,
    };
    let mut conn = connect(&config).await.map_err(failed)?;
    bring_up_to_date(&mut conn, place)
        .await
        .map_err(|fail| match fail {
            Fail::Refused(error) => error,
            Fail::Db(error) => failed(error),
        })?;
    Ok(Link {
        config,
        conn: Some(conn),
    })
}

async fn bring_up_to_date(conn: &mut Pg, place: &str) -> Result<(), Fail> {
    conn.batch("begin").await?;
    conn.batch(&format!("select pg_advisory_xact_lock({MIGRATION_LOCK})"))
        .await?;
    // Asked first, because making it "if not exists" needs a right that a careful operator takes away again.
    let found = conn
        .query(
            "select 1 from pg_namespace where nspname = $1",
            vec![SCHEMA.into()],
        )
        .await?;
    if found.is_empty() {
        conn.batch(&format!("create schema {SCHEMA}")).await?;
    }
    let done = migrate(conn, place).await;
    conn.batch(if done.is_ok() { "commit" } else { "rollback" })
        .await?;
    done
}

async fn connect(config: &Config) -> Result<Pg, DbError> {
    let gone = |reason: String| DbError {
        kind: DbErrorKind::Gone,
        reason,
    };
    let silent = |_| gone("no answer while connecting".to_owned());
    // A connection's task ends when the client is dropped or the connection is lost; the client then says so.
    let client = if config.get_ssl_mode() == SslMode::Require {
        // A second call finds the provider installed, which is what it wants.
        drop(rustls::crypto::ring::default_provider().install_default());
        let (tls, _) = MakeRustlsConnect::with_native_certs()
            .map_err(|_| gone("the system has no certificates of authorities".to_owned()))?;
        let (client, connection) = timeout(CONNECT * 2, config.connect(tls))
            .await
            .map_err(silent)?
            .map_err(|error| gone(chain(&error)))?;
        tokio::spawn(watch(connection));
        client
    } else {
        let (client, connection) = timeout(CONNECT * 2, config.connect(NoTls))
            .await
            .map_err(silent)?
            .map_err(|error| gone(chain(&error)))?;
        tokio::spawn(watch(connection));
        client
    };
    let mut conn = Pg {
        client,
        statements: BTreeMap::new(),
        in_transaction: false,
        xid: None,
    };
    conn.batch(&format!(
        "set search_path to {SCHEMA}; set synchronous_commit to on; \
         set statement_timeout to '{}s'; set idle_in_transaction_session_timeout to '60s'",
        STATEMENT.as_secs()
    ))
    .await?;
    Ok(conn)
}

async fn watch(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection to PostgreSQL ended");
    }
}

// === impl Link ===

impl Link {
    /// The connection, made again if it was lost.
    async fn get(&mut self) -> Result<&mut Pg, DbError> {
        if self
            .conn
            .as_ref()
            .is_some_and(|conn| conn.client.is_closed())
        {
            self.conn = None;
        }
        if self.conn.is_none() {
            self.conn = Some(self.reconnect().await?);
        }
        Ok(self.conn.as_mut().expect("it was just made"))
    }

    async fn reconnect(&self) -> Result<Pg, DbError> {
        let mut last = DbError {
            kind: DbErrorKind::Gone,
            reason: String::new(),
        };
        for pause in RECONNECT {
            sleep(Duration::from_millis(pause)).await;
            match connect(&self.config).await {
                Ok(conn) => return Ok(conn),
                Err(error) => last = error,
            }
        }
        tracing::warn!(error = %last, "PostgreSQL cannot be reached");
        Err(last)
    }

    fn lose(&mut self) {
        self.conn = None;
    }
}

async fn write_all(mut link: Link, mut queue: mpsc::Receiver<Job>, counters: &Counters) {
    while let Some(first) = queue.recv().await {
        let jobs = take_group(first, &mut queue);
        match write_group(&mut link, &jobs).await {
            Ok(answers) => {
                Client::count(counters, &jobs, &answers);
                reply_all(jobs, answers);
            }
            Err(error) => {
                tracing::warn!(%error, batches = jobs.len(), "state was not written");
                fail_all(jobs, &error);
            }
        }
    }
}

async fn write_group(
    link: &mut Link,
    jobs: &[Job],
) -> Result<Vec<Result<Answer, StoreError>>, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let conn = link.get().await?;
        let xid = match run_group(conn, "begin", jobs).await {
            Ok(answers) => return Ok(answers),
            Err(GroupFail::Before(error)) => {
                match error.kind {
                    DbErrorKind::Gone => link.lose(),
                    DbErrorKind::Contention => sleep(Duration::from_millis(5 << tries)).await,
                    DbErrorKind::Resource | DbErrorKind::Other => return Err(error.into()),
                }
                if tries >= CONTENTION_TRIES {
                    return Err(error.into());
                }
                continue;
            }
            Err(GroupFail::Committing(error, answers)) => {
                let xid = conn.xid;
                link.lose();
                (xid, error, answers)
            }
        };
        let (xid, error, answers) = xid;
        match was_committed(link, xid).await {
            Some(true) => return Ok(answers),
            Some(false) if tries < CONTENTION_TRIES => {}
            Some(false) => return Err(error.into()),
            None => {
                return Err(StoreError::OutcomeUnknown {
                    reason: error.reason,
                });
            }
        }
    }
}

/// Asks what became of a transaction whose commit was not answered. `None`: it cannot be known.
async fn was_committed(link: &mut Link, xid: Option<i64>) -> Option<bool> {
    let xid = xid?;
    for pause in RECONNECT {
        sleep(Duration::from_millis(pause)).await;
        let conn = link.get().await.ok()?;
        let mut rows = conn
            .query("select txid_status($1)", vec![xid.into()])
            .await
            .ok()?;
        match rows.first_mut()?.text(0).ok()?.as_str() {
            "committed" => return Some(true),
            "aborted" => return Some(false),
            // The server has not noticed yet that we were cut off.
            _ => {}
        }
    }
    None
}

async fn read_all(mut link: Link, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.recv().await {
        let mut answer = read(&mut link, &job).await;
        if matches!(&answer, Err(Fail::Db(error)) if error.kind == DbErrorKind::Gone) {
            link.lose();
            answer = read(&mut link, &job).await;
        }
        // A caller that went away is no fault.
        drop(job.reply.send(answer.map_err(StoreError::from)));
    }
}

async fn read(link: &mut Link, job: &Job) -> Result<Answer, Fail> {
    let conn = link.get().await?;
    perform(conn, &job.request).await
}

// === impl Pg ===

impl Pg {
    async fn statement(&mut self, sql: &str) -> Result<Statement, DbError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = within(self.client.prepare(sql)).await?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

async fn within<T>(
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, DbError> {
    match timeout(STATEMENT + Duration::from_secs(1), work).await {
        Ok(done) => done.map_err(|error| db_error(&error)),
        Err(_) => Err(DbError {
            kind: DbErrorKind::Gone,
            reason: "no answer from PostgreSQL".to_owned(),
        }),
    }
}

fn db_error(error: &tokio_postgres::Error) -> DbError {
    let kind = match error.code().map(tokio_postgres::error::SqlState::code) {
        // No answer of the server: the connection.
        None => DbErrorKind::Gone,
        Some(code) if code.starts_with("40") || code == "55P03" => DbErrorKind::Contention,
        // Shut down, or a standby that does not write (yet): another connection may do better.
        Some(code) if code.starts_with("08") || code.starts_with("57P") || code == "25006" => {
            DbErrorKind::Gone
        }
        // Out of something, too slow, not allowed.
        Some(code)
            if code.starts_with("53")
                || code.starts_with("58")
                || code == "57014"
                || code == "42501" =>
        {
            DbErrorKind::Resource
        }
        Some(_) => DbErrorKind::Other,
    };
    DbError {
        kind,
        reason: chain(error),
    }
}

fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl Conn for Pg {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    async fn query_many(
        &mut self,
        statements: Vec<(&str, Vec<Val>)>,
    ) -> Result<Vec<Vec<Row>>, DbError> {
        let mut prepared = Vec::with_capacity(statements.len());
        for (sql, values) in statements {
            prepared.push((self.statement(sql).await?, values));
        }
        let mut answers = Vec::with_capacity(prepared.len());
        for chunk in prepared.chunks(PIPELINE) {
            let queries = chunk.iter().map(async |(statement, values)| {
                let values: Vec<&(dyn ToSql + Sync)> =
                    values.iter().map(|value| value as _).collect();
                self.client.query(statement, &values).await
            });
            for rows in within(try_join_all(queries)).await? {
                let rows: Result<Vec<Row>, DbError> = rows.iter().map(row).collect();
                answers.push(rows?);
            }
        }
        Ok(answers)
    }

    async fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        match sql {
            "begin" => {
                within(self.client.batch_execute("begin")).await?;
                self.in_transaction = true;
                let rows = self.query("select txid_current()", Vec::new()).await?;
                self.xid = rows.first().and_then(|row| row.int(0).ok());
                Ok(())
            }
            "commit" | "rollback" => {
                let done = within(self.client.batch_execute(sql)).await;
                self.in_transaction = false;
                done
            }
            _ => within(self.client.batch_execute(sql)).await,
        }
    }

    fn in_transaction(&self) -> bool {
        self.in_transaction && !self.client.is_closed()
    }
}

fn row(row: &tokio_postgres::Row) -> Result<Row, DbError> {
    (0..row.len())
        .map(|index| {
            row.try_get(index)
                .map_err(|error| DbError::other(chain(&error)))
        })
        .collect::<Result<_, _>>()
        .map(Row)
}

impl ToSql for Val {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> FromSql<'a> for Val {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            _ => Self::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::INT8 | Type::INT4 | Type::TEXT | Type::VARCHAR | Type::NAME
        )
    }
}
