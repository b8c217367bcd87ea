//! The queue in front of a database: waiting writes share a transaction, each batch keeps its own outcome.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwether_model::DeliveryId;
use bellwether_model::state::{Batch, Delivery, Event, Kind, Record};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::api::{
    Begin, BoxFuture, Committed, DeliveryFilter, EventFilter, Fence, Lease, Stats, Store,
};
use crate::chain::ChainRow;
use crate::conn::{Conn, DbError, DbErrorKind};
use crate::error::{Blame, StoreError};
use crate::ops::{Answer, Fail, Request, commit_all, perform};
use crate::prepare;

/// Most writes that share a transaction.
const MAX_GROUP: usize = 512;
/// Most requests that wait; more make their callers wait.
pub(crate) const MAX_WAITING: usize = 4096;

/// A request and where its answer goes.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Result<Answer, StoreError>>,
}

/// What the writer counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) batches: AtomicU64,
    pub(crate) transactions: AtomicU64,
}

/// The sending ends of the queues of one database.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) writes: mpsc::Sender<Job>,
    pub(crate) reads: mpsc::Sender<Job>,
    pub(crate) counters: Arc<Counters>,
}

/// A store that is reached through a [`Client`].
pub(crate) trait Queued {
    fn client(&self) -> &Client;
}

/// Where in a transaction the database failed.
#[derive(Debug)]
pub(crate) enum GroupFail {
    /// Nothing is stored.
    Before(DbError),
    /// While committing: stored or not. With the answers to give if it was.
    Committing(DbError, Vec<Result<Answer, StoreError>>),
}

/// Takes all waiting jobs, up to the limit, after the first one.
pub(crate) fn take_group(first: Job, queue: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut jobs = vec![first];
    while jobs.len() < MAX_GROUP
        && let Ok(job) = queue.try_recv()
    {
        jobs.push(job);
    }
    jobs
}

/// Does a group of writes in one transaction. A refused one leaves nothing and does not touch the others.
pub(crate) async fn run_group<C: Conn>(
    conn: &mut C,
    begin: &str,
    jobs: &[Job],
) -> Result<Vec<Result<Answer, StoreError>>, GroupFail> {
    conn.batch(begin).await.map_err(GroupFail::Before)?;
    let mut done = run_together(conn, jobs).await;
    if let Ok(None) = done {
        // Somebody is refused: again from the start, each behind its own savepoint.
        done = async {
            conn.batch("rollback").await?;
            conn.batch(begin).await?;
            run_apart(conn, jobs).await.map(Some)
        }
        .await;
    }
    let done = match done {
        Ok(done) => done.unwrap_or_default(),
        Err(error) => {
            if conn.in_transaction() {
                // It fails only when the connection is gone, and then nothing is stored either.
                drop(conn.batch("rollback").await);
            }
            return Err(GroupFail::Before(error));
        }
    };
    match conn.batch("commit").await {
        Ok(()) => Ok(done),
        Err(error) if error.kind == DbErrorKind::Gone => Err(GroupFail::Committing(error, done)),
        Err(error) => {
            if conn.in_transaction() {
                drop(conn.batch("rollback").await);
            }
            Err(GroupFail::Before(error))
        }
    }
}

/// Does all jobs on the assumption that none is refused, batches that follow one another class by class. `None`: one
/// is refused, or the database does not take it.
async fn run_together<C: Conn>(
    conn: &mut C,
    jobs: &[Job],
) -> Result<Option<Vec<Result<Answer, StoreError>>>, DbError> {
    let mut done = Vec::with_capacity(jobs.len());
    let mut rest = jobs;
    while let Some(first) = rest.first() {
        let batches = mergeable(rest);
        let answers = if batches.is_empty() {
            perform(conn, &first.request)
                .await
                .map(|answer| vec![answer])
        } else {
            commit_all(conn, &batches)
                .await
                .map(|all| all.into_iter().map(Answer::Committed).collect())
        };
        match answers {
            Ok(answers) => done.extend(answers.into_iter().map(Ok)),
            Err(Fail::Db(error)) if error.kind != DbErrorKind::Other || !conn.in_transaction() => {
                return Err(error);
            }
            Err(_) => return Ok(None),
        }
        rest = &rest[batches.len().max(1)..];
    }
    Ok(Some(done))
}

