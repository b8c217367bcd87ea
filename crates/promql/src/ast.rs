//! The syntax tree of a PromQL expression, with byte positions.

use bellwether_model::Matcher;

use crate::functions::Function;

/// A piece of the query text, as byte offsets, end exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    Scalar,
    Vector,
    Matrix,
    String,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Number(NumberLiteral),
    String(StringLiteral),
    Vector(Box<VectorSelector>),
    Matrix(Box<MatrixSelector>),
    Subquery(Box<SubqueryExpr>),
    Paren(Box<ParenExpr>),
    Unary(Box<UnaryExpr>),
    Binary(Box<BinaryExpr>),
    Aggregate(Box<AggregateExpr>),
    Call(Box<CallExpr>),
}

/// A number, or a duration used as one (`5m` is 300).
#[derive(Clone, Debug, PartialEq)]
pub struct NumberLiteral {
    pub value: f64,
    /// Written as a duration.
    pub duration: bool,
    pub span: Span,
}

/// A quoted string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringLiteral {
    /// The text; bytes that are not UTF-8 are replaced.
    pub value: String,
    /// The bytes when escapes made something that is not UTF-8.
    pub invalid_utf8: Option<Vec<u8>>,
    pub span: Span,
}

/// The `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since 1970.
    Timestamp(i64),
    Start,
    End,
}

/// How a range selector treats its boundaries (experimental modifiers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    #[default]
    Plain,
    /// The sample at or before the range start counts as being at the start.
    Anchored,
    /// Values at both boundaries are interpolated.
    Smoothed,
}

/// `name{matchers} @ at offset o`.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The name written before the braces.
    pub name: Option<String>,
    /// All matchers, the one of `name` last.
    pub matchers: Vec<Matcher>,
    pub at: Option<At>,
    pub offset: Option<DurationExpr>,
    pub extent: Extent,
    /// Second argument of `info()`: may match the empty set.
    pub labels_only: bool,
    pub span: Span,
}

/// `selector[range]`.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    pub selector: VectorSelector,
    pub range: DurationExpr,
    pub span: Span,
}

/// `expr[range:step]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SubqueryExpr {
    pub expr: Expr,
    pub range: DurationExpr,
    pub step: Option<DurationExpr>,
    pub at: Option<At>,
    pub offset: Option<DurationExpr>,
    pub span: Span,
}

/// `(expr)`.
#[derive(Clone, Debug, PartialEq)]
pub struct ParenExpr {
    pub expr: Expr,
    pub span: Span,
}

/// `-expr` or `+expr`.
#[derive(Clone, Debug, PartialEq)]
pub struct UnaryExpr {
    pub negative: bool,
    pub expr: Expr,
    pub span: Span,
}

/// A duration or an arithmetic expression of durations; in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    Number(NumberLiteral),
    /// Step of the query; 0 for an instant query.
    Step(Span),
    /// End minus start of the query.
    Range(Span),
    Unary {
        negative: bool,
        expr: Box<Self>,
        span: Span,
    },
    Binary {
        op: BinaryOp,
        lhs: Box<Self>,
        rhs: Box<Self>,
        span: Span,
    },
    Min {
        lhs: Box<Self>,
        rhs: Box<Self>,
        span: Span,
    },
    Max {
        lhs: Box<Self>,
        rhs: Box<Self>,
        span: Span,
    },
    Paren {
        expr: Box<Self>,
        span: Span,
    },
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    And,
    Or,
    Unless,
    /// `</`: keep the observations of a native histogram below a value.
    TrimUpper,
    /// `>/`: keep the observations above.
    TrimLower,
}

/// How many series may match on each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    ManyToMany,
}

/// How series of two vectors are matched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorMatching {
    pub card: Cardinality,
    /// `on(...)`; otherwise `ignoring(...)`.
    pub on: bool,
    pub labels: Vec<String>,
    /// Labels that `group_left` and `group_right` copy from the one side.
    pub include: Vec<String>,
    /// Value for a missing left side.
    pub fill_left: Option<f64>,
    /// Value for a missing right side.
    pub fill_right: Option<f64>,
}

