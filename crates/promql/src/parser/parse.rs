//! Tokens to syntax tree: recursive descent with operator precedence.

mod durations;

use bellwether_model::{Labels, MatchOp, Matcher};

use self::durations::signed;
use super::lex::{Keyword, Kind, Token, lex};
use super::{ParseError, ParserOptions, text::unquote};
use crate::ast::{
    AggregateExpr, AggregateOp, At, BinaryExpr, BinaryOp, CallExpr, Cardinality, DurationExpr,
    Expr, Extent, MatrixSelector, NumberLiteral, ParenExpr, Span, StringLiteral, SubqueryExpr,
    UnaryExpr, VectorMatching, VectorSelector,
};
use crate::functions;

type Parsed<T> = Result<T, ParseError>;

pub(super) struct Parser<'a> {
    query: &'a str,
    options: &'a ParserOptions,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(query: &'a str, options: &'a ParserOptions) -> Parsed<Self> {
        if query.len() > options.length_max {
            return Err(ParseError::new(
                "",
                Span::default(),
                format!(
                    "expression has {} bytes, more than the limit of {}",
                    query.len(),
                    options.length_max
                ),
            ));
        }
        Ok(Self {
            query,
            options,
            tokens: lex(query),
            next: 0,
            depth: 0,
        })
    }

    // --- tokens ---

    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn peek_kind(&self, ahead: usize) -> &Kind {
        &self.tokens[(self.next + ahead).min(self.tokens.len() - 1)].kind
    }

    fn bump(&mut self) -> Token {
        let token = self.peek().clone();
        if self.next + 1 < self.tokens.len() {
            self.next += 1;
        }
        token
    }

    fn accept(&mut self, kind: &Kind) -> Option<Token> {
        (self.peek().kind == *kind).then(|| self.bump())
    }

    fn accept_keyword(&mut self, keyword: Keyword) -> bool {
        self.accept(&Kind::Keyword(keyword)).is_some()
    }

    fn text(&self, token: &Token) -> &'a str {
        &self.query[token.span.start..token.span.end]
    }

    fn error<T>(&self, span: Span, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError::new(self.query, span, message))
    }

    fn unexpected<T>(&self, context: &str, expected: &str) -> Parsed<T> {
        let token = self.peek();
        if let Kind::Error(message) = &token.kind {
            return self.error(token.span, message.clone());
        }
        let mut message = format!("unexpected {}", token.describe(self.query));
        if !context.is_empty() {
            message.push_str(&format!(" in {context}"));
        }
        if !expected.is_empty() {
            message.push_str(&format!(", expected {expected}"));
        }
        self.error(token.span, message)
    }

    fn expect(&mut self, kind: &Kind, context: &str, expected: &str) -> Parsed<Token> {
        match self.accept(kind) {
            Some(token) => Ok(token),
            None => self.unexpected(context, expected),
        }
    }

    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > self.options.depth_max {
            let message = format!(
                "expression is nested deeper than {}",
                self.options.depth_max
            );
            return self.error(self.peek().span, message);
        }
        Ok(())
    }

    // --- entry points ---

    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        if self.peek().kind == Kind::Eof {
            return self.error(Span::default(), "no expression found in input");
        }
        let expr = self.binary(0)?;
        self.finish()?;
        Ok(expr)
    }

    pub(super) fn selector_only(&mut self) -> Parsed<VectorSelector> {
        let name = if self.peek().kind == Kind::LeftBrace {
            None
        } else {
            match self.metric_identifier() {
                Some(token) => Some(token),
                None => return self.unexpected("", ""),
            }
        };
        let selector = self.vector_selector(name)?;
        self.finish()?;
        Ok(selector)
    }

    pub(super) fn metric_only(&mut self) -> Parsed<Labels> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        if let Some(token) = self.metric_identifier() {
            pairs.push(("__name__".to_owned(), self.text(&token).to_owned()));
        }
        if self.accept(&Kind::LeftBrace).is_some() {
            while self.accept(&Kind::RightBrace).is_none() {
                let token = self.bump();
                let name = match token.kind {
                    Kind::Identifier => self.text(&token).to_owned(),
                    Kind::String => self.string_value(&token)?.value,
                    _ => {
                        self.next = self.next.saturating_sub(1);
                        return self.unexpected("label set", "identifier or \"}\"");
                    }
                };
                if token.kind == Kind::String
                    && matches!(self.peek().kind, Kind::Comma | Kind::RightBrace)
                {
                    pairs.push(("__name__".to_owned(), name));
                } else {
                    self.expect(&Kind::Assign, "label set", "\"=\"")?;
                    let value = self.expect(&Kind::String, "label set", "string")?;
                    pairs.push((name, self.string_value(&value)?.value));
                }
                if self.accept(&Kind::Comma).is_none() && self.peek().kind != Kind::RightBrace {
                    return self.unexpected("label set", "\",\" or \"}\"");
                }
            }
        }
        self.finish()?;
        Ok(Labels::new(pairs))
    }

    fn finish(&mut self) -> Parsed<()> {
        if self.peek().kind == Kind::Eof {
            Ok(())
        } else {
            self.unexpected("", "")
        }
    }

    // --- operators ---

    fn binary(&mut self, precedence_min: u8) -> Parsed<Expr> {
        self.enter()?;
        let depth = self.depth;
        let mut lhs = self.unary()?;
        while let Kind::Op(op) = self.peek().kind {
            let precedence = op.precedence();
            if precedence < precedence_min {
                break;
            }
            // Each link of a chain nests the tree one deeper.
            self.enter()?;
            self.bump();
            let (return_bool, matching) = self.binary_modifiers()?;
            let right_associative = op == BinaryOp::Pow;
            let rhs = self.binary(if right_associative {
                precedence
            } else {
                precedence + 1
            })?;
            let span = lhs.span().to(rhs.span());
            if !self.options.fill_modifiers
                && (matching.fill_left.is_some() || matching.fill_right.is_some())
            {
                return self.error(
                    span,
                    "binop fill modifiers are experimental and not enabled",
                );
            }
            lhs = Expr::Binary(Box::new(BinaryExpr {
                op,
                return_bool,
                lhs,
                rhs,
                matching: Some(matching),
                span,
            }));
        }
        self.depth = depth - 1;
        Ok(lhs)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek().kind else {
            let primary = self.primary()?;
            return self.postfix(primary);
        };
        let start = self.bump().span.start;
        // Unary operators bind like multiplication, so only `^` binds tighter.
        let expr = self.binary(BinaryOp::Pow.precedence())?;
        let span = Span::new(start, expr.span().end);
        let negative = op == BinaryOp::Sub;
        if let Expr::Number(number) = expr {
            return Ok(Expr::Number(NumberLiteral {
                value: if negative {
                    -number.value
                } else {
                    number.value
                },
                span,
                ..number
            }));
        }
        Ok(Expr::Unary(Box::new(UnaryExpr {
            negative,
            expr,
            span,
        })))
    }

    fn binary_modifiers(&mut self) -> Parsed<(bool, VectorMatching)> {
        let return_bool = self.accept_keyword(Keyword::Bool);
        let mut matching = VectorMatching::default();
        let on = self.accept_keyword(Keyword::On);
        if on || self.accept_keyword(Keyword::Ignoring) {
            matching.on = on;
            matching.labels = self.grouping_labels()?;
            let left = self.accept_keyword(Keyword::GroupLeft);
            if left || self.accept_keyword(Keyword::GroupRight) {
                matching.card = if left {
                    Cardinality::ManyToOne
                } else {
                    Cardinality::OneToMany
                };
                if self.peek().kind == Kind::LeftParen {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        if self.accept_keyword(Keyword::Fill) {
            let value = self.fill_value()?;
            matching.fill_left = Some(value);
            matching.fill_right = Some(value);
        } else {
            loop {
                if matching.fill_left.is_none() && self.accept_keyword(Keyword::FillLeft) {
                    matching.fill_left = Some(self.fill_value()?);
                } else if matching.fill_right.is_none() && self.accept_keyword(Keyword::FillRight) {
                    matching.fill_right = Some(self.fill_value()?);
                } else {
                    break;
                }
            }
        }
        Ok((return_bool, matching))
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect(&Kind::LeftParen, "fill modifier", "\"(\"")?;
        let mut sign = 1.0;
        if let Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek().kind {
            self.bump();
            if op == BinaryOp::Sub {
                sign = -1.0;
            }
        }
        let number = match self.peek().kind {
            Kind::Number | Kind::Duration => self.number_literal()?,
            _ => return self.unexpected("fill modifier", "number"),
        };
        self.expect(&Kind::RightParen, "fill modifier", "\")\"")?;
        Ok(sign * number.value)
    }

    fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        self.expect(&Kind::LeftParen, "grouping opts", "\"(\"")?;
        let mut labels = Vec::new();
        while self.accept(&Kind::RightParen).is_none() {
            let token = self.peek().clone();
            match token.kind {
                Kind::Identifier
                | Kind::Keyword(_)
                | Kind::Aggregate(_)
                | Kind::Op(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2) => {
                    labels.push(self.text(&token).to_owned());
                }
                Kind::MetricIdentifier => {
                    return self.error(
                        token.span,
                        format!("invalid label name for grouping: {:?}", self.text(&token)),
                    );
                }
                Kind::String => {
                    let literal = self.string_value(&token)?;
                    if literal.value.is_empty() || literal.invalid_utf8.is_some() {
                        return self.error(
                            token.span,
                            format!("invalid label name for grouping: {:?}", literal.value),
                        );
                    }
                    labels.push(literal.value);
                }
                _ => return self.unexpected("grouping opts", "label"),
            }
            self.bump();
            if self.accept(&Kind::Comma).is_none() && self.peek().kind != Kind::RightParen {
                return self.unexpected("grouping opts", "\",\" or \")\"");
            }
        }
        Ok(labels)
    }

    // --- primaries ---

    fn primary(&mut self) -> Parsed<Expr> {
        let token = self.peek().clone();
        let called = *self.peek_kind(1) == Kind::LeftParen;
        match token.kind {
            Kind::Number | Kind::Duration => Ok(Expr::Number(self.number_literal()?)),
            Kind::String => {
                self.bump();
                Ok(Expr::String(self.string_value(&token)?))
            }
            Kind::LeftParen => {
                self.bump();
                let expr = self.binary(0)?;
                let close = self.expect(&Kind::RightParen, "", "")?;
                Ok(Expr::Paren(Box::new(ParenExpr {
                    expr,
                    span: token.span.to(close.span),
                })))
            }
            Kind::LeftBrace => Ok(Expr::Vector(Box::new(self.vector_selector(None)?))),
            Kind::Aggregate(op)
                if called
                    || matches!(
                        self.peek_kind(1),
                        Kind::Keyword(Keyword::By | Keyword::Without)
                    ) =>
            {
                self.bump();
                self.aggregate(op, token.span)
            }
            Kind::Identifier
            | Kind::Keyword(
                Keyword::Start
                | Keyword::End
                | Keyword::Step
                | Keyword::Range
                | Keyword::MinOf
                | Keyword::MaxOf,
            ) if called => {
                self.bump();
                self.call(&token)
            }
            _ => match self.metric_identifier() {
                Some(name) => Ok(Expr::Vector(Box::new(self.vector_selector(Some(name))?))),
                None => self.unexpected("", ""),
            },
        }
    }

    /// Most keywords may be metric names.
    fn metric_identifier(&mut self) -> Option<Token> {
        let fits = match self.peek().kind {
            Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregate(_) => true,
            Kind::Op(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) => true,
            Kind::Keyword(keyword) => !matches!(
                keyword,
                Keyword::Bool
                    | Keyword::On
                    | Keyword::Ignoring
                    | Keyword::GroupLeft
                    | Keyword::GroupRight
            ),
            _ => false,
        };
        fits.then(|| self.bump())
    }

    fn number_literal(&mut self) -> Parsed<NumberLiteral> {
        let token = self.bump();
        let text = self.text(&token);
        let duration = token.kind == Kind::Duration;
        let value = if duration {
            match bellwether_model::duration::parse_duration(text) {
                Ok(duration) => duration.as_millis() as f64 / 1000.0,
                Err(error) => return self.error(token.span, error.to_string()),
            }
        } else {
            match parse_number(text) {
                Some(value) => value,
                None => {
                    return self.error(
                        token.span,
                        format!(
                            "error parsing number: strconv.ParseFloat: parsing {text:?}: invalid syntax"
                        ),
                    );
                }
            }
        };
        Ok(NumberLiteral {
            value,
            duration,
            span: token.span,
        })
    }

    fn string_value(&self, token: &Token) -> Parsed<StringLiteral> {
        let literal = self.text(token);
        let Some(bytes) = unquote(literal) else {
            return self.error(
                token.span,
                format!("error unquoting string {literal:?}: invalid syntax"),
            );
        };
        let (value, invalid_utf8) = match String::from_utf8(bytes) {
            Ok(value) => (value, None),
            Err(error) => (
                String::from_utf8_lossy(error.as_bytes()).into_owned(),
                Some(error.into_bytes()),
            ),
        };
        Ok(StringLiteral {
            value,
            invalid_utf8,
            span: token.span,
        })
    }

    fn vector_selector(&mut self, name: Option<Token>) -> Parsed<VectorSelector> {
        let mut span = self.peek().span;
        let name = name.map(|token| {
            span = token.span;
            self.text(&token).to_owned()
        });
        let mut matchers = Vec::new();
        if self.accept(&Kind::LeftBrace).is_some() {
            loop {
                if let Some(close) = self.accept(&Kind::RightBrace) {
                    span = span.to(close.span);
                    break;
                }
                matchers.push(self.label_matcher()?);
                if self.accept(&Kind::Comma).is_none() && self.peek().kind != Kind::RightBrace {
                    return self.unexpected("label matching", "\",\" or \"}\"");
                }
            }
        }
        if let Some(name) = &name {
            matchers.push(Matcher::equal("__name__", name));
        }
        Ok(VectorSelector {
            name,
            matchers,
            at: None,
            offset: None,
            extent: Extent::Plain,
            labels_only: false,
            span,
        })
    }

    fn label_matcher(&mut self) -> Parsed<Matcher> {
        let token = self.peek().clone();
        let name = match token.kind {
            Kind::Identifier => self.text(&token).to_owned(),
            Kind::String => self.string_value(&token)?.value,
            _ => return self.unexpected("label matching", "identifier or \"}\""),
        };
        self.bump();
        let op = match self.peek().kind {
            Kind::Assign => MatchOp::Equal,
            Kind::Op(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::EqualRegex => MatchOp::Regex,
            Kind::NotRegex => MatchOp::NotRegex,
            Kind::Comma | Kind::RightBrace if token.kind == Kind::String => {
                return Ok(Matcher::equal("__name__", &name));
            }
            _ => return self.unexpected("label matching", "label matching operator"),
        };
        self.bump();
        let value = self.expect(&Kind::String, "label matching", "string")?;
        let literal = self.string_value(&value)?;
        match Matcher::new(op, &name, &literal.value) {
            Ok(matcher) => Ok(matcher),
            Err(error) => self.error(token.span.to(value.span), error.to_string()),
        }
    }

    fn arguments(&mut self) -> Parsed<(Vec<Expr>, Span)> {
        let open = self.expect(&Kind::LeftParen, "aggregation", "")?;
        let mut args = Vec::new();
        if let Some(close) = self.accept(&Kind::RightParen) {
            return Ok((args, open.span.to(close.span)));
        }
        loop {
            args.push(self.binary(0)?);
            if let Some(comma) = self.accept(&Kind::Comma) {
                if self.peek().kind == Kind::RightParen {
                    return self.error(
                        comma.span,
                        "trailing commas not allowed in function call args",
                    );
                }
                continue;
            }
            let close = self.expect(&Kind::RightParen, "", "")?;
            return Ok((args, open.span.to(close.span)));
        }
    }

    fn aggregate(&mut self, op: AggregateOp, op_span: Span) -> Parsed<Expr> {
        let mut modifier = self.aggregate_modifier()?;
        if self.peek().kind != Kind::LeftParen {
            return self.unexpected("aggregation", "");
        }
        let (mut args, args_span) = self.arguments()?;
        let mut span = op_span.to(args_span);
        if modifier.is_none() {
            modifier = self.aggregate_modifier()?;
            if modifier.is_some() {
                span.end = self.tokens[self.next - 1].span.end;
            }
        }
        let (without, grouping) = modifier.unwrap_or_default();
        if args.is_empty() {
            return self.error(span, "no arguments for aggregate expression provided");
        }
        if op.is_experimental() && !self.options.experimental_functions {
            return self.error(
                span,
                format!(
                    "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                    op.as_str()
                ),
            );
        }
        let wanted = if op.has_param() { 2 } else { 1 };
        if args.len() != wanted {
            return self.error(
                span,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                    args.len()
                ),
            );
        }
        let expr = args.pop().expect("the length was checked");
        Ok(Expr::Aggregate(Box::new(AggregateExpr {
            op,
            expr,
            param: args.pop(),
            without,
            grouping,
            span,
        })))
    }

    fn aggregate_modifier(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = self.accept_keyword(Keyword::Without);
        if without || self.accept_keyword(Keyword::By) {
            return Ok(Some((without, self.grouping_labels()?)));
        }
        Ok(None)
    }

    fn call(&mut self, name: &Token) -> Parsed<Expr> {
        let text = self.text(name);
        let Some(function) = functions::lookup(text).or_else(|| {
            functions::lookup(&text.to_ascii_lowercase())
                .filter(|_| matches!(name.kind, Kind::Keyword(_)))
        }) else {
            return self.error(name.span, format!("unknown function with name {text:?}"));
        };
        if function.experimental && !self.options.experimental_functions {
            return self.error(name.span, format!("function {text:?} is not enabled"));
        }
        let (args, args_span) = self.arguments()?;
        Ok(Expr::Call(Box::new(CallExpr {
            function,
            args,
            span: name.span.to(args_span),
        })))
    }

    // --- what follows a primary ---

    fn postfix(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let mut links = 0;
        loop {
            links += 1;
            if self.depth + links > self.options.depth_max {
                self.depth += links;
                self.enter()?;
            }
            match self.peek().kind {
                Kind::Keyword(Keyword::Offset) => self.offset(&mut expr)?,
                Kind::At => self.at(&mut expr)?,
                Kind::LeftBracket => expr = self.brackets(expr)?,
                Kind::Keyword(Keyword::Anchored) => self.extent(&mut expr, Extent::Anchored)?,
                Kind::Keyword(Keyword::Smoothed) => self.extent(&mut expr, Extent::Smoothed)?,
                _ => return Ok(expr),
            }
        }
    }

    fn extent(&mut self, expr: &mut Expr, extent: Extent) -> Parsed<()> {
        let token = self.bump();
        let word = if extent == Extent::Anchored {
            "anchored"
        } else {
            "smoothed"
        };
        let span = expr.span();
        if !self.options.extended_range_selectors {
            return self.error(
                span,
                format!("{word} modifier is experimental and not enabled"),
            );
        }
        let selector = match expr {
            Expr::Vector(selector) => {
                selector.span.end = token.span.end;
                selector
            }
            Expr::Matrix(matrix) => {
                matrix.span.end = token.span.end;
                &mut matrix.selector
            }
            Expr::Subquery(_) => {
                return self.error(
                    span,
                    format!("{word} modifier is not supported for subqueries"),
                );
            }
            _ => return self.error(span, format!("{word} modifier not implemented")),
        };
        if selector.extent != Extent::Plain && selector.extent != extent {
            return self.error(
                span,
                "anchored and smoothed modifiers cannot be used together",
            );
        }
        selector.extent = extent;
        Ok(())
    }

    fn offset(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.bump();
        let duration = self.offset_duration()?;
        let end = duration.span().end;
        let span = expr.span();
        let slot = match expr {
            Expr::Vector(selector) => {
                selector.span.end = end;
                &mut selector.offset
            }
            Expr::Matrix(matrix) => {
                matrix.span.end = end;
                &mut matrix.selector.offset
            }
            Expr::Subquery(subquery) => {
                subquery.span.end = end;
                &mut subquery.offset
            }
            _ => {
                return self.error(
                    span,
                    "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
                );
            }
        };
        let zero = |d: &DurationExpr| matches!(d, DurationExpr::Number(n) if n.value == 0.0);
        if slot.as_ref().is_some_and(|set| !zero(set)) {
            return self.error(span, "offset may not be set multiple times");
        }
        *slot = Some(duration);
        Ok(())
    }

    /// One duration with an optional sign; arithmetic needs parentheses here.
    fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        let start = self.peek().span.start;
        if let Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek().kind {
            self.bump();
            let inner = self.duration_primary("offset", "duration")?;
            return Ok(signed(op == BinaryOp::Sub, inner, start));
        }
        self.duration_primary("offset", "number, duration, step(), or range()")
    }

    fn at(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.bump();
        let span = expr.span();
        let token = self.peek().clone();
        let at = match token.kind {
            Kind::Keyword(keyword @ (Keyword::Start | Keyword::End)) => {
                self.bump();
                self.expect(&Kind::LeftParen, "@", "timestamp")?;
                self.expect(&Kind::RightParen, "@", "timestamp")?;
                if keyword == Keyword::Start {
                    At::Start
                } else {
                    At::End
                }
            }
            Kind::Number | Kind::Duration | Kind::Op(BinaryOp::Add | BinaryOp::Sub) => {
                let mut sign = 1.0;
                if let Kind::Op(op) = token.kind {
                    self.bump();
                    if op == BinaryOp::Sub {
                        sign = -1.0;
                    }
                }
                if !matches!(self.peek().kind, Kind::Number | Kind::Duration) {
                    return self.unexpected("@", "timestamp");
                }
                let seconds = sign * self.number_literal()?.value;
                let limit = i64::MAX as f64;
                if !seconds.is_finite() || seconds >= limit || seconds <= -limit {
                    return self.error(
                        span,
                        format!("timestamp out of bounds for @ modifier: {seconds:.6}"),
                    );
                }
                At::Timestamp((seconds * 1000.0).round() as i64)
            }
            _ => return self.unexpected("@", "timestamp"),
        };
        let end = self.tokens[self.next - 1].span.end;
        let slot = match expr {
            Expr::Vector(selector) => {
                selector.span.end = end;
                &mut selector.at
            }
            Expr::Matrix(matrix) => {
                matrix.span.end = end;
                &mut matrix.selector.at
            }
            Expr::Subquery(subquery) => {
                subquery.span.end = end;
                &mut subquery.at
            }
            _ => {
                return self.error(
                    span,
                    "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
                );
            }
        };
        if slot.is_some() {
            return self.error(span, "@ <timestamp> may not be set multiple times");
        }
        *slot = Some(at);
        Ok(())
    }

    fn brackets(&mut self, expr: Expr) -> Parsed<Expr> {
        let open = self.bump();
        let range =
            self.positive_duration("subquery selector", "number, duration, step(), or range()")?;
        if self.accept(&Kind::Colon).is_some() {
            let step = if self.peek().kind == Kind::RightBracket {
                None
            } else {
                Some(self.positive_duration(
                    "subquery selector",
                    "number, duration, step(), range(), or \"]\"",
                )?)
            };
            let close = self.expect(&Kind::RightBracket, "subquery selector", "\"]\"")?;
            let span = expr.span().to(close.span);
            return Ok(Expr::Subquery(Box::new(SubqueryExpr {
                expr,
                range,
                step,
                at: None,
                offset: None,
                span,
            })));
        }
        let close = self.expect(&Kind::RightBracket, "subquery or range", "\":\" or \"]\"")?;
        let brackets = open.span.to(close.span);
        let span = expr.span().to(close.span);
        match expr {
            Expr::Vector(selector) if selector.offset.is_some() => {
                self.error(brackets, "no offset modifiers allowed before range")
            }
            Expr::Vector(selector) if selector.at.is_some() => {
                self.error(brackets, "no @ modifiers allowed before range")
            }
            Expr::Vector(selector) => Ok(Expr::Matrix(Box::new(MatrixSelector {
                selector: *selector,
                range,
                span,
            }))),
            _ => self.error(brackets, "ranges only allowed for vector selectors"),
        }
    }
}

/// A number as Go reads it: decimal, hexadecimal, octal with a leading 0, `_` between digits, `Inf`, `NaN`.
pub(super) fn parse_number(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "+inf" => return Some(f64::INFINITY),
        "-inf" => return Some(f64::NEG_INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let digits: String = lower.chars().filter(|c| *c != '_').collect();
    let integer = |digits: &str, radix| i64::from_str_radix(digits, radix).ok();
    let prefixed = [("0x", 16), ("0b", 2), ("0o", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((digits.strip_prefix(prefix)?.to_owned(), radix)));
    if let Some((body, radix)) = prefixed {
        return integer(&body, radix).map(|n| n as f64);
    }
    if digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|b| (b'0'..b'8').contains(&b))
        && let Some(number) = integer(&digits, 8)
    {
        return Some(number as f64);
    }
    let value: f64 = digits.parse().ok()?;
    // Go refuses what overflows; Rust makes it infinite.
    (!value.is_infinite()).then_some(value)
}
