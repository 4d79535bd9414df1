//! What the command finds in its environment.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sentinel_lab::{Authority, Topology};

use super::options::Logins;

/// All that a URL may hold as it is.
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the servers are.
pub(crate) struct Addresses {
    pub(crate) service: String,
    pub(crate) sentinels: Vec<String>,
    pub(crate) nodes: Vec<String>,
}

impl Addresses {
    /// Scripted sentinels stand first: many clients believe the first that answers.
    pub(crate) fn of(topology: &Topology, fakes: &[String]) -> Addresses {
        let shown = |servers: Vec<(String, u16)>| -> Vec<String> {
            let one = |(host, port): (String, u16)| match host.contains(':') {
                true => format!("[{host}]:{port}"),
                false => format!("{host}:{port}"),
            };
            servers.into_iter().map(one).collect()
        };
        let mut sentinels = fakes.to_vec();
        sentinels.extend(shown(topology.sentinels()));
        Addresses {
            service: topology.service().into(),
            sentinels,
            nodes: shown(topology.nodes()),
        }
    }

    /// Names and values.
    pub(crate) fn variables(&self, logins: &Logins, authority: Option<&Authority>) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("SERVICE", self.service.clone()),
            ("SENTINELS", self.sentinels.join(",")),
            ("NODES", self.nodes.join(",")),
            ("SENTINEL_URL", self.url(logins, authority)),
        ];
        variables.extend(authority.map(|authority| ("TLS_CA_FILE", authority.ca())));
        variables
    }

    /// The URL that libsentinel takes.
    fn url(&self, logins: &Logins, authority: Option<&Authority>) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, IN_URL).to_string();
        let login = match (&logins.user, &logins.password) {
            (user, Some(password)) => {
                format!(
                    "{}:{}@",
                    user.as_deref().map(encoded).unwrap_or_default(),
                    encoded(password)
                )
            }
            _ => String::new(),
        };
        let mut query = Vec::new();
        if let Some(authority) = authority {
            let file = encoded(&authority.ca());
            query.push(format!("tls.ca_file={file}"));
            query.push(format!("sentinel.tls.ca_file={file}"));
        }
        let password = logins.sentinel_password.as_deref();
        query.extend(password.map(|password| format!("sentinel.password={}", encoded(password))));
        let query = match query.is_empty() {
            true => String::new(),
            false => format!("?{}", query.join("&")),
        };
        let scheme = if authority.is_some() {
            "rediss+sentinel"
        } else {
            "redis+sentinel"
        };
        let (sentinels, service) = (self.sentinels.join(","), encoded(&self.service));
        format!("{scheme}://{login}{sentinels}/{service}{query}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_has_what_a_client_needs_to_get_in() {
        let addresses = Addresses {
            service: "a b".into(),
            sentinels: vec!["127.0.0.1:1".into(), "[::1]:2".into()],
            nodes: Vec::new(),
        };
        let plain = addresses.url(&Logins::default(), None);
        assert_eq!(plain, "redis+sentinel://127.0.0.1:1,[::1]:2/a%20b");
        let logins = Logins {
            user: Some("app".into()),
            password: Some("p@ss/:".into()),
            sentinel_password: Some("s&3".into()),
        };
        assert_eq!(
            addresses.url(&logins, None),
            "redis+sentinel://app:p%40ss%2F%3A@127.0.0.1:1,[::1]:2/a%20b?sentinel.password=s%263"
        );
    }
}
