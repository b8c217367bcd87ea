//! Every operation in SQL, once for both engines.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use bellwether_model::DeliveryId;
use bellwether_model::state::{
    Batch, Delivery, DeliveryState, DeliveryUpdate, Event, Expect, NewDelivery, NewEvent, Record,
    RecordWrite,
};
use jiff::Timestamp;

use crate::api::{Begin, Committed, DeliveryFilter, EventFilter, Fence, Lease, Stats};
use crate::chain::{ChainRow, GENESIS, chain_hash, content_of};
use crate::conn::{Conn, DbError, Engine, Row, Val};
use crate::error::StoreError;
use crate::migrate;
use crate::prepare::{after, nanos};
use crate::rows;

/// What is asked of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    // Writes.
    Commit(Batch, Option<Fence>),
    Begin(Vec<DeliveryId>, Begin),
    Acquire {
        name: String,
        holder: String,
        ttl: Duration,
        now: Timestamp,
    },
    Renew {
        lease: Lease,
        ttl: Duration,
        now: Timestamp,
    },
    Release(Lease),
    /// Nothing, but through the writer.
    Ping,
    // Reads.
    Load(&'static str),
    Get(&'static str, String),
    Due(Timestamp, u32),
    Deliveries(DeliveryFilter),
    Delivery(DeliveryId),
    Recover(Timestamp),
    Events(EventFilter),
    Chain(u64, u32),
    Stats,
    Backup(PathBuf),
}

/// What comes back.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Committed(Committed),
    Records(Vec<Record>),
    Deliveries(Vec<Delivery>),
    Events(Vec<Event>),
    Chain(Vec<ChainRow>),
    Lease(Option<Lease>),
    Stats(Stats),
    Done,
}

/// Why a request got no answer.
#[derive(Clone, Debug)]
pub(crate) enum Fail {
    /// Refused by a rule of the store.
    Refused(StoreError),
    /// The database failed.
    Db(DbError),
}

