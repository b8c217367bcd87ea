//! Syntax tree to text: Prometheus' canonical form on one line, and a form over several lines.

use std::fmt::{self, Display, Formatter, Write as _};
use std::time::Duration;

use bellwether_model::MatchOp;
use bellwether_model::duration::format_duration;
use bellwether_model::labels::{METRIC_NAME, is_classic_label_name, write_quoted};

use crate::ast::{
    AggregateExpr, At, BinaryExpr, BinaryOp, Cardinality, DurationExpr, Expr, Extent,
    MatrixSelector, NumberLiteral, StringLiteral, SubqueryExpr, VectorMatching, VectorSelector,
};
use crate::parser::quote_bytes;

/// Longest line that the form over several lines leaves whole.
const WIDTH_MAX: usize = 100;

fn labels(f: &mut Formatter<'_>, names: &[String]) -> fmt::Result {
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        if is_classic_label_name(name) {
            f.write_str(name)?;
        } else {
            write_quoted(f, name)?;
        }
    }
    Ok(())
}

fn millis(seconds: f64) -> String {
    let ms = (seconds.abs() * 1000.0).round() as u64;
    let text = format_duration(Duration::from_millis(ms));
    if seconds < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

/// A float as Go's `strconv.FormatFloat(v, 'f', -1, 64)` prints it.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{value}")
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.duration {
            f.write_str(&millis(self.value))
        } else {
            f.write_str(&format_float(self.value))
        }
    }
}

impl Display for StringLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.invalid_utf8 {
            Some(bytes) => f.write_str(&quote_bytes(bytes)),
            None => write_quoted(f, &self.value),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Step(_) => f.write_str("step()"),
            Self::Range(_) => f.write_str("range()"),
            Self::Unary { negative, expr, .. } => {
                write!(f, "{}{expr}", if *negative { "-" } else { "" })
            }
            Self::Binary { op, lhs, rhs, .. } => write!(f, "{lhs} {} {rhs}", op.as_str()),
            Self::Min { lhs, rhs, .. } => write!(f, "min_of({lhs}, {rhs})"),
            Self::Max { lhs, rhs, .. } => write!(f, "max_of({lhs}, {rhs})"),
            Self::Paren { expr, .. } => write!(f, "({expr})"),
        }
    }
}

/// A literal prints in duration form whatever it was written as.
fn duration(expr: &DurationExpr) -> String {
    match expr {
        DurationExpr::Number(number) => millis(number.value),
        other => other.to_string(),
    }
}

fn at_and_offset(at: Option<At>, offset: Option<&DurationExpr>) -> (String, String) {
    let at = match at {
        Some(At::Timestamp(ms)) => format!(" @ {:.3}", ms as f64 / 1000.0),
        Some(At::Start) => " @ start()".to_owned(),
        Some(At::End) => " @ end()".to_owned(),
        None => String::new(),
    };
    let offset = match offset {
        Some(DurationExpr::Number(number)) if number.value == 0.0 => String::new(),
        Some(expr) => format!(" offset {}", duration(expr)),
        None => String::new(),
    };
    (at, offset)
}

fn extent(extent: Extent) -> &'static str {
    match extent {
        Extent::Plain => "",
        Extent::Anchored => " anchored",
        Extent::Smoothed => " smoothed",
    }
}

fn matcher_strings(selector: &VectorSelector) -> Vec<String> {
    let mut parts: Vec<String> = selector
        .matchers
        .iter()
        .filter(|m| {
            !(&*m.name == METRIC_NAME
                && m.op == MatchOp::Equal
                && selector.name.as_deref() == Some(&*m.value)
                && !m.value.is_empty())
        })
        .map(ToString::to_string)
        .collect();
    parts.sort();
    parts
}

fn bare_selector(selector: &VectorSelector) -> String {
    let parts = matcher_strings(selector);
    let name = selector.name.as_deref().unwrap_or("");
    if parts.is_empty() && !name.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", parts.join(","))
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (at, offset) = at_and_offset(self.at, self.offset.as_ref());
        write!(
            f,
            "{}{at}{}{offset}",
            bare_selector(self),
            extent(self.extent)
        )
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (at, offset) = at_and_offset(self.selector.at, self.selector.offset.as_ref());
        write!(
            f,
            "{}[{}]{}{at}{offset}",
            bare_selector(&self.selector),
            duration(&self.range),
            extent(self.selector.extent)
        )
    }
}

fn subquery_suffix(subquery: &SubqueryExpr) -> String {
    let (at, offset) = at_and_offset(subquery.at, subquery.offset.as_ref());
    let step = subquery.step.as_ref().map(duration).unwrap_or_default();
    format!("[{}:{step}]{at}{offset}", duration(&subquery.range))
}

