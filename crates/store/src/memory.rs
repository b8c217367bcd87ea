//! State in memory: for the simulator and tests. Deterministic, and it fails when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_model::DeliveryId;
use bellwether_model::state::{
    Batch, Delivery, DeliveryState, DeliveryUpdate, Event, Expect, Kind, NewDelivery, Receipt,
    Record, RecordWrite,
};
use jiff::Timestamp;

use crate::api::{
    Begin, BoxFuture, Committed, DeliveryFilter, EventFilter, Fence, Lease, Stats, Store,
};
use crate::chain::{ChainRow, GENESIS, chain_hash, content_of};
use crate::error::{Blame, StoreError};
use crate::prepare;

/// State in memory. Its futures are ready at once, so a synchronous simulator can poll them once.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    records: BTreeMap<(String, String), Record>,
    /// Records that wait, by time.
    due: BTreeSet<(Timestamp, String, String)>,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    /// Deliveries that have not ended.
    open: BTreeSet<DeliveryId>,
    keys: BTreeMap<String, DeliveryId>,
    events: Vec<Event>,
    leases: BTreeMap<String, Lease>,
    batches: u64,
    refuse: u32,
    lose_answers: u32,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An independent copy of everything, planned failures included.
    pub fn snapshot(&self) -> Self {
        Self(Mutex::new(self.lock().clone()))
    }

    /// The next `count` commits and begun attempts fail and store nothing.
    pub fn refuse_next(&self, count: u32) {
        self.lock().refuse = count;
    }

    /// The next `count` commits and begun attempts are stored but answered with [`StoreError::OutcomeUnknown`]: the
    /// caller must assume that it crashed between record and do. Counts after those of [`Self::refuse_next`].
    pub fn lose_next_answers(&self, count: u32) {
        self.lock().lose_answers = count;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(
        &self,
        write: impl FnOnce(&mut Inner) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut inner = self.lock();
        if inner.refuse > 0 {
            inner.refuse -= 1;
            return Err(StoreError::Unavailable {
                reason: "told to refuse".to_owned(),
                blame: Blame::Operator,
            });
        }
        let answer = write(&mut inner)?;
        if inner.lose_answers > 0 {
            inner.lose_answers -= 1;
            return Err(StoreError::OutcomeUnknown {
                reason: "told to lose the answer".to_owned(),
            });
        }
        Ok(answer)
    }
}

fn now_ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(ready(value))
}

fn limit(limit: Option<u32>) -> usize {
    limit.map_or(usize::MAX, |limit| limit as usize)
}

// === impl Store ===