impl From<DbError> for Fail {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Does one request. Writes run inside the caller's transaction.
pub(crate) async fn perform<C: Conn>(conn: &mut C, request: &Request) -> Result<Answer, Fail> {
    Ok(match request {
        Request::Commit(batch, fence) => {
            let mut committed = commit_all(conn, &[(batch, fence.as_ref())]).await?;
            Answer::Committed(committed.pop().unwrap_or_default())
        }
        Request::Begin(ids, begin) => Answer::Deliveries(begin_attempts(conn, ids, begin).await?),
        Request::Acquire {
            name,
            holder,
            ttl,
            now,
        } => Answer::Lease(acquire(conn, name, holder, *ttl, *now).await?),
        Request::Renew { lease, ttl, now } => Answer::Lease(renew(conn, lease, *ttl, *now).await?),
        Request::Release(lease) => {
            release(conn, lease).await?;
            Answer::Done
        }
        Request::Ping => {
            conn.query("update meta set value = value where name = 'event'", vec![])
                .await?;
            Answer::Done
        }
        Request::Load(kind) => {
            let sql = format!(
                "select {} from record where kind = $1 order by id",
                rows::RECORD
            );
            Answer::Records(list(conn, &sql, vec![(*kind).into()], rows::record).await?)
        }
        Request::Get(kind, id) => {
            let sql = format!(
                "select {} from record where kind = $1 and id = $2",
                rows::RECORD
            );
            let params = vec![(*kind).into(), id.as_str().into()];
            Answer::Records(list(conn, &sql, params, rows::record).await?)
        }
        Request::Due(now, limit) => {
            let sql = format!(
                "select {} from record where due_at is not null and due_at <= $1 \
                 order by due_at, kind, id limit $2",
                rows::RECORD
            );
            let params = vec![nanos(*now).into(), i64::from(*limit).into()];
            Answer::Records(list(conn, &sql, params, rows::record).await?)
        }
        Request::Deliveries(filter) => {
            let (sql, params) = deliveries_query(filter);
            Answer::Deliveries(list(conn, &sql, params, rows::delivery).await?)
        }
        Request::Delivery(id) => {
            let sql = format!("select {} from delivery where id = $1", rows::DELIVERY);
            let params = vec![id.to_string().into()];
            Answer::Deliveries(list(conn, &sql, params, rows::delivery).await?)
        }
        Request::Recover(now) => {
            let sql = format!(
                "select {} from delivery where state = 'sending' \
                 and (lease_until is null or lease_until <= $1) order by due_at, id",
                rows::DELIVERY
            );
            let params = vec![nanos(*now).into()];
            Answer::Deliveries(list(conn, &sql, params, rows::delivery).await?)
        }
        Request::Events(filter) => {
            let (sql, params) = events_query(filter);
            Answer::Events(list(conn, &sql, params, rows::event).await?)
        }
        Request::Chain(after, limit) => {
            let sql = format!(
                "select {}, hash from event where seq > $1 order by seq limit $2",
                rows::EVENT
            );
            let params = vec![rows::signed(*after).into(), i64::from(*limit).into()];
            Answer::Chain(list(conn, &sql, params, rows::chain_row).await?)
        }
        Request::Stats => Answer::Stats(stats(conn).await?),
        // Engines that can do it take it out before it comes here.
        Request::Backup(path) => {
            return Err(Fail::Refused(StoreError::Backup {
                path: path.display().to_string(),
                reason: "use pg_dump for state in PostgreSQL".to_owned(),
            }));
        }
    })
}

async fn list<C: Conn, T>(
    conn: &mut C,
    sql: &str,
    params: Vec<Val>,
    read: fn(Row) -> Result<T, DbError>,
) -> Result<Vec<T>, Fail> {
    let rows = conn.query(sql, params).await?;
    Ok(rows.into_iter().map(read).collect::<Result<_, _>>()?)
}

// === commit ===

/// Stores batches one after the other, as if each were stored by itself, but class by class, so that few answers
/// have to be waited for. A refusal refuses all of them.
pub(crate) async fn commit_all<C: Conn>(
    conn: &mut C,
    batches: &[(&Batch, Option<&Fence>)],
) -> Result<Vec<Committed>, Fail> {
    let mut checked: Option<&Fence> = None;
    for (_, fence) in batches {
        if fence.is_some() && *fence != checked {
            check_fence(conn, *fence).await?;
            checked = *fence;
        }
    }
    let records = batches.iter().flat_map(|(batch, _)| &batch.records);
    write_records(conn, records.collect()).await?;
    let deliveries = batches.iter().flat_map(|(batch, _)| &batch.deliveries);
    let mut duplicates = add_deliveries(conn, deliveries.collect())
        .await?
        .into_iter();
    let updates = batches.iter().flat_map(|(batch, _)| &batch.updates);
    let mut stale = update_deliveries(conn, updates.collect())
        .await?
        .into_iter();
    // Last, because the counter's row keeps other writers waiting.
    let events = batches.iter().flat_map(|(batch, _)| &batch.events);
    let mut seqs = add_events(conn, events.collect()).await?.into_iter();
    let committed = batches.iter().map(|(batch, _)| Committed {
        events: seqs.by_ref().take(batch.events.len()).collect(),
        duplicates: named(&mut duplicates, batch.deliveries.iter().map(|new| new.id)),
        stale: named(&mut stale, batch.updates.iter().map(|update| update.id)),
    });
    Ok(committed.collect())
}

/// The ids whose flag is set; takes one flag for each.
fn named(
    flags: &mut impl Iterator<Item = bool>,
    ids: impl Iterator<Item = DeliveryId>,
) -> Vec<DeliveryId> {
    // The ids come first: zip must not take a flag that belongs to the next batch.
    ids.zip(flags)
        .filter_map(|(id, flag)| flag.then_some(id))
        .collect()
}

/// A fence that is not the latest refuses the write. The row stays locked until the transaction ends, so that nobody
/// takes the lease in between.
async fn check_fence<C: Conn>(conn: &mut C, fence: Option<&Fence>) -> Result<(), Fail> {
    let Some(fence) = fence else { return Ok(()) };
    let rows = conn
        .query(
            "select fence from lease where name = $1 for share",
            vec![fence.lease.as_str().into()],
        )
        .await?;
    let latest = rows.first().map_or(Ok(0), |row| row.int(0))?;
    if latest != rows::signed(fence.number) {
        return Err(Fail::Refused(StoreError::StaleFence {
            lease: fence.lease.clone(),
            ours: fence.number,
            latest: u64::try_from(latest).unwrap_or(0),
        }));
    }
    Ok(())
}

/// The statement and its parameters for one record, and whether a row must come back.
fn record_statement(write: &RecordWrite) -> (&'static str, Vec<Val>) {
    let mut params: Vec<Val> = vec![write.kind.0.into(), write.id.as_str().into()];
    let Some(body) = &write.body else {
        return match write.expect {
            Expect::Any => ("delete from record where kind = $1 and id = $2", params),
            Expect::Version(version) => {
                params.push(rows::signed(version).into());
                (
                    "delete from record where kind = $1 and id = $2 and version = $3 returning 1",
                    params,
                )
            }
            Expect::Absent => (
                "select 1 where not exists (select 1 from record where kind = $1 and id = $2)",
                params,
            ),
        };
    };
    params.push(write.due_at.map(nanos).into());
    params.push(rows::json_text(body).into());
    let sql = match write.expect {
        Expect::Any => {
            "insert into record (kind, id, version, due_at, body) values ($1, $2, 1, $3, $4) \
             on conflict (kind, id) do update set version = record.version + 1, \
             due_at = excluded.due_at, body = excluded.body"
        }
        Expect::Absent => {
            "insert into record (kind, id, version, due_at, body) values ($1, $2, 1, $3, $4) \
             on conflict (kind, id) do nothing returning 1"
        }
        Expect::Version(version) => {
            params.push(rows::signed(version).into());
            "update record set version = version + 1, due_at = $3, body = $4 \
             where kind = $1 and id = $2 and version = $5 returning 1"
        }
    };
    (sql, params)
}

async fn write_records<C: Conn>(conn: &mut C, records: Vec<&RecordWrite>) -> Result<(), Fail> {
    if records.is_empty() {
        return Ok(());
    }
    let statements = records.iter().map(|write| record_statement(write));
    let answers = conn.query_many(statements.collect()).await?;
    for (write, answer) in records.into_iter().zip(answers) {
        if write.expect != Expect::Any && answer.is_empty() {
            return Err(Fail::Refused(StoreError::Conflict {
                kind: write.kind.0.to_owned(),
                id: write.id.clone(),
                expected: write.expect,
            }));
        }
    }
    Ok(())
}

/// Says of each whether it was left out because its key is known.
async fn add_deliveries<C: Conn>(
    conn: &mut C,
    deliveries: Vec<&NewDelivery>,
) -> Result<Vec<bool>, Fail> {
    const INSERT: &str = "insert into delivery (id, key, subject_kind, subject_id, channel, target, payload, due_at, \
             expires_at, state, attempt, fence, lease_until, receipt, error, provider_id) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'pending', 0, 0, null, 'unknown', '', '') \
             on conflict do nothing returning 1";
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    let statements = deliveries
        .iter()
        .map(|new| (INSERT, rows::new_delivery(new)));
    let answers = conn.query_many(statements.collect()).await?;
    let mut duplicates = vec![false; deliveries.len()];
    for (index, new) in deliveries.iter().enumerate() {
        if answers.get(index).is_none_or(|answer| !answer.is_empty()) {
            continue;
        }
        let mut owner = conn
            .query(
                "select id from delivery where key = $1",
                vec![new.key.as_str().into()],
            )
            .await?;
        let owner = owner.first_mut().map(|row| row.text(0)).transpose()?;
        let owned_before = owner.is_some_and(|owner| {
            let later = deliveries[index + 1..].iter().zip(&answers[index + 1..]);
            !later
                .into_iter()
                .any(|(later, answer)| !answer.is_empty() && later.id.to_string() == owner)
        });
        // Not the key, so the id: it must not pass as a duplicate, or a page would be lost.
        if !owned_before {
            return Err(Fail::Refused(StoreError::IdTaken { id: new.id }));
        }
        duplicates[index] = true;
    }
    Ok(duplicates)
}

/// Says of each whether it came too late.
async fn update_deliveries<C: Conn>(
    conn: &mut C,
    updates: Vec<&DeliveryUpdate>,
) -> Result<Vec<bool>, Fail> {
    const UPDATE: &str = "update delivery set state = $2, due_at = $3, lease_until = $6, receipt = $7, error = $8, \
             provider_id = $9, \
             attempt = case when attempt > $4 then attempt else $4 end, \
             fence = case when fence > $5 then fence else $5 end \
             where id = $1 and ( \
               (state in ('pending', 'sending') and $2 = 'cancelled') \
               or (attempt <= $4 and fence <= $5 and $2 in ('done', 'failed')) \
               or (attempt <= $4 and fence <= $5 and $2 in ('pending', 'sending') \
                   and state in ('pending', 'sending'))) \
             returning 1";
    if updates.is_empty() {
        return Ok(Vec::new());
    }
    let statements = updates.iter().map(|update| (UPDATE, update_params(update)));
    let answers = conn.query_many(statements.collect()).await?;
    Ok(answers.iter().map(Vec::is_empty).collect())
}

fn update_params(update: &DeliveryUpdate) -> Vec<Val> {
    let DeliveryUpdate {
        id,
        state,
        due_at,
        attempt,
        fence,
        lease_until,
        receipt,
        error,
        provider_id,
    } = update;
    vec![
        id.to_string().into(),
        rows::state_word(*state).into(),
        nanos(*due_at).into(),
        i64::from(*attempt).into(),
        rows::signed(*fence).into(),
        lease_until.map(nanos).into(),
        rows::receipt_word(*receipt).into(),
        error.as_str().into(),
        provider_id.as_str().into(),
    ]
}

async fn add_events<C: Conn>(conn: &mut C, events: Vec<&NewEvent>) -> Result<Vec<u64>, Fail> {
    const INSERT: &str = "insert into event (seq, at, subject_kind, subject_id, kind, actor, text, data, hash) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let count = events.len() as i64;
    let rows = conn
        .query(
            "update meta set value = value + $1 where name = 'event' returning value",
            vec![count.into()],
        )
        .await?;
    let last = match rows.first() {
        Some(row) => row.int(0)?,
        None => return Err(DbError::other("the event counter is missing").into()),
    };
    let first = u64::try_from(last - count + 1).unwrap_or(1);
    let seqs: Vec<u64> = (first..).take(events.len()).collect();
    // The counter's row is ours until the transaction ends, so nobody writes an event in between.
    let mut before = conn
        .query(
            "select hash from event where seq = $1 and hash is not null",
            vec![rows::signed(first.saturating_sub(1)).into()],
        )
        .await?;
    let mut before = match before.first_mut() {
        Some(row) => row.text(0)?,
        None => GENESIS.to_owned(),
    };
    let statements = seqs.iter().zip(events).map(|(seq, new)| {
        before = chain_hash(&before, &content_of(*seq, new));
        let mut params = rows::new_event(*seq, new);
        params.push(before.as_str().into());
        (INSERT, params)
    });
    conn.query_many(statements.collect()).await?;
    Ok(seqs)
}

// === attempts and leases ===

async fn begin_attempts<C: Conn>(
    conn: &mut C,
    ids: &[DeliveryId],
    begin: &Begin,
) -> Result<Vec<Delivery>, Fail> {
    check_fence(conn, begin.fence.as_ref()).await?;
    let fence = begin
        .fence
        .as_ref()
        .map_or(0, |fence| rows::signed(fence.number));
    let sql = format!(
        "update delivery set state = 'sending', attempt = attempt + 1, lease_until = $3, \
         fence = case when fence > $4 then fence else $4 end \
         where id = $1 and state = 'pending' and due_at <= $2 \
         and (expires_at is null or expires_at > $2) returning {}",
        rows::DELIVERY
    );
    let statements = ids
        .iter()
        .map(|id| {
            let params = vec![
                id.to_string().into(),
                nanos(begin.now).into(),
                nanos(begin.lease_until).into(),
                fence.into(),
            ];
            (sql.as_str(), params)
        })
        .collect();
    let answers = conn.query_many(statements).await?;
    let begun = answers
        .into_iter()
        .flatten()
        .map(rows::delivery)
        .collect::<Result<_, _>>()?;
    Ok(begun)
}

async fn acquire<C: Conn>(
    conn: &mut C,
    name: &str,
    holder: &str,
    ttl: Duration,
    now: Timestamp,
) -> Result<Option<Lease>, Fail> {
    let until = after(now, ttl);
    let rows = conn
        .query(
            "insert into lease (name, holder, fence, lease_until) values ($1, $2, 1, $3) \
             on conflict (name) do update set holder = excluded.holder, fence = lease.fence + 1, \
             lease_until = excluded.lease_until \
             where lease.lease_until <= $4 or lease.holder = excluded.holder returning fence",
            vec![
                name.into(),
                holder.into(),
                nanos(until).into(),
                nanos(now).into(),
            ],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Lease {
        name: name.to_owned(),
        holder: holder.to_owned(),
        number: u64::try_from(row.int(0)?).unwrap_or(0),
        until,
    }))
}

