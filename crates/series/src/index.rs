//! Which series match: set operations over sorted lists of series numbers, the same for the head and for blocks.

use std::borrow::Cow;

use bellwether_model::Matcher;

#[cfg(test)]
mod tests;

/// Lists of series numbers by label, ascending.
pub(crate) trait LabelIndex {
    type Error;
    /// Every series.
    fn all(&self) -> Result<Vec<u32>, Self::Error>;
    /// The series with this label and value.
    fn postings(&self, name: &str, value: &str) -> Result<Cow<'_, [u32]>, Self::Error>;
    /// The lists of all values of `name` that pass `keep`.
    fn postings_where(
        &self,
        name: &str,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Cow<'_, [u32]>>, Self::Error>;
}

/// Series that satisfy all matchers, ascending.
pub(crate) fn matching<I: LabelIndex>(
    index: &I,
    matchers: &[Matcher],
) -> Result<Vec<u32>, I::Error> {
    let (absent_ok, mut present): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().partition(|matcher| matcher.matches_empty());
    // Single values first: they leave the least for the others to do.
    present.sort_by_key(|matcher| matcher.literal_values().map_or(usize::MAX, |v| v.len()));
    let mut found: Option<Vec<u32>> = None;
    for matcher in present {
        let list = positive(index, matcher)?;
        let next = match found {
            None => list.into_owned(),
            Some(found) => intersect(&found, &list),
        };
        if next.is_empty() {
            return Ok(next);
        }
        found = Some(next);
    }
    let mut found = match found {
        Some(found) => found,
        None => index.all()?,
    };
    for matcher in absent_ok {
        if found.is_empty() {
            break;
        }
        let refused = index.postings_where(&matcher.name, &|value| !matcher.matches(value))?;
        found = subtract(&found, &union(refused));
    }
    Ok(found)
}

/// Series whose label has a value that the matcher wants (it does not want an absent label).
fn positive<'a, I: LabelIndex>(
    index: &'a I,
    matcher: &Matcher,
) -> Result<Cow<'a, [u32]>, I::Error> {
    if let Some(values) = matcher.literal_values() {
        if let [value] = values[..] {
            return index.postings(&matcher.name, value);
        }
        let lists = values
            .iter()
            .map(|value| index.postings(&matcher.name, value))
            .collect::<Result<Vec<_>, _>>()?;
        return Ok(Cow::Owned(union(lists)));
    }
    let lists = index.postings_where(&matcher.name, &|value| matcher.matches(value))?;
    Ok(Cow::Owned(union(lists)))
}

/// Union of lists that have nothing in common (a series has one value per label).
fn union(lists: Vec<Cow<'_, [u32]>>) -> Vec<u32> {
    let mut out = Vec::with_capacity(lists.iter().map(|list| list.len()).sum());
    for list in lists {
        out.extend_from_slice(&list);
    }
    out.sort_unstable();
    out
}

fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (small, large) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut rest = large;
    let mut out = Vec::new();
    for &id in small {
        let skip = gallop(rest, id);
        rest = &rest[skip..];
        if rest.first() == Some(&id) {
            out.push(id);
        }
    }
    out
}

fn subtract(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut rest = b;
    let mut out = Vec::with_capacity(a.len());
    for &id in a {
        let skip = gallop(rest, id);
        rest = &rest[skip..];
        if rest.first() != Some(&id) {
            out.push(id);
        }
    }
    out
}

/// How many ids at the front of `list` are smaller than `id`.
fn gallop(list: &[u32], id: u32) -> usize {
    let mut step = 1;
    while step < list.len() && list[step] < id {
        step *= 2;
    }
    let end = (step + 1).min(list.len());
    let start = step / 2;
    start.min(end) + list[start.min(end)..end].partition_point(|known| *known < id)
}
