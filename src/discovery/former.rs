//! The run id of the primary before: until a Sentinel has asked the new one what it is, it tells of the former under the new
//! address. Pure.

use crate::net::Endpoint;
use crate::topology::Snapshot;

/// The primary before this one.
#[derive(Debug, Default)]
pub(super) struct Former(Option<(Endpoint, String)>);

impl Former {
    /// What is known of the service now, without what was known of the former primary `before`.
    pub(super) fn without_its_run_id(&mut self, before: &Snapshot, mut view: Snapshot) -> Snapshot {
        let Some(primary) = &mut view.primary else { return view };
        if let Some(was) = before.primary.as_ref().filter(|was| was.endpoint != primary.endpoint) {
            let run_id = was.field("runid").filter(|id| !id.is_empty());
            self.0 = run_id.map(|id| (was.endpoint.clone(), id.to_owned()));
        }
        if let Some((_, run_id)) = self.0.as_ref().filter(|(at, _)| *at != primary.endpoint) {
            let is_stale = |(name, value): &(String, String)| name == "runid" && value == run_id;
            primary.fields.retain(|field| !is_stale(field));
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Node, Role};

    fn view(host: &str, run_id: &str) -> Snapshot {
        let node = Node {
            endpoint: Endpoint::new(host, 1),
            role: Role::Primary,
            fields: vec![("runid".to_owned(), run_id.to_owned())],
        };
        Snapshot {
            primary: Some(node),
            ..Snapshot::default()
        }
    }

    #[test]
    fn it_is_taken_out_until_there_is_another() {
        let (mut former, mut before) = (Former::default(), Snapshot::default());
        for (host, told, kept) in [
            ("a", "A", Some("A")),
            ("b", "A", None),
            ("b", "A", None),
            ("b", "B", Some("B")),
            ("b", "C", Some("C")),
            ("a", "C", None),
            ("a", "A", Some("A")),
        ] {
            let after = former.without_its_run_id(&before, view(host, told));
            assert_eq!(after.primary.as_ref().unwrap().field("runid"), kept, "{host} {told}");
            before = after;
        }
    }
}
