//! In what a reply of RESP2 differs from that of RESP3 beyond the types: which servers decide command by command. Pure.

/// What is to be known of a command, so that its reply from a connection that speaks RESP3 becomes that of RESP2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Form {
    pub(super) nest: Nest,
    pub(super) nil: Nil,
}

/// How pairs are nested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Nest {
    /// As they are; a map becomes a list of keys and values.
    #[default]
    Usual,
    /// A list of pairs becomes one list.
    Flat,
    /// A map becomes a list of pairs.
    Pairs,
}

/// Which nils are spelt as that of an array, `*-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Nil {
    /// None.
    #[default]
    Bulk,
    /// The reply itself.
    Root,
    /// The elements.
    Elements,
    /// The fourth element.
    Fourth,
    /// The reply itself, and what stands in place of the fields of an entry.
    Entries,
}

impl Nil {
    /// Whether a nil at this depth and place is spelt so.
    pub(super) fn is_array(self, depth: u32, place: usize) -> bool {
        match self {
            Nil::Bulk => false,
            Nil::Root => depth == 0,
            Nil::Elements => depth == 1,
            Nil::Fourth => depth == 1 && place == 3,
            Nil::Entries => depth == 0 || depth > 1,
        }
    }
}

/// Commands whose list of members and scores is flat in RESP2.
const FLAT: [&[u8]; 11] = [
    b"ZRANGE",
    b"ZREVRANGE",
    b"ZRANGEBYSCORE",
    b"ZREVRANGEBYSCORE",
    b"ZUNION",
    b"ZINTER",
    b"ZDIFF",
    b"ZRANDMEMBER",
    b"ZPOPMIN",
    b"ZPOPMAX",
    b"HRANDFIELD",
];

/// Commands that answer nothing at all by the nil of an array. XRANGE is asked for nothing by `COUNT 0`.
const ROOT: [&[u8]; 12] = [
    b"BLPOP",
    b"BRPOP",
    b"BZPOPMIN",
    b"BZPOPMAX",
    b"BLMPOP",
    b"BZMPOP",
    b"LMPOP",
    b"ZMPOP",
    b"BLMOVE",
    b"BRPOPLPUSH",
    b"XRANGE",
    b"XREVRANGE",
];

/// The same within a transaction, where nothing waits: these two answer then as LMOVE does.
pub(super) fn form_within(args: &[&[u8]]) -> Form {
    let name = args.first().copied().unwrap_or_default();
    let moves = [b"BLMOVE".as_slice(), b"BRPOPLPUSH"];
    match moves.iter().any(|other| name.eq_ignore_ascii_case(other)) {
        true => Form::default(),
        false => form(args),
    }
}

/// The form of the reply to a command.
pub(super) fn form(args: &[&[u8]]) -> Form {
    let name = args.first().copied().unwrap_or_default();
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    let is_one = |others: &[&[u8]]| others.iter().any(|other| is(other));
    // With a count, with a score.
    let (counts, ranks) = (is(b"LPOP") || is(b"RPOP"), is(b"ZRANK") || is(b"ZREVRANK"));
    let (nest, nil) = if is_one(&FLAT) {
        (Nest::Flat, Nil::Bulk)
    } else if is_one(&ROOT) {
        (Nest::Usual, Nil::Root)
    } else if is(b"XREAD") || is(b"XREADGROUP") {
        (Nest::Pairs, Nil::Entries)
    } else if (counts && args.len() > 2) || (ranks && args.len() > 3) {
        (Nest::Usual, Nil::Root)
    } else if is(b"GEOPOS") {
        (Nest::Usual, Nil::Elements)
    } else if is(b"XPENDING") {
        (Nest::Usual, Nil::Fourth)
    } else {
        (Nest::Usual, Nil::Bulk)
    };
    Form { nest, nil }
}
