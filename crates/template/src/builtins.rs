//! The functions every Go template has. (`and` and `or` stop early and live in `exec`.)

use std::cmp::Ordering;
use std::sync::Arc;

use crate::value::Value;
use crate::{escape, format};

const NAMES: [&str; 19] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or",
    "print", "printf", "println", "slice", "urlquery",
];

/// Whether there is a built-in function of this name.
pub(crate) fn knows(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls one; `None` when there is none of this name.
pub(crate) fn call(name: &str, args: &[Value]) -> Option<Result<Value, String>> {
    Some(match (name, args) {
        ("not", [arg]) => Ok((!arg.is_true()).into()),
        ("print", args) => Ok(format::sprint(args).into()),
        ("println", args) => Ok(format::sprintln(args).into()),
        ("printf", [format, args @ ..]) => match format.plain().as_str() {
            Some(format) => Ok(format::sprintf(format, args).into()),
            None => Err(wrong_type(format, "string")),
        },
        ("html", args) => Ok(escape::html(&text_of(args)).into()),
        ("js", args) => Ok(escape::js(&text_of(args)).into()),
        ("urlquery", args) => Ok(escape::query(&text_of(args)).into()),
        ("len", [arg]) => len(arg),
        ("index", [item, keys @ ..]) => keys
            .iter()
            .try_fold(item.clone(), |item, key| index(&item, key)),
        ("slice", [item, bounds @ ..]) if bounds.len() <= 3 => slice(item, bounds),
        ("eq", [first, others @ ..]) if !others.is_empty() => eq(first, others),
        ("ne", [a, b]) => equal(a, b).map(|same| (!same).into()),
        ("lt", [a, b]) => order(a, b).map(|found| (found == Some(Ordering::Less)).into()),
        ("le", [a, b]) => {
            order(a, b).map(|found| matches!(found, Some(Ordering::Less | Ordering::Equal)).into())
        }
        // As in Go the negations of `le` and `lt`, also for a NaN.
        ("gt", [a, b]) => order(a, b)
            .map(|found| (!matches!(found, Some(Ordering::Less | Ordering::Equal))).into()),
        ("ge", [a, b]) => order(a, b).map(|found| (found != Some(Ordering::Less)).into()),
        ("call", _) => Err("call: functions as values are not supported".to_owned()),
        (name, args) if knows(name) => Err(format!(
            "wrong number of args for {name}: got {}",
            args.len()
        )),
        _ => return None,
    })
}

/// What `html`, `js` and `urlquery` work on: one string as it is, else as `print` would write it.
fn text_of(args: &[Value]) -> String {
    format::sprint(args)
}

fn wrong_type(value: &Value, wanted: &str) -> String {
    format!(
        "wrong type for value; expected {wanted}; got {}",
        value.type_name()
    )
}

fn len(value: &Value) -> Result<Value, String> {
    let length = match value.plain() {
        Value::String(text) | Value::Html(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil => return Err("len of nil pointer".to_owned()),
        _ => return Err(format!("len of type {}", value.type_name())),
    };
    Ok(Value::Int(length as i64))
}

fn position(key: &Value, max: usize) -> Result<usize, String> {
    match key {
        Value::Int(index) => usize::try_from(*index)
            .ok()
            .filter(|index| *index <= max)
            .ok_or_else(|| format!("index out of range: {index}")),
        Value::Nil => Err("cannot index slice/array with nil".to_owned()),
        _ => Err(format!(
            "cannot index slice/array with type {}",
            key.type_name()
        )),
    }
}

fn index(item: &Value, key: &Value) -> Result<Value, String> {
    let out_of_range = |index: usize| format!("index out of range: {index}");
    match item.plain() {
        Value::Map(map) => match key.plain().as_str() {
            Some(key) => Ok(map.get(key)),
            None => Err(wrong_type(key, "string")),
        },
        Value::List(items) => {
            let at = position(key, items.len())?;
            items.get(at).cloned().ok_or_else(|| out_of_range(at))
        }
        Value::String(text) | Value::Html(text) => {
            let at = position(key, text.len())?;
            match text.as_bytes().get(at) {
                Some(byte) => Ok(Value::Int(i64::from(*byte))),
                None => Err(out_of_range(at)),
            }
        }
        Value::Nil => Err("index of untyped nil".to_owned()),
        _ => Err(format!("can't index item of type {}", item.type_name())),
    }
}

fn slice(item: &Value, bounds: &[Value]) -> Result<Value, String> {
    let plain = item.plain();
    let length = match &plain {
        Value::String(text) | Value::Html(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        _ => return Err(format!("can't slice item of type {}", item.type_name())),
    };
    if bounds.len() == 3 && plain.as_str().is_some() {
        return Err("cannot 3-index slice a string".to_owned());
    }
    let bounds: Vec<usize> = bounds
        .iter()
        .map(|bound| position(bound, length))
        .collect::<Result<_, _>>()?;
    let from = bounds.first().copied().unwrap_or(0);
    let to = bounds.get(1).copied().unwrap_or(length);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match plain {
        Value::List(items) => Value::List(items[from..to].into()),
        other => {
            let text = other.as_str().unwrap_or_default();
            String::from_utf8_lossy(&text.as_bytes()[from..to])
                .into_owned()
                .into()
        }
    })
}

fn eq(first: &Value, others: &[Value]) -> Result<Value, String> {
    for other in others {
        if equal(first, other)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

/// Go compares within a basic kind only: an int is never compared with a float.
fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a.plain(), b.plain()) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::String(a) | Value::Html(a), Value::String(b) | Value::Html(b)) => Ok(a == b),
        (Value::Duration(a), Value::Duration(b)) => Ok(a == b),
        (Value::Duration(a), Value::Int(b)) | (Value::Int(b), Value::Duration(a)) => {
            Ok(a.as_nanos() == i128::from(b))
        }
        (Value::Time(a), Value::Time(b)) => Ok(a.timestamp() == b.timestamp()),
        (Value::Nil, Value::Nil) => {
            let same = match (a, b) {
                (Value::Object(a), Value::Object(b)) => Arc::ptr_eq(a, b),
                (Value::Nil, Value::Nil) => true,
                _ => false,
            };
            Ok(same)
        }
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => Err(format!(
            "non-comparable types {} and {}",
            a.type_name(),
            b.type_name()
        )),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

/// `None` when a NaN is involved.
fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a.plain(), b.plain()) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(&b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(&b)),
        (Value::String(a) | Value::Html(a), Value::String(b) | Value::Html(b)) => {
            Ok(Some(a.cmp(&b)))
        }
        (Value::Duration(a), Value::Duration(b)) => Ok(Some(a.cmp(&b))),
        (Value::Duration(a), Value::Int(b)) => Ok(Some(a.as_nanos().cmp(&i128::from(b)))),
        (Value::Int(a), Value::Duration(b)) => Ok(Some(i128::from(a).cmp(&b.as_nanos()))),
        (a, b) => {
            let basic = |value: &Value| {
                matches!(
                    value,
                    Value::Bool(_)
                        | Value::Int(_)
                        | Value::Float(_)
                        | Value::String(_)
                        | Value::Html(_)
                        | Value::Duration(_)
                )
            };
            if basic(&a) && basic(&b) && !matches!((&a, &b), (Value::Bool(_), Value::Bool(_))) {
                Err("incompatible types for comparison".to_owned())
            } else {
                Err("invalid type for comparison".to_owned())
            }
        }
    }
}