/// `lhs op rhs`.
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryExpr {
    pub op: BinaryOp,
    pub return_bool: bool,
    pub lhs: Expr,
    pub rhs: Expr,
    /// Present when both sides are vectors.
    pub matching: Option<VectorMatching>,
    pub span: Span,
}

/// Aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AggregateOp {
    Avg,
    Bottomk,
    Count,
    CountValues,
    Group,
    LimitRatio,
    Limitk,
    Max,
    Min,
    Quantile,
    Stddev,
    Stdvar,
    Sum,
    Topk,
}

/// `op by (labels) (param, expr)`.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateExpr {
    pub op: AggregateOp,
    pub expr: Expr,
    pub param: Option<Expr>,
    pub without: bool,
    pub grouping: Vec<String>,
    pub span: Span,
}

/// `function(args)`.
#[derive(Clone, Debug, PartialEq)]
pub struct CallExpr {
    pub function: &'static Function,
    pub args: Vec<Expr>,
    pub span: Span,
}

// === impl Span ===

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// From the start of `self` to the end of `other`.
    pub fn to(self, other: Self) -> Self {
        Self::new(self.start, other.end)
    }

    /// Line and column of the start, from 1, columns in bytes: `1:5`.
    pub fn position(self, query: &str) -> (usize, usize) {
        let before = &query.as_bytes()[..self.start.min(query.len())];
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        (line, column)
    }
}

// === impl ValueType ===

impl ValueType {
    /// The name that Prometheus' messages use.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::String => "string",
        }
    }

    /// The name in API answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }
}

// === impl Expr ===

impl Expr {
    pub fn span(&self) -> Span {
        match self {
            Self::Number(e) => e.span,
            Self::String(e) => e.span,
            Self::Vector(e) => e.span,
            Self::Matrix(e) => e.span,
            Self::Subquery(e) => e.span,
            Self::Paren(e) => e.span,
            Self::Unary(e) => e.span,
            Self::Binary(e) => e.span,
            Self::Aggregate(e) => e.span,
            Self::Call(e) => e.span,
        }
    }

    /// What the expression evaluates to.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Number(_) => ValueType::Scalar,
            Self::String(_) => ValueType::String,
            Self::Vector(_) | Self::Aggregate(_) => ValueType::Vector,
            Self::Matrix(_) | Self::Subquery(_) => ValueType::Matrix,
            Self::Paren(e) => e.expr.value_type(),
            Self::Unary(e) => e.expr.value_type(),
            Self::Binary(e) => {
                let scalar = |e: &Self| e.value_type() == ValueType::Scalar;
                if scalar(&e.lhs) && scalar(&e.rhs) {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
            Self::Call(e) => e.function.returns,
        }
    }

    /// The expression without parentheses around it.
    pub fn unwrap_parens(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }

    /// Direct sub-expressions in text order.
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Number(_) | Self::String(_) | Self::Vector(_) | Self::Matrix(_) => Vec::new(),
            Self::Subquery(e) => vec![&e.expr],
            Self::Paren(e) => vec![&e.expr],
            Self::Unary(e) => vec![&e.expr],
            Self::Binary(e) => vec![&e.lhs, &e.rhs],
            Self::Aggregate(e) => e.param.iter().chain([&e.expr]).collect(),
            Self::Call(e) => e.args.iter().collect(),
        }
    }

    /// Calls `visit` for this expression and all below it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// Calls `change` for every vector selector (those of range selectors too).
    pub fn walk_selectors_mut(&mut self, change: &mut dyn FnMut(&mut VectorSelector)) {
        match self {
            Self::Number(_) | Self::String(_) => {}
            Self::Vector(e) => change(e),
            Self::Matrix(e) => change(&mut e.selector),
            Self::Subquery(e) => e.expr.walk_selectors_mut(change),
            Self::Paren(e) => e.expr.walk_selectors_mut(change),
            Self::Unary(e) => e.expr.walk_selectors_mut(change),
            Self::Binary(e) => {
                e.lhs.walk_selectors_mut(change);
                e.rhs.walk_selectors_mut(change);
            }
            Self::Aggregate(e) => {
                if let Some(param) = &mut e.param {
                    param.walk_selectors_mut(change);
                }
                e.expr.walk_selectors_mut(change);
            }
            Self::Call(e) => {
                for arg in &mut e.args {
                    arg.walk_selectors_mut(change);
                }
            }
        }
    }
}

