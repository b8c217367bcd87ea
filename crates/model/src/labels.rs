//! Label sets: the identity of a series and of an alert.

use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";
/// Label that holds the name of an alert.
pub const ALERT_NAME: &str = "alertname";

/// One name and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    pub name: Arc<str>,
    pub value: Arc<str>,
}

/// A set of labels, sorted by name, without duplicates and without empty values. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[Label]>);

/// Collects labels in any order; the last value given for a name wins, an empty value removes the name.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder(Vec<Label>);

/// Whether `name` is a label name of Prometheus' classic form `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_classic_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether `name` is a metric name of Prometheus' classic form `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_classic_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

// === impl Labels ===

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self(Arc::from([]))
    }

    /// Builds a set from pairs in any order. Later pairs win; empty values are left out.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Takes labels that are already sorted by name, unique and non-empty, as a decoder has them.
    pub fn from_sorted(labels: Vec<Label>) -> Self {
        debug_assert!(labels.windows(2).all(|pair| pair[0].name < pair[1].name));
        debug_assert!(labels.iter().all(|label| !label.value.is_empty()));
        Self(labels.into())
    }

    /// The value of `name`, or `""` when it is absent: in this data model the two are the same.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .binary_search_by(|label| (*label.name).cmp(name))
            .map_or("", |index| &self.0[index].value)
    }

    /// Whether `name` is set.
    pub fn contains(&self, name: &str) -> bool {
        self.0
            .binary_search_by(|label| (*label.name).cmp(name))
            .is_ok()
    }

    /// The metric name, or `""`.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The labels in order of their names.
    pub fn iter(&self) -> std::slice::Iter<'_, Label> {
        self.0.iter()
    }

    /// A builder that starts with these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder(self.0.to_vec())
    }

    /// This set with one label set (or removed, when `value` is empty).
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut builder = self.to_builder();
        builder.set(name, value);
        builder.build()
    }

    /// This set without the given name.
    pub fn without(&self, name: &str) -> Self {
        self.with(name, "")
    }

    /// Only the labels whose name passes `keep`.
    pub fn retain(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .filter(|label| keep(&label.name))
                .cloned()
                .collect(),
        )
    }

    /// FNV-1a 64 over the sorted pairs, each part followed by byte 255: the fingerprint that Prometheus'
    /// `model.LabelSet.Fingerprint` gives, which Alertmanager shows as 16 hexadecimal digits.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        for label in self {
            add(label.name.as_bytes());
            add(&[255]);
            add(label.value.as_bytes());
            add(&[255]);
        }
        hash
    }

    /// Bytes of names and values together, for limits.
    pub fn byte_len(&self) -> usize {
        self.iter()
            .map(|label| label.name.len() + label.value.len())
            .sum()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = &'a Label;
    type IntoIter = std::slice::Iter<'a, Label>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self::new(pairs)
    }
}

/// Prometheus' notation: `name{a="b", c="d"}`; names outside the classic form are quoted.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let mut first = true;
        let classic = is_classic_metric_name(name);
        if classic {
            f.write_str(name)?;
            if self.len() == 1 {
                return Ok(());
            }
        }
        f.write_str("{")?;
        if !classic && !name.is_empty() {
            write_quoted(f, name)?;
            first = false;
        }
        for label in self.iter().filter(|label| &*label.name != METRIC_NAME) {
            if !first {
                f.write_str(", ")?;
            }
            first = false;
            if is_classic_label_name(&label.name) {
                f.write_str(&label.name)?;
            } else {
                write_quoted(f, &label.name)?;
            }
            f.write_str("=")?;
            write_quoted(f, &label.value)?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes `text` in double quotes as Go's `strconv.Quote` does for printable text.
pub fn write_quoted(f: &mut impl fmt::Write, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\u{7}' => f.write_str("\\a")?,
            '\u{8}' => f.write_str("\\b")?,
            '\u{b}' => f.write_str("\\v")?,
            '\u{c}' => f.write_str("\\f")?,
            c if (c as u32) < 0x20 || c as u32 == 0x7f => write!(f, "\\x{:02x}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for label in self {
            map.serialize_entry(&*label.name, &*label.value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelsVisitor;
        impl<'de> Visitor<'de> for LabelsVisitor {
            type Value = Labels;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of label names to values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut builder = LabelsBuilder::default();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    builder.set(&name, &value);
                }
                Ok(builder.build())
            }
        }
        deserializer.deserialize_map(LabelsVisitor)
    }
}

// === impl LabelsBuilder ===

impl LabelsBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        let position = self.0.binary_search_by(|label| (*label.name).cmp(name));
        match (position, value.is_empty()) {
            (Ok(index), true) => {
                self.0.remove(index);
            }
            (Ok(index), false) => self.0[index].value = value.into(),
            (Err(_), true) => {}
            (Err(index), false) => {
                self.0.insert(
                    index,
                    Label {
                        name: name.into(),
                        value: value.into(),
                    },
                );
            }
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// The value of `name` so far, or `""`.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .binary_search_by(|label| (*label.name).cmp(name))
            .map_or("", |index| &self.0[index].value)
    }

    /// The finished set.
    pub fn build(self) -> Labels {
        Labels(self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_is_that_of_prometheus() {
        // Known values of prometheus/common's model tests.
        assert_eq!(Labels::empty().fingerprint(), 14695981039346656037);
        let labels = Labels::new([("name", "garland, briggs"), ("fear", "love is not enough")]);
        assert_eq!(labels.fingerprint(), 5799056148416392346);
    }

    #[test]
    fn empty_values_are_absent_and_order_does_not_matter() {
        let a = Labels::new([("b", "1"), ("a", "2"), ("c", "")]);
        let b = Labels::new([("a", "2"), ("b", "1")]);
        assert_eq!(a, b);
        assert_eq!(a.to_string(), r#"{a="2", b="1"}"#);
        assert_eq!(a.with(METRIC_NAME, "up").to_string(), r#"up{a="2", b="1"}"#);
    }
}