impl Store for MemoryStore {
    fn commit(
        &self,
        mut batch: Batch,
        fence: Option<Fence>,
    ) -> BoxFuture<'_, Result<Committed, StoreError>> {
        let done = prepare::prepare(&mut batch)
            .and_then(|()| self.write(|inner| inner.commit(batch, fence.as_ref())));
        now_ready(done)
    }

    fn load(&self, kind: Kind) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        let inner = self.lock();
        let found = inner
            .records
            .range((kind.0.to_owned(), String::new())..)
            .take_while(|((of, _), _)| of == kind.0)
            .map(|(_, record)| record.clone())
            .collect();
        now_ready(Ok(found))
    }

    fn get(&self, kind: Kind, id: &str) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let key = (kind.0.to_owned(), id.to_owned());
        now_ready(Ok(self.lock().records.get(&key).cloned()))
    }

    fn load_due(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        let inner = self.lock();
        let found = inner
            .due
            .iter()
            .take_while(|(due_at, ..)| *due_at <= now)
            .take(limit as usize)
            .filter_map(|(_, kind, id)| inner.records.get(&(kind.clone(), id.clone())).cloned())
            .collect();
        now_ready(Ok(found))
    }

    fn deliveries(
        &self,
        filter: DeliveryFilter,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        now_ready(Ok(self.lock().list(&filter)))
    }

    fn delivery(&self, id: DeliveryId) -> BoxFuture<'_, Result<Option<Delivery>, StoreError>> {
        now_ready(Ok(self.lock().deliveries.get(&id).cloned()))
    }

    fn begin_attempts(
        &self,
        ids: Vec<DeliveryId>,
        begin: Begin,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        now_ready(self.write(|inner| inner.begin(&ids, &begin)))
    }

    fn recover(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        let filter = DeliveryFilter {
            state: Some(DeliveryState::Sending),
            ..DeliveryFilter::default()
        };
        let mut found = self.lock().list(&filter);
        found.retain(|delivery| delivery.lease_until.is_none_or(|until| until <= now));
        now_ready(Ok(found))
    }

    fn chain(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<ChainRow>, StoreError>> {
        let inner = self.lock();
        let mut before = GENESIS.to_owned();
        let mut rows = Vec::new();
        for event in &inner.events {
            let content = content_of(event.seq, &event.new);
            before = chain_hash(&before, &content);
            if event.seq > after && rows.len() < limit as usize {
                rows.push(ChainRow {
                    seq: event.seq,
                    content,
                    hash: Some(before.clone()),
                });
            }
        }
        now_ready(Ok(rows))
    }

    fn events(&self, filter: EventFilter) -> BoxFuture<'_, Result<Vec<Event>, StoreError>> {
        let inner = self.lock();
        let from = filter.after.unwrap_or(0).min(inner.events.len() as u64) as usize;
        let to = filter.before.map_or(inner.events.len(), |seq| {
            (seq.saturating_sub(1) as usize).min(inner.events.len())
        });
        let range = inner.events.get(from..to).unwrap_or_default();
        let wanted = |event: &&Event| {
            filter
                .subject
                .as_ref()
                .is_none_or(|subject| event.new.subject == *subject)
                && filter
                    .kind
                    .as_ref()
                    .is_none_or(|kind| event.new.kind == *kind)
        };
        let limit = limit(filter.limit);
        let found = if filter.newest_first {
            range
                .iter()
                .rev()
                .filter(wanted)
                .take(limit)
                .cloned()
                .collect()
        } else {
            range.iter().filter(wanted).take(limit).cloned().collect()
        };
        now_ready(Ok(found))
    }

    fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Lease>, StoreError>> {
        let mut inner = self.lock();
        let number = match inner.leases.get(name) {
            Some(held) if held.until > now && held.holder != holder => return now_ready(Ok(None)),
            Some(held) => held.number + 1,
            None => 1,
        };
        let lease = Lease {
            name: name.to_owned(),
            holder: holder.to_owned(),
            number,
            until: prepare::after(now, ttl),
        };
        inner.leases.insert(name.to_owned(), lease.clone());
        now_ready(Ok(Some(lease)))
    }

    fn renew_lease(
        &self,
        lease: &Lease,
        ttl: Duration,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Lease>, StoreError>> {
        let mut inner = self.lock();
        let renewed = inner
            .leases
            .get_mut(&lease.name)
            .filter(|held| held.number == lease.number && held.holder == lease.holder)
            .map(|held| {
                held.until = prepare::after(now, ttl);
                held.clone()
            });
        now_ready(Ok(renewed))
    }

    fn release_lease(&self, lease: &Lease) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut inner = self.lock();
        if let Some(held) = inner.leases.get_mut(&lease.name)
            && held.number == lease.number
        {
            // The row stays, so that the next fence is greater.
            held.holder.clear();
            held.until = prepare::time(i64::MIN);
        }
        now_ready(Ok(()))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        now_ready(Ok(()))
    }

    fn stats(&self) -> BoxFuture<'_, Result<Stats, StoreError>> {
        let inner = self.lock();
        let mut stats = Stats {
            engine: "memory",
            events: inner.events.len() as u64,
            batches: inner.batches,
            transactions: inner.batches,
            ..Stats::default()
        };
        for record in inner.records.values() {
            *stats.records.entry(record.kind.clone()).or_default() += 1;
        }
        for delivery in inner.deliveries.values() {
            *stats.deliveries.entry(delivery.state).or_default() += 1;
        }
        now_ready(Ok(stats))
    }

    fn backup(&self, path: &Path) -> BoxFuture<'_, Result<(), StoreError>> {
        now_ready(Err(StoreError::Backup {
            path: path.display().to_string(),
            reason: "state in memory has no backup".to_owned(),
        }))
    }
}

// === impl Inner ===

impl Inner {
    /// Checks everything, then changes everything: a refused batch leaves nothing behind.
    fn commit(&mut self, batch: Batch, fence: Option<&Fence>) -> Result<Committed, StoreError> {
        let Batch {
            records,
            deliveries,
            updates,
            events,
        } = batch;
        self.check_fence(fence)?;
        for write in &records {
            self.check_expected(write)?;
        }
        self.check_ids(&deliveries)?;
        let mut committed = Committed::default();
        for write in records {
            self.write_record(write);
        }
        for new in deliveries {
            if self.keys.contains_key(&new.key) {
                committed.duplicates.push(new.id);
                continue;
            }
            self.keys.insert(new.key.clone(), new.id);
            self.open.insert(new.id);
            self.deliveries.insert(new.id, fresh(new));
        }
        for update in updates {
            let id = update.id;
            if !self.update(update) {
                committed.stale.push(id);
            }
        }
        for new in events {
            let seq = self.events.len() as u64 + 1;
            self.events.push(Event { seq, new });
            committed.events.push(seq);
        }
        self.batches += 1;
        Ok(committed)
    }

    fn check_fence(&self, fence: Option<&Fence>) -> Result<(), StoreError> {
        let Some(fence) = fence else { return Ok(()) };
        let latest = self.leases.get(&fence.lease).map_or(0, |held| held.number);
        if latest != fence.number {
            return Err(StoreError::StaleFence {
                lease: fence.lease.clone(),
                ours: fence.number,
                latest,
            });
        }
        Ok(())
    }

    fn check_expected(&self, write: &RecordWrite) -> Result<(), StoreError> {
        let key = (write.kind.0.to_owned(), write.id.clone());
        let version = self.records.get(&key).map(|record| record.version);
        let fits = match write.expect {
            Expect::Any => true,
            Expect::Absent => version.is_none(),
            Expect::Version(expected) => version == Some(expected),
        };
        if fits {
            return Ok(());
        }
        Err(StoreError::Conflict {
            kind: write.kind.0.to_owned(),
            id: write.id.clone(),
            expected: write.expect,
        })
    }

