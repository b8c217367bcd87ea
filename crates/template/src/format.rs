//! Go's `strconv` and `fmt`: numbers, `%v` and `printf`.

use std::fmt::Write as _;

use jiff::SignedDuration;

use crate::gotime;
use crate::value::Value;

/// Widths and precisions above this are refused, as in Go.
const WIDTH_MAX: usize = 1_000_000;

/// Go's `strconv.FormatFloat(value, verb, precision, 64)`; no precision means as few digits as tell it apart.
pub fn format_float(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match verb {
        'e' | 'E' => with_exponent(value, precision, verb),
        'f' | 'F' => match precision {
            Some(digits) => format!("{value:.digits$}"),
            None => format!("{value}"),
        },
        _ => general(value, precision, if verb == 'G' { 'E' } else { 'e' }),
    }
}

/// `d.ddde±dd`
fn with_exponent(value: f64, precision: Option<usize>, letter: char) -> String {
    let text = match precision {
        Some(digits) => format!("{value:.digits$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text
        .split_once('e')
        .expect("Rust writes an exponent for {:e}");
    let exponent: i32 = exponent.parse().expect("Rust writes a whole exponent");
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{letter}{sign}{:02}", exponent.abs())
}

/// `%g`: the shorter of both forms; an exponent below -4 or not below the precision (6 when there is none) makes it
/// the one with an exponent.
fn general(value: f64, precision: Option<usize>, letter: char) -> String {
    let precision = precision.map(|digits| digits.max(1));
    let text = match precision {
        Some(digits) => format!("{value:.*e}", digits - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text
        .split_once('e')
        .expect("Rust writes an exponent for {:e}");
    let exponent: i32 = exponent.parse().expect("Rust writes a whole exponent");
    let mantissa = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count() as i32;
    let mut limit = precision.map_or(6, |digits| digits as i32);
    if precision.is_some() && limit > digits && digits > exponent {
        limit = digits;
    }
    // Shortest form: Go takes 21 for nothing but JSON; `%v` and `%g` decide at 6, but never cut digits off.
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}{letter}{sign}{:02}", exponent.abs());
    }
    let decimals = (digits - 1 - exponent).max(0) as usize;
    match precision {
        None => format!("{value}"),
        Some(_) => format!("{value:.decimals$}"),
    }
}

/// Go's `time.Duration.String`: `1h15m30.918s`, `1.5ms`, `0s`.
pub fn format_duration(duration: SignedDuration) -> String {
    let nanos = duration.as_nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let abs = nanos.unsigned_abs();
    let fraction = |value: u128, unit: u128, name: &str| {
        let (whole, part) = (value / unit, value % unit);
        if part == 0 {
            return format!("{whole}{name}");
        }
        let width = unit.ilog10() as usize;
        let part = format!("{part:0width$}");
        format!("{whole}.{}{name}", part.trim_end_matches('0'))
    };
    let text = match abs {
        0 => return "0s".to_owned(),
        1..1_000 => format!("{abs}ns"),
        1_000..1_000_000 => fraction(abs, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(abs, 1_000_000, "ms"),
        _ => {
            let minutes = abs / 60_000_000_000;
            let seconds = fraction(abs % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    };
    format!("{sign}{text}")
}

/// `%v` of a value: what `fmt.Sprint` writes for it alone.
pub fn sprint_value(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format_float(*value, 'g', None),
        Value::String(text) | Value::Html(text) => text.to_string(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(sprint_value).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(map) => {
            let entries: Vec<String> = map
                .entries
                .iter()
                .map(|(key, value)| format!("{key}:{}", sprint_value(value)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
        Value::Time(time) => gotime::format_string(time),
        Value::Duration(duration) => format_duration(*duration),
        Value::Object(object) => object.display(),
    }
}

/// Go's `fmt.Sprint`: a space between two operands when neither is a string.
pub fn sprint(args: &[Value]) -> String {
    let mut out = String::new();
    for (index, arg) in args.iter().enumerate() {
        let is_string = |value: &Value| matches!(value.plain(), Value::String(_) | Value::Html(_));
        if index > 0 && !is_string(arg) && !is_string(&args[index - 1]) {
            out.push(' ');
        }
        out.push_str(&sprint_value(arg));
    }
    out
}

/// Go's `fmt.Sprintln`.
pub fn sprintln(args: &[Value]) -> String {
    let mut texts: Vec<String> = args.iter().map(sprint_value).collect();
    if let Some(last) = texts.last_mut() {
        last.push('\n');
    } else {
        texts.push("\n".to_owned());
    }
    texts.join(" ")
}

/// Go's `strconv.Quote`.
pub fn quote(text: &str) -> String {
    let mut out = String::new();
    bellwether_model::labels::write_quoted(&mut out, text).expect("writing to a String");
    out
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Go's `fmt.Sprintf`, its marks for wrong use included (`%!d(string=hi)`, `%!s(MISSING)`).
pub fn sprintf(format: &str, args: &[Value]) -> String {
    let mut printer = Printer {
        args,
        next: 0,
        reordered: false,
        out: String::with_capacity(format.len() + 16),
    };
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        printer.out.push_str(&rest[..at]);
        rest = printer.verb(&rest[at + 1..]);
    }
    printer.out.push_str(rest);
    if !printer.reordered && printer.next < args.len() {
        let extra: Vec<String> = args[printer.next..]
            .iter()
            .map(|arg| match arg {
                Value::Nil => "<nil>".to_owned(),
                arg => format!("{}={}", arg.type_name(), sprint_value(arg)),
            })
            .collect();
        printer
            .out
            .push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    printer.out
}

struct Printer<'a> {
    args: &'a [Value],
    next: usize,
    reordered: bool,
    out: String,
}

// === impl Printer ===

impl Printer<'_> {
    /// Prints one verb; `rest` begins after its `%`. Returns what follows it.
    fn verb<'t>(&mut self, rest: &'t str) -> &'t str {
        let mut flags = Flags::default();
        let mut rest = rest;
        while let Some(c) = rest.chars().next() {
            match c {
                '+' => flags.plus = true,
                '-' => flags.minus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                '0' => flags.zero = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        let mut good = true;
        rest = self.argument_index(rest, &mut good);
        (flags.width, rest) = self.size(rest, "WIDTH", &mut flags.minus);
        if let Some(after) = rest.strip_prefix('.') {
            let after = self.argument_index(after, &mut good);
            let mut negative = false;
            (flags.precision, rest) = self.size(after, "PREC", &mut negative);
            if flags.precision.is_none() && !negative {
                flags.precision = Some(0);
            }
        }
        rest = self.argument_index(rest, &mut good);
        let Some(verb) = rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return rest;
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            self.out.push('%');
        } else if !good {
            self.out.push_str(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(arg) = self.args.get(self.next) {
            self.next += 1;
            if flags.minus {
                flags.zero = false;
            }
            print_value(&mut self.out, arg, verb, flags);
        } else {
            self.out.push_str(&format!("%!{verb}(MISSING)"));
        }
        rest
    }

    fn argument_index<'t>(&mut self, rest: &'t str, good: &mut bool) -> &'t str {
        let Some((index, after)) = rest
            .strip_prefix('[')
            .and_then(|inner| inner.split_once(']'))
        else {
            return rest;
        };
        self.reordered = true;
        match index.parse::<usize>() {
            Ok(index) if index >= 1 && index <= self.args.len() => self.next = index - 1,
            _ => *good = false,
        }
        after
    }

    /// A width or precision: digits or `*`.
    fn size<'t>(
        &mut self,
        rest: &'t str,
        what: &str,
        negative: &mut bool,
    ) -> (Option<usize>, &'t str) {
        if let Some(after) = rest.strip_prefix('*') {
            let value = match self.args.get(self.next) {
                Some(Value::Int(value)) if value.unsigned_abs() <= WIDTH_MAX as u64 => Some(*value),
                _ => None,
            };
            self.next += 1;
            return match value {
                Some(value) => {
                    *negative |= value < 0;
                    (Some(value.unsigned_abs() as usize), after)
                }
                None => {
                    self.out.push_str(&format!("%!(BAD{what})"));
                    (None, after)
                }
            };
        }
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        if end == 0 {
            return (None, rest);
        }
        let value = rest[..end].parse().ok().filter(|n| *n <= WIDTH_MAX);
        (value, &rest[end..])
    }
}

fn pad(out: &mut String, text: &str, flags: Flags) {
    let missing = flags
        .width
        .unwrap_or(0)
        .saturating_sub(text.chars().count());
    if flags.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else {
        let fill = if flags.zero { '0' } else { ' ' };
        out.extend(std::iter::repeat_n(fill, missing));
        out.push_str(text);
    }
}

/// Pads a number whose sign stays in front of the zeros.
fn pad_number(out: &mut String, negative: bool, digits: &str, flags: Flags) {
    let sign = if negative {
        "-"
    } else if flags.plus {
        "+"
    } else if flags.space {
        " "
    } else {
        ""
    };
    if flags.zero {
        let width = flags.width.unwrap_or(0).saturating_sub(sign.len());
        out.push_str(sign);
        pad(
            out,
            digits,
            Flags {
                width: Some(width),
                ..flags
            },
        );
    } else {
        pad(out, &format!("{sign}{digits}"), flags);
    }
}

fn print_value(out: &mut String, value: &Value, verb: char, flags: Flags) {
    if verb == 'T' {
        return pad(out, value.type_name(), flags);
    }
    match value {
        Value::Nil if verb == 'v' => pad(out, "<nil>", flags),
        Value::Nil => out.push_str(&format!("%!{verb}(<nil>)")),
        Value::Bool(value) if matches!(verb, 't' | 'v') => pad(out, &value.to_string(), flags),
        Value::Int(number) => print_int(out, *number, value, verb, flags),
        Value::Float(number) => print_float(out, *number, value, verb, flags),
        Value::String(text) | Value::Html(text) => print_text(out, text, value, verb, flags),
        Value::Time(_) | Value::Duration(_) if matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') => {
            print_text(out, &sprint_value(value), value, verb, flags);
        }
        Value::Duration(duration) => {
            print_int(out, duration.as_nanos() as i64, value, verb, flags);
        }
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                print_value(out, item, verb, flags);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push_str("map[");
            for (index, (key, item)) in map.entries.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                print_value(out, &Value::String(key.clone()), verb, flags);
                out.push(':');
                print_value(out, item, verb, flags);
            }
            out.push(']');
        }
        Value::Object(object) => match object.underlying() {
            Value::Nil => print_text(out, &object.display(), value, verb, flags),
            inner => print_value(out, &inner, verb, flags),
        },
        Value::Bool(_) | Value::Time(_) => bad_verb(out, value, verb),
    }
}

fn bad_verb(out: &mut String, value: &Value, verb: char) {
    out.push_str(&format!(
        "%!{verb}({}={})",
        value.type_name(),
        sprint_value(value)
    ));
}

fn print_int(out: &mut String, number: i64, value: &Value, verb: char, flags: Flags) {
    let abs = number.unsigned_abs();
    let prefix = |text: &'static str| if flags.sharp { text } else { "" };
    let digits = match verb {
        'd' | 'v' => abs.to_string(),
        'b' => format!("{}{abs:b}", prefix("0b")),
        'o' => format!("{}{abs:o}", prefix("0")),
        'O' => format!("0o{abs:o}"),
        'x' => format!("{}{abs:x}", prefix("0x")),
        'X' => format!("{}{abs:X}", prefix("0X")),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(number)
                .ok()
                .and_then(char::from_u32)
                .unwrap_or('\u{fffd}');
            let text = match verb {
                'c' => c.to_string(),
                'U' => format!("U+{:04X}", c as u32),
                _ => {
                    let quoted = quote(&c.to_string());
                    let inner = quoted[1..quoted.len() - 1].replace("\\\"", "\"");
                    format!("'{}'", if c == '\'' { "\\'" } else { &inner })
                }
            };
            return pad(out, &text, flags);
        }
        _ => return bad_verb(out, value, verb),
    };
    let digits = match flags.precision {
        Some(0) if number == 0 => String::new(),
        Some(precision) => format!("{digits:0>precision$}"),
        None => digits,
    };
    let flags = Flags {
        zero: flags.zero && flags.precision.is_none(),
        ..flags
    };
    pad_number(out, number < 0, &digits, flags);
}

fn print_float(out: &mut String, number: f64, value: &Value, verb: char, flags: Flags) {
    let text = match verb {
        'v' => format_float(number, 'g', flags.precision),
        'g' | 'G' => format_float(number, verb, flags.precision),
        'e' | 'E' | 'f' | 'F' => format_float(number, verb, Some(flags.precision.unwrap_or(6))),
        _ => return bad_verb(out, value, verb),
    };
    if number.is_nan() || number.is_infinite() {
        let text = match (text.as_str(), flags.plus, flags.space) {
            ("NaN", true, _) => "+NaN".to_owned(),
            ("NaN", _, true) => " NaN".to_owned(),
            ("+Inf", false, true) => " Inf".to_owned(),
            _ => text,
        };
        let flags = Flags {
            zero: false,
            ..flags
        };
        return pad(out, &text, flags);
    }
    let negative = text.starts_with('-');
    pad_number(out, negative, text.trim_start_matches('-'), flags);
}

fn print_text(out: &mut String, text: &str, value: &Value, verb: char, flags: Flags) {
    let cut: String = match flags.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    match verb {
        'v' | 's' if verb == 'v' && flags.sharp => pad(out, &quote(&cut), flags),
        'v' | 's' => pad(out, &cut, flags),
        'q' => pad(out, &quote(&cut), flags),
        'x' | 'X' => {
            let mut hex = String::with_capacity(text.len() * 2);
            let bytes = text.as_bytes();
            for byte in bytes.iter().take(flags.precision.unwrap_or(bytes.len())) {
                let written = if verb == 'x' {
                    write!(hex, "{byte:02x}")
                } else {
                    write!(hex, "{byte:02X}")
                };
                written.expect("writing to a String");
            }
            pad(out, &hex, flags);
        }
        _ => bad_verb(out, value, verb),
    }
}
