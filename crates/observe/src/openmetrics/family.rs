//! One metric family: its samples one by one, and as a whole.

use std::collections::BTreeSet;

use super::Type;
use super::line::{Sample, Time, number};

/// A family that is being read.
#[derive(Default)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: Option<Type>,
    pub(super) has_help: bool,
    pub(super) unit: Option<String>,
    samples: usize,
    /// Labels of the metric whose samples are being read, and those that are done.
    group: Option<Labels>,
    groups_done: BTreeSet<Labels>,
    group_time: Option<Time>,
    /// Series seen in this metric at this time.
    points: BTreeSet<(String, Labels)>,
    buckets: Option<Buckets>,
}

type Labels = Vec<(String, String)>;

/// The histogram (one metric at one time) that is being read.
#[derive(Default)]
struct Buckets {
    bound: Option<f64>,
    value: f64,
    count: Option<f64>,
    has_sum: bool,
    has_gsum: bool,
    negative_bound: bool,
    negative_gsum: bool,
}

impl Family {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    fn kind(&self) -> Type {
        self.kind.unwrap_or(Type::Unknown)
    }

    pub(super) fn has_samples(&self) -> bool {
        self.samples > 0
    }

    /// Whether a sample of this name belongs here.
    pub(super) fn owns(&self, sample: &str) -> bool {
        sample
            .strip_prefix(self.name.as_str())
            .is_some_and(|suffix| self.kind().suffixes().contains(&suffix))
    }

    /// Judges a sample that [`Family::owns`].
    pub(super) fn add(&mut self, sample: Sample, strict: bool) -> Result<(), String> {
        let suffix = sample.name[self.name.len()..].to_owned();
        self.check_labels(&sample, &suffix, strict)?;
        self.check_value(&sample, &suffix)?;
        if sample.has_exemplar {
            let allowed = match self.kind() {
                Type::Counter => suffix == "_total",
                Type::Histogram | Type::GaugeHistogram => suffix == "_bucket",
                _ => false,
            };
            if !allowed {
                return Err(format!(
                    "{} cannot have an exemplar: only buckets and counters can",
                    sample.name
                ));
            }
        }
        let new_point = self.enter_group(&sample, &suffix, strict)?;
        if matches!(self.kind(), Type::Histogram | Type::GaugeHistogram) {
            self.add_to_histogram(&sample, &suffix, new_point)?;
        }
        self.samples += 1;
        Ok(())
    }

    fn check_labels(&self, sample: &Sample, suffix: &str, strict: bool) -> Result<(), String> {
        let name = &sample.name;
        if strict
            && let Some((label, _)) = sample
                .labels
                .iter()
                .find(|(label, _)| label.starts_with("__"))
        {
            return Err(format!("label name {label} is reserved"));
        }
        match (self.kind(), suffix) {
            (Type::StateSet, _) if sample.label(&self.name).is_none() => {
                Err(format!("stateset {name} has no label {}", self.name))
            }
            (_, "_bucket") if matches!(self.kind(), Type::Histogram | Type::GaugeHistogram) => {
                match sample.label("le").map(|text| (text, number(text))) {
                    Some((text, Some(bound))) if !bound.is_nan() && is_canonical(text, bound) => {
                        Ok(())
                    }
                    Some((text, _)) => Err(format!("{text:?} is not a bucket bound")),
                    None => Err(format!("{name} has no label le")),
                }
            }
            (Type::Summary, "") => {
                match sample.label("quantile").map(|text| (text, number(text))) {
                    Some((_, Some(quantile))) if (0.0..=1.0).contains(&quantile) => Ok(()),
                    Some((text, _)) => Err(format!("{text:?} is not a quantile between 0 and 1")),
                    None => Err(format!("{name} has no label quantile")),
                }
            }
            _ => Ok(()),
        }
    }

    fn check_value(&self, sample: &Sample, suffix: &str) -> Result<(), String> {
        let (name, value) = (&sample.name, sample.value);
        let counts = matches!(suffix, "_bucket" | "_count" | "_gcount");
        match self.kind() {
            Type::StateSet if value != 0.0 && value != 1.0 => {
                return Err(format!("stateset {name} must be 0 or 1, not {value}"));
            }
            Type::Info if value != 1.0 => {
                return Err(format!("info {name} must be 1, not {value}"));
            }
            Type::Summary if suffix.is_empty() && value < 0.0 => {
                return Err(format!("quantile of {name} is negative"));
            }
            _ => {}
        }
        if matches!(suffix, "_total" | "_sum" | "_gsum") || counts {
            if value.is_nan() {
                return Err(format!("{name} is NaN"));
            }
            if suffix != "_gsum" && value < 0.0 {
                return Err(format!("{name} is negative"));
            }
        }
        if counts && (value.is_infinite() || value.fract() != 0.0) {
            return Err(format!("{name} must be a whole number, not {value}"));
        }
        Ok(())
    }

