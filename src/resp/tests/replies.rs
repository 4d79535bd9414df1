//! What a reply and a builder promise to the layers above.

use super::super::{Builder, Kind, Node, Reply, Value, View};
use super::{check, decode, shape};

const NESTED: &[u8] =
    b"*4\r\n:1\r\n%2\r\n+a\r\n*2\r\n:2\r\n:3\r\n$1\r\nb\r\n_\r\n~0\r\n*2\r\n*1\r\n=6\r\nmkd:hi\r\n,0.5\r\n";

#[test]
fn node_has_the_layout_of_the_header() {
    assert_eq!(size_of::<Node>(), 48);
    let offsets = [
        std::mem::offset_of!(Node, kind),
        std::mem::offset_of!(Node, depth),
        std::mem::offset_of!(Node, len),
        std::mem::offset_of!(Node, data),
        std::mem::offset_of!(Node, integer),
        std::mem::offset_of!(Node, number),
    ];
    assert_eq!(offsets, [0, 4, 8, 16, 24, 32]);
}

#[test]
fn kinds_have_their_numbers_for_ever() {
    use Kind::*;
    let kinds = [
        Nil, Status, String, Integer, Double, Bool, Array, Map, Set, Verbatim, BigNumber, Push, Error,
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        assert_eq!(kind as usize, number);
    }
}

#[test]
fn replies_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Reply>();
    shared::<Value<'_>>();
}

#[test]
fn finds_children_of_nested_aggregates() {
    let reply = decode(NESTED);
    assert_eq!(reply.kind(), Kind::Array);
    assert_eq!(reply.len(), 4);
    let map = reply.at(1).unwrap();
    assert_eq!((map.kind(), map.len()), (Kind::Map, 2));
    assert_eq!(map.key_at(0).unwrap().data(), b"a");
    assert_eq!(map.value_at(0).unwrap().at(1).unwrap().integer(), 3);
    assert_eq!(map.key_at(1).unwrap().data(), b"b");
    assert!(map.value_at(1).unwrap().is_nil());
    assert!(map.key_at(2).is_none() && map.value_at(2).is_none());
    assert!(map.at(3).unwrap().is_nil());
    assert!(map.get(b"b").unwrap().is_nil());
    assert_eq!(map.get(b"a").unwrap().len(), 2);
    assert!(map.get(b"c").is_none());
    assert!(reply.at(2).unwrap().is_empty());
    let last = reply.at(3).unwrap();
    let verbatim = last.at(0).unwrap().at(0).unwrap();
    assert_eq!(
        (verbatim.data(), verbatim.verbatim_format()),
        (&b"hi"[..], Some(&b"mkd"[..]))
    );
    assert_eq!(last.at(1).unwrap().double(), 0.5);
    assert!(reply.at(4).is_none() && reply.at(usize::MAX).is_none() && reply.key_at(0).is_none());
    assert_eq!(reply.elements().count(), 4);
    assert_eq!(map.elements().map(|value| value.kind()).collect::<Vec<_>>().len(), 4);
}

#[test]
fn get_finds_the_first_of_equal_keys_and_no_key_without_bytes() {
    let reply = decode(b"%4\r\n:1\r\n:0\r\n+k\r\n:1\r\n$1\r\nk\r\n:2\r\n$0\r\n\r\n:3\r\n");
    assert_eq!(reply.get(b"k").unwrap().integer(), 1);
    assert_eq!(reply.get(b"").unwrap().integer(), 3);
    assert!(decode(b"*2\r\n+k\r\n:1\r\n").get(b"k").is_none());
}

#[test]
fn every_node_leads_to_the_head_and_the_parts_are_the_reply() {
    for bytes in [
        NESTED,
        format!("*2\r\n*1\r\n$40000\r\n{}\r\n+x\r\n", "a".repeat(40_000)).as_bytes(),
    ] {
        let reply = decode(bytes);
        let all = reply.view().nodes_with_head();
        for node in reply.nodes() {
            let position = all.iter().position(|other| std::ptr::eq(other, node)).unwrap();
            assert!(std::ptr::eq(&all[position - node.index as usize], &all[0]));
            assert!(std::ptr::eq(reply.value(node.index).unwrap().node(), node));
        }
        assert!(reply.value(0).is_none() && reply.value(u32::MAX).is_none());
        let (shown, count) = (format!("{reply:?}"), reply.nodes().len());
        let (nodes, rest) = reply.into_parts();
        let view = View::new(&nodes, rest.as_deref());
        assert_eq!(format!("{:?}", view.value(1).unwrap()), shown);
        assert_eq!(view.nodes_with_head().len(), count + 1);
    }
}

