//! Compared with redis-protocol's complete decoders on what these read faithfully: no attributes, no arrays in sets or
//! as map keys, no equal keys, no `*-1` in RESP3, `txt` and `mkd` only.

use std::collections::BTreeMap;

use proptest::prelude::*;
use redis_protocol::resp2::decode::decode as decode2;
use redis_protocol::resp2::types::OwnedFrame as Frame2;
use redis_protocol::resp3::decode::complete::decode as decode3;
use redis_protocol::resp3::types::{OwnedFrame as Frame3, VerbatimStringFormat};

use super::super::{Kind, Value};
use super::decode;
use super::splits::{aggregate, frame, line};

/// A tree both sides can be turned into; maps and sets sorted, as the crate keeps no order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Tree {
    Nil,
    Text(&'static str, Vec<u8>),
    Integer(i64),
    Bool(bool),
    Double(u64),
    Verbatim(Vec<u8>, Vec<u8>),
    List(&'static str, Vec<Tree>),
    Map(BTreeMap<Tree, Tree>),
}

fn list(name: &'static str, mut items: Vec<Tree>) -> Tree {
    if name == "set" {
        items.sort();
    }
    Tree::List(name, items)
}

fn ours(value: Value<'_>) -> Tree {
    let items = || value.elements().map(ours).collect();
    let text = |name| Tree::Text(name, value.data().to_vec());
    match value.kind() {
        Kind::Nil => Tree::Nil,
        Kind::Status => text("status"),
        Kind::String => text("string"),
        Kind::Error => text("error"),
        Kind::BigNumber => text("number"),
        Kind::Integer => Tree::Integer(value.integer()),
        Kind::Bool => Tree::Bool(value.integer() == 1),
        Kind::Double => Tree::Double(value.double().to_bits()),
        Kind::Verbatim => Tree::Verbatim(value.verbatim_format().unwrap().to_vec(), value.data().to_vec()),
        Kind::Array => list("array", items()),
        Kind::Push => list("push", items()),
        Kind::Set => list("set", items()),
        Kind::Map => {
            let pair = |i| (ours(value.key_at(i).unwrap()), ours(value.value_at(i).unwrap()));
            Tree::Map((0..value.len()).map(pair).collect())
        }
    }
}

fn theirs3(frame: Frame3) -> Tree {
    let all = |data: Vec<Frame3>| data.into_iter().map(theirs3).collect();
    match frame {
        Frame3::Null => Tree::Nil,
        Frame3::SimpleString { data, .. } => Tree::Text("status", data),
        Frame3::BlobString { data, .. } => Tree::Text("string", data),
        Frame3::SimpleError { data, .. } => Tree::Text("error", data.into_bytes()),
        Frame3::BlobError { data, .. } => Tree::Text("error", data),
        Frame3::BigNumber { data, .. } => Tree::Text("number", data),
        Frame3::Number { data, .. } => Tree::Integer(data),
        Frame3::Boolean { data, .. } => Tree::Bool(data),
        Frame3::Double { data, .. } => Tree::Double(data.to_bits()),
        Frame3::VerbatimString {
            data,
            format: VerbatimStringFormat::Text,
            ..
        } => Tree::Verbatim(b"txt".to_vec(), data),
        Frame3::VerbatimString { data, .. } => Tree::Verbatim(b"mkd".to_vec(), data),
        Frame3::Array { data, .. } => list("array", all(data)),
        Frame3::Push { data, .. } => list("push", all(data)),
        Frame3::Set { data, .. } => list("set", data.into_iter().map(theirs3).collect()),
        Frame3::Map { data, .. } => Tree::Map(
            data.into_iter()
                .map(|(key, value)| (theirs3(key), theirs3(value)))
                .collect(),
        ),
        other => panic!("no reply: {other:?}"),
    }
}

fn theirs2(frame: Frame2) -> Tree {
    match frame {
        Frame2::Null => Tree::Nil,
        Frame2::SimpleString(data) => Tree::Text("status", data),
        Frame2::BulkString(data) => Tree::Text("string", data),
        Frame2::Error(data) => Tree::Text("error", data.into_bytes()),
        Frame2::Integer(data) => Tree::Integer(data),
        Frame2::Array(data) => list("array", data.into_iter().map(theirs2).collect()),
    }
}

fn resp2_leaf() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| frame("$", &bytes)),
        2 => ("[+-]", "[ -~]{0,40}").prop_map(|(kind, text)| line(&kind, &text)),
        2 => any::<i64>().prop_map(|number| line(":", &number.to_string())),
    ]
}

fn resp2() -> impl Strategy<Value = Vec<u8>> {
    let nil = prop::sample::select(vec!["$-1\r\n", "*-1\r\n"]).prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![9 => resp2_leaf(), 1 => nil].prop_recursive(5, 50, 8, |inner| {
        prop::collection::vec(inner, 0..8).prop_map(|items| aggregate("*", items.len(), &items))
    })
}

fn resp3_leaf() -> impl Strategy<Value = Vec<u8>> {
    let finite = prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE;
    prop_oneof![
        5 => resp2_leaf(),
        1 => finite.prop_map(|number| line(",", &format!("{number}"))),
        1 => finite.prop_map(|number| line(",", &format!("{number:e}"))),
        1 => "-?[0-9]{1,50}".prop_map(|digits| line("(", &digits)),
        1 => ("(txt|mkd):", "[ -~\r\n]{0,40}").prop_map(|(format, text)| frame("=", format!("{format}{text}").as_bytes())),
        1 => "[A-Z]{1,8} [ -~]{0,30}".prop_map(|text| frame("!", text.as_bytes())),
        1 => prop::sample::select(vec!["_\r\n", "#t\r\n", "#f\r\n"]).prop_map(|text| text.as_bytes().to_vec()),
    ]
}

fn resp3() -> impl Strategy<Value = Vec<u8>> {
    // The crate keeps one of equal keys, so keys come from sets.
    let key = || {
        (0u32..1000).prop_map(|n| {
            if n % 2 == 0 {
                frame("$", &n.to_be_bytes())
            } else {
                line("+", &n.to_string())
            }
        })
    };
    let nested = resp3_leaf().prop_recursive(5, 50, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(|items| aggregate("*", items.len(), &items)),
            prop::collection::btree_map(key(), inner, 0..6).prop_map(|map| {
                let items: Vec<Vec<u8>> = map.into_iter().flat_map(|(key, value)| [key, value]).collect();
                aggregate("%", items.len() / 2, &items)
            }),
            prop::collection::btree_set(key(), 0..6).prop_map(|set| {
                let items: Vec<Vec<u8>> = set.into_iter().collect();
                aggregate("~", items.len(), &items)
            }),
        ]
    });
    let push = prop::collection::vec(resp3_leaf(), 1..6).prop_map(|items| aggregate(">", items.len(), &items));
    prop_oneof![9 => nested, 1 => push]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn agrees_with_redis_protocol_on_resp2(bytes in resp2()) {
        let (frame, size) = decode2(&bytes).unwrap().unwrap();
        prop_assert_eq!(size, bytes.len());
        prop_assert_eq!(ours(decode(&bytes).root()), theirs2(frame));
    }

    #[test]
    fn agrees_with_redis_protocol_on_resp3(bytes in resp3()) {
        let (frame, size) = decode3(&bytes).unwrap().unwrap();
        prop_assert_eq!(size, bytes.len());
        prop_assert_eq!(ours(decode(&bytes).root()), theirs3(frame));
    }
}