async fn renew<C: Conn>(
    conn: &mut C,
    lease: &Lease,
    ttl: Duration,
    now: Timestamp,
) -> Result<Option<Lease>, Fail> {
    let until = after(now, ttl);
    let rows = conn
        .query(
            "update lease set lease_until = $4 where name = $1 and holder = $2 and fence = $3 \
             returning 1",
            vec![
                lease.name.as_str().into(),
                lease.holder.as_str().into(),
                rows::signed(lease.number).into(),
                nanos(until).into(),
            ],
        )
        .await?;
    Ok((!rows.is_empty()).then(|| Lease {
        until,
        ..lease.clone()
    }))
}

async fn release<C: Conn>(conn: &mut C, lease: &Lease) -> Result<(), Fail> {
    conn.query(
        "update lease set holder = '', lease_until = $3 where name = $1 and fence = $2",
        vec![
            lease.name.as_str().into(),
            rows::signed(lease.number).into(),
            i64::MIN.into(),
        ],
    )
    .await?;
    Ok(())
}

// === queries ===

/// Conditions of a query, with their parameters.
#[derive(Default)]
struct Conditions {
    sql: String,
    params: Vec<Val>,
}

impl Conditions {
    fn add(&mut self, condition: &str, param: impl Into<Val>) {
        self.params.push(param.into());
        let word = if self.sql.is_empty() { "where" } else { "and" };
        write!(self.sql, " {word} {condition} ${}", self.params.len())
            .expect("a String takes everything");
    }