// === impl BinaryOp ===

impl BinaryOp {
    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterEqual => ">=",
            Self::LessEqual => "<=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
        }
    }

    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Greater
                | Self::Less
                | Self::GreaterEqual
                | Self::LessEqual
        )
    }

    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// Whether the result means something else than the operands, so that the metric name goes.
    pub fn changes_schema(self) -> bool {
        matches!(
            self,
            Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod | Self::Pow | Self::Atan2
        )
    }

    /// Binding strength; higher binds tighter.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Equal
            | Self::NotEqual
            | Self::Greater
            | Self::Less
            | Self::GreaterEqual
            | Self::LessEqual
            | Self::TrimUpper
            | Self::TrimLower => 3,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => 6,
        }
    }
}

// === impl AggregateOp ===

impl AggregateOp {
    /// All of them, by name.
    pub const ALL: [Self; 14] = [
        Self::Avg,
        Self::Bottomk,
        Self::Count,
        Self::CountValues,
        Self::Group,
        Self::LimitRatio,
        Self::Limitk,
        Self::Max,
        Self::Min,
        Self::Quantile,
        Self::Stddev,
        Self::Stdvar,
        Self::Sum,
        Self::Topk,
    ];

    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Bottomk => "bottomk",
            Self::Count => "count",
            Self::CountValues => "count_values",
            Self::Group => "group",
            Self::LimitRatio => "limit_ratio",
            Self::Limitk => "limitk",
            Self::Max => "max",
            Self::Min => "min",
            Self::Quantile => "quantile",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Sum => "sum",
            Self::Topk => "topk",
        }
    }

    /// Whether the operator takes a parameter before the vector.
    pub fn has_param(self) -> bool {
        matches!(
            self,
            Self::Topk
                | Self::Bottomk
                | Self::CountValues
                | Self::Quantile
                | Self::Limitk
                | Self::LimitRatio
        )
    }

    /// Whether the operator returns some of its input series instead of one series per group.
    pub fn selects(self) -> bool {
        matches!(
            self,
            Self::Topk | Self::Bottomk | Self::Limitk | Self::LimitRatio
        )
    }

    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }

    /// One line of help.
    pub fn help(self) -> &'static str {
        match self {
            Self::Avg => "average over the series of a group",
            Self::Bottomk => "the k series with the smallest values",
            Self::Count => "number of series",
            Self::CountValues => "number of series with each value, which becomes a label",
            Self::Group => "1 for each group",
            Self::LimitRatio => "a deterministic share of the series",
            Self::Limitk => "any k series",
            Self::Max => "largest value of a group",
            Self::Min => "smallest value of a group",
            Self::Quantile => "φ-quantile of the values of a group",
            Self::Stddev => "population standard deviation",
            Self::Stdvar => "population variance",
            Self::Sum => "sum of the values of a group",
            Self::Topk => "the k series with the largest values",
        }
    }
}

// === impl DurationExpr ===

impl DurationExpr {
    pub fn span(&self) -> Span {
        match self {
            Self::Number(n) => n.span,
            Self::Step(span) | Self::Range(span) => *span,
            Self::Unary { span, .. }
            | Self::Binary { span, .. }
            | Self::Min { span, .. }
            | Self::Max { span, .. }
            | Self::Paren { span, .. } => *span,
        }
    }

    /// Whether this is a plain number or duration.
    pub fn is_literal(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    /// A literal of so many milliseconds.
    pub fn from_millis(ms: i64) -> Self {
        Self::Number(NumberLiteral {
            value: ms as f64 / 1000.0,
            duration: true,
            span: Span::default(),
        })
    }
}