/// The batches at the beginning of the jobs that may be stored class by class: no update may come before the
/// delivery that it means, if that is only made by a later batch.
fn mergeable(jobs: &[Job]) -> Vec<(&Batch, Option<&Fence>)> {
    let mut updated: BTreeSet<DeliveryId> = BTreeSet::new();
    let mut batches = Vec::new();
    for job in jobs {
        let Request::Commit(batch, fence) = &job.request else {
            break;
        };
        if batch.deliveries.iter().any(|new| updated.contains(&new.id)) {
            break;
        }
        updated.extend(batch.updates.iter().map(|update| update.id));
        batches.push((batch, fence.as_ref()));
    }
    batches
}

/// Does each job behind its own savepoint.
async fn run_apart<C: Conn>(
    conn: &mut C,
    jobs: &[Job],
) -> Result<Vec<Result<Answer, StoreError>>, DbError> {
    let mut done = Vec::with_capacity(jobs.len());
    for job in jobs {
        conn.batch("savepoint job").await?;
        let answer = match perform(conn, &job.request).await {
            Ok(answer) => Ok(answer),
            // What hits the whole transaction ends it; a fault of this job alone is answered to it alone.
            Err(Fail::Db(error)) if error.kind != DbErrorKind::Other || !conn.in_transaction() => {
                return Err(error);
            }
            Err(fail) => {
                conn.batch("rollback to savepoint job").await?;
                Err(fail.into())
            }
        };
        conn.batch("release savepoint job").await?;
        done.push(answer);
    }
    Ok(done)
}

/// Hands out the answers; a caller that went away is no fault.
pub(crate) fn reply_all(jobs: Vec<Job>, answers: Vec<Result<Answer, StoreError>>) {
    for (job, answer) in jobs.into_iter().zip(answers) {
        drop(job.reply.send(answer));
    }
}

/// Answers every job with the same error.
pub(crate) fn fail_all(jobs: Vec<Job>, error: &StoreError) {
    for job in jobs {
        drop(job.reply.send(Err(error.clone())));
    }
}

impl From<Fail> for StoreError {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Refused(error) => error,
            Fail::Db(error) => error.into(),
        }
    }
}

impl From<DbError> for StoreError {
    fn from(error: DbError) -> Self {
        let blame = match error.kind {
            DbErrorKind::Contention | DbErrorKind::Gone => Blame::Peer,
            DbErrorKind::Resource => Blame::Operator,
            DbErrorKind::Other => {
                return Self::Corrupt {
                    what: "state".to_owned(),
                    reason: error.reason,
                };
            }
        };
        Self::Unavailable {
            reason: error.reason,
            blame,
        }
    }
}

// === impl Client ===

impl Client {
    /// Counts a stored group.
    pub(crate) fn count(counters: &Counters, jobs: &[Job], answers: &[Result<Answer, StoreError>]) {
        let batches = jobs
            .iter()
            .zip(answers)
            .filter(|(job, answer)| answer.is_ok() && matches!(job.request, Request::Commit(..)))
            .count();
        counters
            .batches
            .fetch_add(batches as u64, Ordering::Relaxed);
        counters.transactions.fetch_add(1, Ordering::Relaxed);
    }
}

fn ask<'a, T: Send + 'a>(
    queue: &'a mpsc::Sender<Job>,
    request: Request,
    take: fn(Answer) -> Option<T>,
) -> BoxFuture<'a, Result<T, StoreError>> {
    Box::pin(async move {
        let (reply, answer) = oneshot::channel();
        let gone = || StoreError::Unavailable {
            reason: "the thread that serves state has ended".to_owned(),
            blame: Blame::Us,
        };
        let job = Job { request, reply };
        queue.send(job).await.map_err(|_| gone())?;
        let answer = answer.await.map_err(|_| gone())??;
        Ok(take(answer).expect("each request has one form of answer"))
    })
}

/// Asks for a lease.
fn ask_lease(
    queue: &mpsc::Sender<Job>,
    request: Request,
) -> BoxFuture<'_, Result<Option<Lease>, StoreError>> {
    ask(queue, request, |answer| match answer {
        Answer::Lease(lease) => Some(lease),
        _ => None,
    })
}