    /// Two deliveries with one id but different keys must not pass as duplicates: one of them would be lost.
    fn check_ids(&self, deliveries: &[NewDelivery]) -> Result<(), StoreError> {
        let mut fresh: BTreeMap<DeliveryId, &str> = BTreeMap::new();
        let mut fresh_keys: BTreeSet<&str> = BTreeSet::new();
        for new in deliveries {
            if self.keys.contains_key(&new.key) || !fresh_keys.insert(&new.key) {
                continue;
            }
            if self.deliveries.contains_key(&new.id) || fresh.insert(new.id, &new.key).is_some() {
                return Err(StoreError::IdTaken { id: new.id });
            }
        }
        Ok(())
    }

    fn write_record(&mut self, write: RecordWrite) {
        let RecordWrite {
            kind,
            id,
            expect: _,
            body,
            due_at,
        } = write;
        let key = (kind.0.to_owned(), id);
        let old = self.records.remove(&key);
        if let Some(due_at) = old.as_ref().and_then(|record| record.due_at) {
            self.due.remove(&(due_at, key.0.clone(), key.1.clone()));
        }
        let Some(body) = body else { return };
        if let Some(due_at) = due_at {
            self.due.insert((due_at, key.0.clone(), key.1.clone()));
        }
        let record = Record {
            kind: key.0.clone(),
            id: key.1.clone(),
            version: old.map_or(1, |record| record.version + 1),
            due_at,
            body,
        };
        self.records.insert(key, record);
    }

    /// Whether the update was in time.
    fn update(&mut self, update: DeliveryUpdate) -> bool {
        let Some(stored) = self.deliveries.get_mut(&update.id) else {
            return false;
        };
        let is_open = |state| matches!(state, DeliveryState::Pending | DeliveryState::Sending);
        let in_turn = update.attempt >= stored.attempt && update.fence >= stored.fence;
        let applies = match update.state {
            DeliveryState::Cancelled => is_open(stored.state),
            DeliveryState::Done | DeliveryState::Failed => in_turn,
            DeliveryState::Pending | DeliveryState::Sending => in_turn && is_open(stored.state),
        };
        if !applies {
            return false;
        }
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
        if !is_open(state) {
            self.open.remove(&id);
        }
        stored.state = state;
        stored.new.due_at = due_at;
        stored.attempt = stored.attempt.max(attempt);
        stored.fence = stored.fence.max(fence);
        stored.lease_until = lease_until;
        stored.receipt = receipt;
        stored.error = error;
        stored.provider_id = provider_id;
        true
    }

    fn begin(&mut self, ids: &[DeliveryId], begin: &Begin) -> Result<Vec<Delivery>, StoreError> {
        self.check_fence(begin.fence.as_ref())?;
        let fence = begin.fence.as_ref().map_or(0, |fence| fence.number);
        let mut begun = Vec::new();
        for id in ids {
            if let Some(delivery) = self.deliveries.get_mut(id)
                && delivery.state == DeliveryState::Pending
                && delivery.new.due_at <= begin.now
                && delivery.new.expires_at.is_none_or(|at| at > begin.now)
            {
                delivery.state = DeliveryState::Sending;
                delivery.attempt += 1;
                delivery.fence = delivery.fence.max(fence);
                delivery.lease_until = Some(begin.lease_until);
                begun.push(delivery.clone());
            }
        }
        Ok(begun)
    }

    fn list(&self, filter: &DeliveryFilter) -> Vec<Delivery> {
        let wanted = |delivery: &&Delivery| {
            let DeliveryFilter {
                state,
                subject,
                channel,
                due_by,
                limit: _,
            } = filter;
            state.is_none_or(|state| delivery.state == state)
                && subject
                    .as_ref()
                    .is_none_or(|subject| delivery.new.subject == *subject)
                && channel
                    .as_ref()
                    .is_none_or(|channel| delivery.new.channel == *channel)
                && due_by.is_none_or(|at| delivery.new.due_at <= at)
        };
        let open_only = matches!(
            filter.state,
            Some(DeliveryState::Pending | DeliveryState::Sending)
        );
        let mut found: Vec<&Delivery> = if open_only {
            let open = self.open.iter().filter_map(|id| self.deliveries.get(id));
            open.filter(wanted).collect()
        } else {
            self.deliveries.values().filter(wanted).collect()
        };
        found.sort_by_key(|delivery| (delivery.new.due_at, delivery.new.id));
        found.truncate(limit(filter.limit));
        found.into_iter().cloned().collect()
    }
}

fn fresh(new: NewDelivery) -> Delivery {
    Delivery {
        new,
        state: DeliveryState::Pending,
        attempt: 0,
        fence: 0,
        lease_until: None,
        receipt: Receipt::Unknown,
        error: String::new(),
        provider_id: String::new(),
    }
}