impl Display for VectorMatching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let grouped = matches!(self.card, Cardinality::ManyToOne | Cardinality::OneToMany);
        if self.on || grouped || !self.labels.is_empty() {
            f.write_str(if self.on { " on (" } else { " ignoring (" })?;
            labels(f, &self.labels)?;
            f.write_str(")")?;
        }
        if grouped {
            f.write_str(if self.card == Cardinality::ManyToOne {
                " group_left ("
            } else {
                " group_right ("
            })?;
            labels(f, &self.include)?;
            f.write_str(")")?;
        }
        match (self.fill_left, self.fill_right) {
            (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
                write!(f, " fill ({})", format_float(left))
            }
            (left, right) => {
                if let Some(value) = left {
                    write!(f, " fill_left ({})", format_float(value))?;
                }
                if let Some(value) = right {
                    write!(f, " fill_right ({})", format_float(value))?;
                }
                Ok(())
            }
        }
    }
}

impl BinaryExpr {
    /// The operator with its modifiers.
    fn operator(&self) -> String {
        let matching = self.matching.as_ref();
        format!(
            "{}{}{}",
            self.op.as_str(),
            if self.return_bool { " bool" } else { "" },
            matching.map(ToString::to_string).unwrap_or_default()
        )
    }
}

impl AggregateExpr {
    /// The operator with its grouping.
    fn operator(&self) -> String {
        struct Grouping<'a>(&'a AggregateExpr);
        impl Display for Grouping<'_> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(self.0.op.as_str())?;
                if self.0.without || !self.0.grouping.is_empty() {
                    f.write_str(if self.0.without {
                        " without ("
                    } else {
                        " by ("
                    })?;
                    labels(f, &self.0.grouping)?;
                    f.write_str(") ")?;
                }
                Ok(())
            }
        }
        Grouping(self).to_string()
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(e) => e.fmt(f),
            Self::String(e) => e.fmt(f),
            Self::Vector(e) => e.fmt(f),
            Self::Matrix(e) => e.fmt(f),
            Self::Subquery(e) => write!(f, "{}{}", e.expr, subquery_suffix(e)),
            Self::Paren(e) => write!(f, "({})", e.expr),
            Self::Unary(e) => write!(f, "{}{}", if e.negative { "-" } else { "+" }, e.expr),
            Self::Binary(e) => write!(f, "{} {} {}", e.lhs, e.operator(), e.rhs),
            Self::Aggregate(e) => {
                write!(f, "{}(", e.operator())?;
                if let Some(param) = &e.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", e.expr)
            }
            Self::Call(e) => {
                write!(f, "{}(", e.function.name)?;
                for (index, arg) in e.args.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    arg.fmt(f)?;
                }
                f.write_str(")")
            }
        }
    }
}

/// The expression over several lines, split where a line would be longer than 100 characters, as
/// Prometheus' formatter splits it.
pub fn pretty(expr: &Expr) -> String {
    pretty_at(expr, 0)
}

fn pretty_at(expr: &Expr, level: usize) -> String {
    let pad = "  ".repeat(level);
    let line = expr.to_string();
    if line.len() <= WIDTH_MAX {
        return format!("{pad}{line}");
    }
    let list = |args: &[&Expr]| {
        args.iter()
            .map(|arg| pretty_at(arg, level + 1))
            .collect::<Vec<_>>()
            .join(",\n")
    };
    match expr {
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {
            format!("{pad}{line}")
        }
        Expr::Paren(e) => format!("{pad}(\n{}\n{pad})", pretty_at(&e.expr, level + 1)),
        Expr::Unary(e) => {
            let inner = pretty_at(&e.expr, level);
            format!(
                "{pad}{}{}",
                if e.negative { "-" } else { "+" },
                inner.trim_start()
            )
        }
        Expr::Subquery(e) => format!("{}{}", pretty_at(&e.expr, level), subquery_suffix(e)),
        Expr::Binary(e) => format!(
            "{}\n{pad}{}\n{}",
            pretty_at(&e.lhs, level + 1),
            BinaryExpr::operator(e),
            pretty_at(&e.rhs, level + 1)
        ),
        Expr::Aggregate(e) => {
            let args: Vec<&Expr> = e.param.iter().chain([&e.expr]).collect();
            format!("{pad}{}(\n{}\n{pad})", e.operator(), list(&args))
        }
        Expr::Call(e) => {
            let args: Vec<&Expr> = e.args.iter().collect();
            format!("{pad}{}(\n{}\n{pad})", e.function.name, list(&args))
        }
    }
}

/// The operator alone, for plans.
pub(crate) fn short(expr: &Expr) -> String {
    let mut text = String::new();
    match expr {
        Expr::Aggregate(e) => e.operator().trim_end().clone_into(&mut text),
        Expr::Binary(e) => text = BinaryExpr::operator(e),
        Expr::Call(e) => e.function.name.clone_into(&mut text),
        Expr::Unary(e) => text.push(if e.negative { '-' } else { '+' }),
        Expr::Paren(_) => text.push_str("()"),
        Expr::Subquery(e) => text = subquery_suffix(e),
        other => {
            write!(text, "{other}").expect("writing to a string does not fail");
        }
    }
    text
}

impl Display for BinaryOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