fn deliveries(answer: Answer) -> Option<Vec<Delivery>> {
    match answer {
        Answer::Deliveries(found) => Some(found),
        _ => None,
    }
}

fn records(answer: Answer) -> Option<Vec<Record>> {
    match answer {
        Answer::Records(found) => Some(found),
        _ => None,
    }
}

fn done(answer: Answer) -> Option<()> {
    matches!(answer, Answer::Done).then_some(())
}

impl<T: Queued + Send + Sync> Store for T {
    fn commit(
        &self,
        mut batch: Batch,
        fence: Option<Fence>,
    ) -> BoxFuture<'_, Result<Committed, StoreError>> {
        if let Err(error) = prepare::prepare(&mut batch) {
            return Box::pin(std::future::ready(Err(error)));
        }
        ask(
            &self.client().writes,
            Request::Commit(batch, fence),
            |answer| match answer {
                Answer::Committed(committed) => Some(committed),
                _ => None,
            },
        )
    }

    fn load(&self, kind: Kind) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        ask(&self.client().reads, Request::Load(kind.0), records)
    }

    fn get(&self, kind: Kind, id: &str) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let mut id = id.to_owned();
        prepare::clean(&mut id);
        ask(&self.client().reads, Request::Get(kind.0, id), |answer| {
            records(answer).map(|mut found| found.pop())
        })
    }

    fn load_due(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        ask(&self.client().reads, Request::Due(now, limit), records)
    }

    fn deliveries(
        &self,
        filter: DeliveryFilter,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        ask(
            &self.client().reads,
            Request::Deliveries(filter),
            deliveries,
        )
    }

    fn delivery(&self, id: DeliveryId) -> BoxFuture<'_, Result<Option<Delivery>, StoreError>> {
        ask(&self.client().reads, Request::Delivery(id), |answer| {
            deliveries(answer).map(|mut found| found.pop())
        })
    }

    fn begin_attempts(
        &self,
        ids: Vec<DeliveryId>,
        begin: Begin,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        ask(
            &self.client().writes,
            Request::Begin(ids, begin),
            deliveries,
        )
    }

    fn recover(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        ask(&self.client().reads, Request::Recover(now), deliveries)
    }

    fn events(&self, filter: EventFilter) -> BoxFuture<'_, Result<Vec<Event>, StoreError>> {
        ask(
            &self.client().reads,
            Request::Events(filter),
            |answer| match answer {
                Answer::Events(found) => Some(found),
                _ => None,
            },
        )
    }

    fn chain(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<ChainRow>, StoreError>> {
        ask(
            &self.client().reads,
            Request::Chain(after, limit),
            |answer| match answer {
                Answer::Chain(found) => Some(found),
                _ => None,
            },
        )
    }

    fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Lease>, StoreError>> {
        let request = Request::Acquire {
            name: name.to_owned(),
            holder: holder.to_owned(),
            ttl,
            now,
        };
        ask_lease(&self.client().writes, request)
    }

    fn renew_lease(
        &self,
        held: &Lease,
        ttl: Duration,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Lease>, StoreError>> {
        let request = Request::Renew {
            lease: held.clone(),
            ttl,
            now,
        };
        ask_lease(&self.client().writes, request)
    }

    fn release_lease(&self, lease: &Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        ask(&self.client().writes, Request::Release(lease.clone()), done)
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        ask(&self.client().writes, Request::Ping, done)
    }

    fn stats(&self) -> BoxFuture<'_, Result<Stats, StoreError>> {
        let stats = ask(
            &self.client().reads,
            Request::Stats,
            |answer| match answer {
                Answer::Stats(stats) => Some(stats),
                _ => None,
            },
        );
        Box::pin(async move {
            Ok(Stats {
                batches: self.client().counters.batches.load(Ordering::Relaxed),
                transactions: self.client().counters.transactions.load(Ordering::Relaxed),
                ..stats.await?
            })
        })
    }

    fn backup(&self, path: &Path) -> BoxFuture<'_, Result<(), StoreError>> {
        ask(&self.client().reads, Request::Backup(path.to_owned()), done)
    }
}
