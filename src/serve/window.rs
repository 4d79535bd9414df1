//! How much may be asked of the nodes on behalf of a peer before it has read what it asked for. Pure.
//!
//! What waits for the peer and what may still come shall fit into `max_reply_bytes` together. How large a reply will be
//! nobody knows: as large as the largest of late. Where that was wrong the replies are counted as they come, and the
//! peer loses its stream; where it was right, one that reads gets all however much it asks for at once.

/// What a reply is taken to have before one was seen, at most.
const UNSEEN: usize = 1 << 20;
/// With each reply that is smaller, what the next one is taken to have shrinks by this part.
const PART: usize = 8;

/// Of one peer.
#[derive(Debug)]
pub(super) struct Window {
    most: usize,
    /// Bytes of a reply, as far as anybody can know.
    reply: usize,
}

impl Window {
    /// For replies of `most` bytes together.
    pub(super) fn new(most: usize) -> Window {
        Window {
            most,
            reply: most.min(UNSEEN),
        }
    }

    /// A reply has come.
    pub(super) fn saw(&mut self, bytes: usize) {
        self.reply = bytes.max(self.reply - self.reply.div_ceil(PART));
    }

    /// Whether one more may be asked for, beside so many that are, while so many bytes wait for the peer. One may always be,
    /// where there is nothing else.
    pub(super) fn admits(&self, asked: usize, waiting: usize) -> bool {
        let due = self.reply.saturating_mul(asked + 1);
        (asked == 0 && waiting == 0) || waiting.saturating_add(due) <= self.most
    }

    /// What comes while so many bytes wait has fewer than this, but for the last reply: 0 where not one may come.
    pub(super) fn room(&self, waiting: usize) -> usize {
        self.most.saturating_add(1).saturating_sub(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(window: &Window, waiting: usize) -> usize {
        (0..).find(|asked| !window.admits(*asked, waiting)).unwrap()
    }

    #[test]
    fn what_may_come_fits_beside_what_waits() {
        let mut window = Window::new(1000);
        assert_eq!(open(&window, 0), 1, "nothing is known yet");
        window.saw(100);
        for _ in 0..100 {
            window.saw(10);
        }
        assert_eq!((open(&window, 0), open(&window, 500), open(&window, 991)), (100, 50, 0));
        assert_eq!((window.room(0), window.room(1000), window.room(1001)), (1001, 1, 0));
        window.saw(400);
        assert_eq!(
            (open(&window, 0), open(&window, 601)),
            (2, 0),
            "a large one counts at once"
        );
        window.saw(10);
        assert_eq!(open(&window, 0), 2, "and is not forgotten with the next");
    }

    #[test]
    fn one_may_always_be_asked_for_where_nothing_waits() {
        let mut window = Window::new(100);
        window.saw(5000);
        assert_eq!((open(&window, 0), open(&window, 1)), (1, 0));
        (0..1000).for_each(|_| window.saw(0));
        assert!(window.admits(1_000_000, 100), "nothing costs nothing");
        assert!(
            Window::new(512 << 20).admits(500, 0),
            "who reads is not slowed down at first"
        );
    }
}