    fn finish(mut self, order: &str, limit: Option<u32>) -> (String, Vec<Val>) {
        write!(self.sql, " order by {order}").expect("a String takes everything");
        if let Some(limit) = limit {
            self.params.push(i64::from(limit).into());
            write!(self.sql, " limit ${}", self.params.len()).expect("a String takes everything");
        }
        (self.sql, self.params)
    }
}

fn deliveries_query(filter: &DeliveryFilter) -> (String, Vec<Val>) {
    let DeliveryFilter {
        state,
        subject,
        channel,
        due_by,
        limit,
    } = filter;
    let mut conditions = Conditions::default();
    if let Some(state) = state {
        conditions.add("state =", rows::state_word(*state));
    }
    if let Some(subject) = subject {
        conditions.add("subject_kind =", subject.kind.as_str());
        conditions.add("subject_id =", subject.id.as_str());
    }
    if let Some(channel) = channel {
        conditions.add("channel =", channel.as_str());
    }
    if let Some(due_by) = due_by {
        conditions.add("due_at <=", nanos(*due_by));
    }
    let (rest, params) = conditions.finish("due_at, id", *limit);
    (
        format!("select {} from delivery{rest}", rows::DELIVERY),
        params,
    )
}

fn events_query(filter: &EventFilter) -> (String, Vec<Val>) {
    let EventFilter {
        subject,
        kind,
        after,
        before,
        newest_first,
        limit,
    } = filter;
    let mut conditions = Conditions::default();
    if let Some(subject) = subject {
        conditions.add("subject_kind =", subject.kind.as_str());
        conditions.add("subject_id =", subject.id.as_str());
    }
    if let Some(kind) = kind {
        conditions.add("kind =", kind.as_str());
    }
    if let Some(after) = after {
        conditions.add("seq >", rows::signed(*after));
    }
    if let Some(before) = before {
        conditions.add("seq <", rows::signed(*before));
    }
    let order = if *newest_first { "seq desc" } else { "seq" };
    let (rest, params) = conditions.finish(order, *limit);
    (format!("select {} from event{rest}", rows::EVENT), params)
}