#[test]
fn a_reply_under_4_kib_is_one_allocation() {
    let list = format!(
        "*50\r\n{}",
        "$60\r\n012345678901234567890123456789012345678901234567890123456789\r\n".repeat(50)
    );
    for bytes in [
        b"+OK\r\n".as_slice(),
        b"$5\r\nhello\r\n",
        b":1\r\n",
        NESTED,
        list.as_bytes(),
    ] {
        assert_eq!(decode(bytes).allocations(), 1);
    }
}

#[test]
fn moves_without_its_addresses() {
    let reply = decode(b"$5\r\nhello\r\n");
    let address = reply.root().node().data;
    let boxed = Box::new(reply);
    assert_eq!((boxed.root().node().data, boxed.data()), (address, &b"hello"[..]));
}

#[test]
fn small_replies_hold_no_more_bytes_than_they_need() {
    assert_eq!(decode(b":1\r\n").bytes_held(), 0);
    assert_eq!(decode(b"*2\r\n:1\r\n_\r\n").bytes_held(), 0);
    // Whole nodes of 48 bytes.
    assert_eq!(decode(b"$5\r\nhello\r\n").bytes_held(), 48);
    assert_eq!(decode(b"=9\r\ntxt:hello\r\n").bytes_held(), 48);
    assert_eq!(decode(b"*2\r\n:1\r\n+OK\r\n").bytes_held(), 48);
}

#[test]
fn builds_what_the_decoder_reads() {
    let mut builder = Builder::new();
    builder.array(7).status(b"OK").string(b"").error(b"ERR x").integer(-3);
    builder.map(2).boolean(true).set(0).nil().double(0.25);
    builder.set(1).push(1).string(b"\0\r\n").array(0);
    let built = builder.finish().unwrap();
    check(&built);
    assert_eq!(
        format!("{built:?}"),
        "Array[7] Status(\"OK\") String(\"\") Error(\"ERR x\") Integer(-3) Map[2] Bool(1) Set[0] Nil \
         Double(\"0.25\") Set[1] Push[1] String(\"\\x00\\r\\n\") Array[0]"
    );
    assert_eq!(built.at(5).unwrap().at(0).unwrap().at(0).unwrap().data(), b"\0\r\n");
}

#[test]
fn builds_doubles_with_a_text_that_means_them() {
    for value in [
        0.0,
        1.0,
        -2.5,
        1e300,
        1e-300,
        123_456_789.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        let mut builder = Builder::new();
        builder.double(value);
        let reply = builder.finish().unwrap();
        assert_eq!(decode(format!(",{}\r\n", reply.text()).as_bytes()).double(), value);
        assert!(reply.data().len() < 25);
    }
    let mut builder = Builder::new();
    builder.double(f64::NAN);
    assert_eq!(builder.finish().unwrap().data(), b"nan");
}

#[test]
fn copies_whole_subtrees() {
    let original = decode(NESTED);
    let mut builder = Builder::new();
    builder.copy(original.root());
    let copy = builder.finish().unwrap();
    check(&copy);
    assert_eq!(shape(&copy), shape(&original));
    let mut builder = Builder::new();
    builder
        .array(2)
        .copy(original.at(1).unwrap())
        .copy(original.at(3).unwrap());
    let parts = builder.finish().unwrap();
    check(&parts);
    assert_eq!(
        format!("{parts:?}"),
        "Array[2] Map[2] Status(\"a\") Array[2] Integer(2) Integer(3) String(\"b\") Nil Array[2] Array[1] \
         Verbatim(\"hi\") Double(\"0.5\")"
    );
}

#[test]
fn finishes_only_complete_trees() {
    assert!(Builder::new().finish().is_none());
    let mut short = Builder::new();
    short.array(2).integer(1);
    assert!(short.finish().is_none());
    let mut odd = Builder::new();
    odd.map(1).integer(1);
    assert!(odd.finish().is_none());
    let mut long = Builder::new();
    long.array(1).integer(1).integer(2);
    assert!(long.finish().is_none());
    let mut empty = Builder::new();
    empty.array(0);
    assert!(empty.finish().is_some());
}

#[test]
fn debug_is_bounded() {
    let reply = decode(format!("*1000\r\n{}", ":1\r\n".repeat(1000)).as_bytes());
    assert!(format!("{reply:?}").len() < 2000 && format!("{reply:?}").ends_with("..."));
    let reply = decode(format!("$1000\r\n{}\r\n", "x".repeat(1000)).as_bytes());
    assert!(format!("{reply:?}").len() < 200);
}
