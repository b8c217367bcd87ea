//! Label index of the head, which also keeps each label string once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use bellwether_model::labels::{Label, Labels};

use crate::index::LabelIndex;

#[expect(
    clippy::disallowed_types,
    reason = "every scraped sample of an unknown reference is looked up here; never iterated"
)]
type HashMap<K, V> = std::collections::HashMap<K, V>;

/// Series numbers by label set.
#[derive(Debug, Default)]
pub(crate) struct LabelMap(HashMap<Labels, u32>);

/// Series numbers by label name and value.
#[derive(Debug, Default)]
pub(crate) struct Postings {
    names: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Vec<u32>>>,
    all: BTreeSet<u32>,
}

// === impl LabelMap ===

impl LabelMap {
    pub(crate) fn get(&self, labels: &Labels) -> Option<u32> {
        self.0.get(labels).copied()
    }

    pub(crate) fn insert(&mut self, labels: Labels, number: u32) {
        self.0.insert(labels, number);
    }

    pub(crate) fn remove(&mut self, labels: &Labels) {
        self.0.remove(labels);
    }
}

// === impl Postings ===

impl Postings {
    /// Adds a series and returns its labels with strings that are shared by all series.
    pub(crate) fn add(&mut self, number: u32, labels: &Labels) -> Labels {
        let mut shared = Vec::with_capacity(labels.len());
        for label in labels {
            if !self.names.contains_key(&label.name) {
                self.names.insert(Arc::from(&*label.name), BTreeMap::new());
            }
            let name = self
                .names
                .get_key_value(&label.name)
                .map_or_else(|| Arc::clone(&label.name), |(name, _)| Arc::clone(name));
            if let Some(values) = self.names.get_mut(&label.name) {
                let known = values
                    .get_key_value(&label.value)
                    .map(|(value, _)| Arc::clone(value));
                let value = known.unwrap_or_else(|| Arc::from(&*label.value));
                let list = values.entry(Arc::clone(&value)).or_default();
                insert_sorted(list, number);
                shared.push(Label { name, value });
            }
        }
        self.all.insert(number);
        Labels::from_sorted(shared)
    }

    /// Removes series with their labels.
    pub(crate) fn remove<'a>(
        &mut self,
        gone: &BTreeSet<u32>,
        labels: impl Iterator<Item = &'a Labels>,
    ) {
        let touched: BTreeSet<&Label> = labels.flatten().collect();
        for label in touched {
            let Some(values) = self.names.get_mut(&label.name) else {
                continue;
            };
            if let Some(list) = values.get_mut(&label.value) {
                list.retain(|number| !gone.contains(number));
                list.shrink_to_fit();
                if list.is_empty() {
                    values.remove(&label.value);
                }
            }
            if values.is_empty() {
                self.names.remove(&label.name);
            }
        }
        self.all.retain(|number| !gone.contains(number));
    }

    /// Label names with their values and how many series each has, in order.
    pub(crate) fn counts(
        &self,
    ) -> impl Iterator<Item = (&str, impl Iterator<Item = (&str, usize)>)> {
        self.names.iter().map(|(name, values)| {
            let values = values.iter().map(|(value, list)| (&**value, list.len()));
            (&**name, values)
        })
    }

    /// Values of one label, in order.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.names
            .get(name)
            .into_iter()
            .flatten()
            .map(|(value, _)| &**value)
    }

    pub(crate) fn pairs(&self) -> usize {
        self.names.values().map(BTreeMap::len).sum()
    }
}

fn insert_sorted(list: &mut Vec<u32>, number: u32) {
    match list.last() {
        Some(last) if *last >= number => {
            if let Err(position) = list.binary_search(&number) {
                list.insert(position, number);
            }
        }
        _ => list.push(number),
    }
}

impl LabelIndex for Postings {
    type Error = Infallible;

    fn all(&self) -> Result<Vec<u32>, Infallible> {
        Ok(self.all.iter().copied().collect())
    }

    fn postings(&self, name: &str, value: &str) -> Result<Cow<'_, [u32]>, Infallible> {
        let list = self.names.get(name).and_then(|values| values.get(value));
        Ok(Cow::Borrowed(list.map_or(&[], Vec::as_slice)))
    }

    fn postings_where(
        &self,
        name: &str,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Cow<'_, [u32]>>, Infallible> {
        Ok(self
            .names
            .get(name)
            .into_iter()
            .flatten()
            .filter(|(value, _)| keep(value))
            .map(|(_, list)| Cow::Borrowed(list.as_slice()))
            .collect())
    }
}