    /// Keeps the samples of one metric together and its times in order. True: another metric, or another time.
    fn enter_group(&mut self, sample: &Sample, suffix: &str, strict: bool) -> Result<bool, String> {
        let kind = self.kind();
        let own_label = match (kind, suffix) {
            (Type::Summary, "") => Some("quantile"),
            (Type::Histogram | Type::GaugeHistogram, "_bucket") => Some("le"),
            (Type::StateSet, _) => Some(self.name.as_str()),
            _ => None,
        };
        // The labels of an info are its value: all its samples are one metric.
        let group: Labels = if kind == Type::Info {
            Vec::new()
        } else {
            sample
                .labels
                .iter()
                .filter(|(name, _)| Some(name.as_str()) != own_label)
                .cloned()
                .collect()
        };
        let same_group = self.group.as_ref() == Some(&group);
        if same_group {
            if sample.time.is_some() != self.group_time.is_some() {
                return Err(format!(
                    "{} has samples with and without a timestamp",
                    sample.name
                ));
            }
            if kind != Type::Info && sample.time < self.group_time {
                return Err(format!("timestamps of {} go backwards", sample.name));
            }
        } else if self.groups_done.contains(&group) {
            return Err(format!(
                "samples of one metric of {} do not stand together",
                self.name
            ));
        }
        let new_point = !same_group || sample.time != self.group_time;
        if new_point {
            self.points.clear();
        }
        let first = self
            .points
            .insert((sample.name.clone(), sample.labels.clone()));
        if strict && !first && sample.time.is_none() {
            return Err(format!(
                "{} is there twice with the same labels",
                sample.name
            ));
        }
        if !same_group && let Some(done) = self.group.replace(group) {
            self.groups_done.insert(done);
        }
        self.group_time = sample.time;
        Ok(new_point)
    }

    fn add_to_histogram(
        &mut self,
        sample: &Sample,
        suffix: &str,
        new_point: bool,
    ) -> Result<(), String> {
        if new_point {
            self.finish_histogram()?;
        }
        let buckets = self.buckets.get_or_insert_default();
        match suffix {
            "_bucket" => {
                let bound = sample.label("le").and_then(number).unwrap_or(f64::NAN);
                buckets.negative_bound |= bound < 0.0;
                if buckets.bound.is_some_and(|before| bound <= before) {
                    return Err(format!("buckets of {} are out of order", self.name));
                }
                if sample.value < buckets.value {
                    return Err(format!("buckets of {} are not cumulative", self.name));
                }
                (buckets.bound, buckets.value) = (Some(bound), sample.value);
            }
            "_count" | "_gcount" => buckets.count = Some(sample.value),
            "_sum" => buckets.has_sum = true,
            "_gsum" => {
                buckets.has_gsum = true;
                buckets.negative_gsum = sample.value < 0.0;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish_histogram(&mut self) -> Result<(), String> {
        let Some(buckets) = self.buckets.take() else {
            return Ok(());
        };
        let name = &self.name;
        if buckets.bound != Some(f64::INFINITY) {
            return Err(format!("{name} has no +Inf bucket"));
        }
        if buckets.count.is_some_and(|count| count != buckets.value) {
            return Err(format!(
                "the count of {name} is not that of its +Inf bucket"
            ));
        }
        let has_sum = buckets.has_sum || buckets.has_gsum;
        if has_sum && buckets.count.is_none() {
            return Err(format!("{name} has a sum but no count"));
        }
        if !has_sum && buckets.count.is_some() {
            return Err(format!("{name} has a count but no sum"));
        }
        if buckets.negative_bound && buckets.has_sum {
            return Err(format!("{name} has negative buckets and a _sum"));
        }
        if !buckets.negative_bound && buckets.negative_gsum {
            return Err(format!(
                "{name} has a negative _gsum but no negative bucket"
            ));
        }
        Ok(())
    }

    /// Rules of the family as a whole.
    pub(super) fn finish(mut self) -> Result<Self, String> {
        self.finish_histogram()?;
        let Some(unit) = self.unit.as_deref().filter(|unit| !unit.is_empty()) else {
            return Ok(self);
        };
        let fits = self
            .name
            .strip_suffix(unit)
            .is_some_and(|rest| rest.ends_with('_'));
        if !fits {
            return Err(format!(
                "metric family {} does not end with its unit _{unit}",
                self.name
            ));
        }
        if matches!(self.kind(), Type::Info | Type::StateSet) {
            return Err(format!(
                "{} has a unit, but infos and statesets have none",
                self.name
            ));
        }
        Ok(self)
    }
}

/// The bound `+Inf` has one way to be written; other numbers may be written in any.
fn is_canonical(text: &str, bound: f64) -> bool {
    bound != f64::INFINITY || text == "+Inf"
}
