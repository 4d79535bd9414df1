//! The value of an option, inside and as it is shown.

use crate::net::Secret;

/// A value as its key takes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    Secret(Secret),
}

/// A value as anybody may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// No value.
    None,
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
    /// There is a secret.
    Secret,
}

impl Shown {
    pub(super) fn of(value: &Value) -> Shown {
        match value {
            Value::Int(number) => Shown::Int(*number),
            Value::Text(text) if text.is_empty() => Shown::None,
            Value::Text(text) => Shown::Text(text.clone()),
            Value::Secret(secret) if secret.as_bytes().is_empty() => Shown::None,
            Value::Secret(_) => Shown::Secret,
        }
    }
}