async fn stats<C: Conn>(conn: &mut C) -> Result<Stats, Fail> {
    let engine = conn.engine();
    let size = match engine {
        Engine::Sqlite => {
            "select page_count * page_size from pragma_page_count(), pragma_page_size()"
        }
        Engine::Postgres => "select pg_database_size(current_database())",
    };
    let mut stats = Stats {
        engine: match engine {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        },
        schema_version: migrate::version(conn).await?,
        ..Stats::default()
    };
    let count = |row: &Row, index| row.int(index).map(|n| u64::try_from(n).unwrap_or(0));
    for mut row in conn
        .query("select kind, count(*) from record group by kind", vec![])
        .await?
    {
        stats.records.insert(row.text(0)?, count(&row, 1)?);
    }
    for mut row in conn
        .query(
            "select state, count(*) from delivery group by state",
            vec![],
        )
        .await?
    {
        let state: DeliveryState = rows::state_of(&row.text(0)?)?;
        stats.deliveries.insert(state, count(&row, 1)?);
    }
    for row in conn
        .query("select value from meta where name = 'event'", vec![])
        .await?
    {
        stats.events = count(&row, 0)?;
    }
    for row in conn.query(size, vec![]).await? {
        stats.bytes = count(&row, 0)?;
    }
    Ok(stats)
}
