//! RESP2 and RESP3 as far as the laboratory needs them: values in, commands in, commands out.

use std::io::{self, BufRead};

/// One reply, or one event, of a server.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A simple string, `+OK`.
    Status(String),
    /// An error line without its dash, or a RESP3 blob error.
    Error(String),
    /// An integer, `:1`.
    Int(i64),
    /// A bulk string; `None` is the nil of either protocol, `$-1` or `_`. RESP3's verbatim strings arrive here too,
    /// without the three letters of their format.
    Bulk(Option<Vec<u8>>),
    /// An array or a set; `None` is `*-1`.
    Array(Option<Vec<Value>>),
    /// A RESP3 map in the order of the wire.
    Map(Vec<(Value, Value)>),
    /// A RESP3 push.
    Push(Vec<Value>),
    /// A RESP3 boolean.
    Bool(bool),
    /// A RESP3 double or big number, as it was spelled.
    Number(String),
}

impl Value {
    /// The text of a status, an error, a bulk string or a number; empty for nil and for aggregates.
    pub fn as_text(&self) -> String {
        match self {
            Value::Status(text) | Value::Error(text) | Value::Number(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            Value::Bulk(Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Value::Bool(flag) => flag.to_string(),
            Value::Bulk(None) | Value::Array(_) | Value::Map(_) | Value::Push(_) => String::new(),
        }
    }

    /// The elements of an array or a push; none for anything else.
    pub fn as_items(&self) -> &[Value] {
        match self {
            Value::Array(Some(items)) | Value::Push(items) => items,
            _ => &[],
        }
    }

    /// The pairs of a map, or of an array whose elements alternate between names and values.
    pub fn as_pairs(&self) -> Vec<(String, String)> {
        match self {
            Value::Map(pairs) => pairs
                .iter()
                .map(|(name, value)| (name.as_text(), value.as_text()))
                .collect(),
            other => other
                .as_items()
                .chunks_exact(2)
                .map(|pair| (pair[0].as_text(), pair[1].as_text()))
                .collect(),
        }
    }

    /// The value named `name` in [`as_pairs`](Value::as_pairs); empty when there is none.
    pub fn field(&self, name: &str) -> String {
        self.as_pairs()
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
            .unwrap_or_default()
    }

    /// Whether this is an error reply.
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }

    /// Whether this is a nil of any kind.
    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Bulk(None) | Value::Array(None))
    }
}

fn malformed(what: &str, line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {line:?}"))
}

fn read_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    if !line.ends_with(b"\r\n") {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.len() - 2);
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn read_blob(input: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut blob = vec![0; length + 2];
    input.read_exact(&mut blob)?;
    if !blob.ends_with(b"\r\n") {
        return Err(malformed("a blob without its CRLF", ""));
    }
    blob.truncate(length);
    Ok(blob)
}

fn read_many(input: &mut impl BufRead, count: usize) -> io::Result<Vec<Value>> {
    (0..count).map(|_| read_value(input)).collect()
}

/// Reads one value; blocks until it is whole or the input's own timeout ends the wait.
pub(crate) fn read_value(input: &mut impl BufRead) -> io::Result<Value> {
    let line = read_line(input)?;
    let Some(kind) = line.chars().next().filter(char::is_ascii) else {
        return Err(malformed("a line without a type", &line));
    };
    let rest = &line[1..];
    let length = || rest.parse::<i64>().map_err(|_| malformed("not a number", &line));
    let count = || length().map(|count| usize::try_from(count).ok());
    Ok(match kind {
        '+' => Value::Status(rest.to_owned()),
        '-' => Value::Error(rest.to_owned()),
        ':' => Value::Int(length()?),
        ',' | '(' => Value::Number(rest.to_owned()),
        '#' => Value::Bool(rest == "t"),
        '_' => Value::Bulk(None),
        '$' => Value::Bulk(count()?.map(|length| read_blob(input, length)).transpose()?),
        '!' => Value::Error(String::from_utf8_lossy(&read_blob(input, count()?.unwrap_or(0))?).into_owned()),
        '=' => Value::Bulk(Some(read_blob(input, count()?.unwrap_or(0))?.split_off(4))),
        '*' | '~' => Value::Array(count()?.map(|count| read_many(input, count)).transpose()?),
        '>' => Value::Push(read_many(input, count()?.unwrap_or(0))?),
        '%' => {
            let pairs = count()?.unwrap_or(0);
            Value::Map(
                (0..pairs)
                    .map(|_| Ok((read_value(input)?, read_value(input)?)))
                    .collect::<io::Result<_>>()?,
            )
        }
        _ => return Err(malformed("an unknown type", &line)),
    })
}

/// Reads one command as clients send it: an array of bulk strings.
pub(crate) fn read_command(input: &mut impl BufRead) -> io::Result<Vec<Vec<u8>>> {
    match read_value(input)? {
        Value::Array(Some(items)) => items
            .into_iter()
            .map(|item| match item {
                Value::Bulk(Some(bytes)) => Ok(bytes),
                other => Err(malformed(
                    "a command with something else than bulk strings",
                    &format!("{other:?}"),
                )),
            })
            .collect(),
        other => Err(malformed("something else than a command", &format!("{other:?}"))),
    }
}

/// Appends a bulk string.
pub(crate) fn put_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends an aggregate's head, such as `*3` or `%2`.
pub(crate) fn put_head(out: &mut Vec<u8>, kind: char, count: usize) {
    out.extend_from_slice(format!("{kind}{count}\r\n").as_bytes());
}

/// One command as an array of bulk strings.
pub(crate) fn encode_command<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = Vec::new();
    put_head(&mut out, '*', args.len());
    for arg in args {
        put_bulk(&mut out, arg.as_ref());
    }
    out
}
