//! Duration expressions: `5m`, `step() * 2`, `min_of(range(), 1h)`.

use super::{Parsed, Parser};
use crate::ast::{AggregateOp, BinaryOp, DurationExpr, NumberLiteral, Span};
use crate::parser::lex::{Keyword, Kind};

impl Parser<'_> {
    pub(super) fn positive_duration(
        &mut self,
        context: &str,
        expected: &str,
    ) -> Parsed<DurationExpr> {
        let duration = self.duration_binary(0, context, expected)?;
        if let DurationExpr::Number(number) = &duration
            && (number.value <= 0.0 || number.value.is_nan())
        {
            return self.error(number.span, "duration must be greater than 0");
        }
        Ok(duration)
    }

    pub(super) fn duration_binary(
        &mut self,
        precedence_min: u8,
        context: &str,
        expected: &str,
    ) -> Parsed<DurationExpr> {
        self.enter()?;
        let depth = self.depth;
        let mut lhs = self.duration_unary(context, expected)?;
        while let Kind::Op(
            op @ (BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow),
        ) = self.peek().kind
        {
            let precedence = op.precedence();
            if precedence < precedence_min {
                break;
            }
            self.enter()?;
            let token = self.bump();
            let next = if op == BinaryOp::Pow {
                precedence
            } else {
                precedence + 1
            };
            let rhs = self.duration_binary(next, context, expected)?;
            self.experimental_duration(lhs.span())?;
            if let DurationExpr::Number(number) = &rhs
                && number.value == 0.0
                && matches!(op, BinaryOp::Div | BinaryOp::Mod)
            {
                let what = if op == BinaryOp::Div {
                    "division by zero"
                } else {
                    "modulo by zero"
                };
                return self.error(token.span, what);
            }
            let span = lhs.span().to(rhs.span());
            lhs = DurationExpr::Binary {
                op,
                lhs: Box::new(lhs),
                rhs: Box::new(rhs),
                span,
            };
        }
        self.depth = depth - 1;
        Ok(lhs)
    }

    pub(super) fn duration_unary(&mut self, context: &str, expected: &str) -> Parsed<DurationExpr> {
        let Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek().kind else {
            return self.duration_primary(context, expected);
        };
        let start = self.bump().span.start;
        let inner = self.duration_binary(BinaryOp::Pow.precedence(), context, expected)?;
        Ok(signed(op == BinaryOp::Sub, inner, start))
    }

    pub(super) fn duration_primary(
        &mut self,
        context: &str,
        expected: &str,
    ) -> Parsed<DurationExpr> {
        let token = self.peek().clone();
        let parens = |parser: &mut Self| -> Parsed<Span> {
            parser.bump();
            parser.experimental_duration(token.span)?;
            parser.expect(&Kind::LeftParen, context, "\"(\"")?;
            let close = parser.expect(&Kind::RightParen, context, "\")\"")?;
            Ok(token.span.to(close.span))
        };
        match token.kind {
            Kind::Number | Kind::Duration => {
                let number = self.number_literal()?;
                if number.value.is_nan() || number.value.abs() > 9_223_372_036.0 {
                    return self.error(number.span, "duration out of range");
                }
                Ok(DurationExpr::Number(number))
            }
            Kind::Keyword(Keyword::Step) => Ok(DurationExpr::Step(parens(self)?)),
            Kind::Keyword(Keyword::Range) => Ok(DurationExpr::Range(parens(self)?)),
            // Until 3.11 they were called `min` and `max`.
            Kind::Aggregate(AggregateOp::Min | AggregateOp::Max)
            | Kind::Keyword(Keyword::MinOf | Keyword::MaxOf) => {
                let smaller = matches!(
                    token.kind,
                    Kind::Aggregate(AggregateOp::Min) | Kind::Keyword(Keyword::MinOf)
                );
                self.bump();
                self.experimental_duration(token.span)?;
                self.expect(&Kind::LeftParen, context, "\"(\"")?;
                let lhs = Box::new(self.duration_binary(0, context, expected)?);
                self.expect(&Kind::Comma, context, "\",\"")?;
                let rhs = Box::new(self.duration_binary(0, context, expected)?);
                let close = self.expect(&Kind::RightParen, context, "\")\"")?;
                let span = token.span.to(close.span);
                Ok(if smaller {
                    DurationExpr::Min { lhs, rhs, span }
                } else {
                    DurationExpr::Max { lhs, rhs, span }
                })
            }
            Kind::LeftParen => {
                self.bump();
                let inner = self.duration_binary(0, context, expected)?;
                let close = self.expect(&Kind::RightParen, context, "\")\"")?;
                self.experimental_duration(inner.span())?;
                Ok(DurationExpr::Paren {
                    expr: Box::new(inner),
                    span: token.span.to(close.span),
                })
            }
            _ => self.unexpected(context, expected),
        }
    }

    pub(super) fn experimental_duration(&self, span: Span) -> Parsed<()> {
        if self.options.duration_expressions {
            Ok(())
        } else {
            self.error(span, "experimental duration expression is not enabled")
        }
    }
}

pub(super) fn signed(negative: bool, inner: DurationExpr, start: usize) -> DurationExpr {
    let span = Span::new(start, inner.span().end);
    match inner {
        DurationExpr::Number(number) => DurationExpr::Number(NumberLiteral {
            value: if negative {
                -number.value
            } else {
                number.value
            },
            span,
            ..number
        }),
        inner if negative => DurationExpr::Unary {
            negative,
            expr: Box::new(inner),
            span,
        },
        inner => inner,
    }
}
