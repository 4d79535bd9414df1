//! Whose word an error inside a reply is: what it promises depends on that, and not on its text.

/// Whose word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Said {
    /// Of whoever wrote it: a script, a function, a module, or the server.
    BySomebody = 0,
    /// The server's own: it executed nothing.
    ByServer = 1,
    /// The library's: the command was not sent.
    NotSent = 2,
    /// The library's: it was cut off before the reply came.
    CutOff = 3,
}

impl Said {
    /// From its number; what is none says the least.
    pub(super) fn of(number: u32) -> Said {
        [Said::ByServer, Said::NotSent, Said::CutOff]
            .into_iter()
            .find(|said| *said as u32 == number)
            .unwrap_or(Said::BySomebody)
    }
}
