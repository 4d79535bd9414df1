//! What a topology should look like, and the configuration files that make servers look like it.

use std::path::{Path, PathBuf};

use crate::certificates::Identity;
use crate::program::Program;

/// Where the servers' own connections come from behind proxies: so a fault can be for their clients alone.
pub(crate) const SERVERS_SOURCE: &str = "127.0.0.2";
/// The first version with `bind-source-addr`.
const BIND_SOURCE_SINCE: (u32, u32) = (7, 0);
/// The first version with `enable-debug-command`; before, everybody may.
const DEBUG_COMMAND_SINCE: (u32, u32) = (7, 0);
/// The first version with rights for channels; before, everybody may hear all.
const CHANNEL_RIGHTS_SINCE: (u32, u32) = (6, 2);
/// The first version that names a password of Sentinels among each other; before, it is their own.
const SENTINEL_PASS_SINCE: (u32, u32) = (6, 2);

/// How servers speak TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// File of the authority whose client certificates are taken.
    pub ca: String,
    /// The servers' certificate and key.
    pub identity: Identity,
    /// Whether a client must have a certificate.
    pub clients_have_certificates: bool,
    /// Whether the servers speak TLS with each other too, and announce those ports.
    pub among_servers: bool,
}

/// The wish for a [`Topology`](crate::Topology): one primary and two replicas under three sentinels unless changed.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) nodes: usize,
    pub(crate) sentinels: usize,
    pub(crate) quorum: Option<usize>,
    pub(crate) service: String,
    pub(crate) fast: bool,
    pub(crate) password: Option<String>,
    pub(crate) user: Option<(String, String)>,
    pub(crate) sentinel_password: Option<String>,
    pub(crate) node_lines: Vec<String>,
    pub(crate) sentinel_lines: Vec<String>,
    pub(crate) down_after_ms: Option<u64>,
    pub(crate) failover_timeout_ms: Option<u64>,
    pub(crate) hostnames: bool,
    pub(crate) ipv6: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) proxied: bool,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) server: Option<PathBuf>,
    pub(crate) sentinel: Option<PathBuf>,
}

/// Where a server listens, and the proxy in front of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) plain: u16,
    pub(crate) tls: Option<u16>,
    pub(crate) front: Option<u16>,
}

impl Ports {
    /// The one of its own ports that others use.
    pub(crate) fn served(self, config: &Config) -> u16 {
        let tls = config.tls.as_ref().is_some_and(|tls| tls.among_servers);
        self.tls.filter(|_| tls).unwrap_or(self.plain)
    }

    /// The port by which the others know it.
    pub(crate) fn announced(self, config: &Config) -> u16 {
        self.front.unwrap_or_else(|| self.served(config))
    }
}

/// A text as one word of a configuration file.
fn quoted(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

impl Default for Config {
    fn default() -> Config {
        Config {
            nodes: 3,
            sentinels: 3,
            quorum: None,
            service: "mymaster".into(),
            fast: true,
            password: None,
            user: None,
            sentinel_password: None,
            node_lines: Vec::new(),
            sentinel_lines: Vec::new(),
            down_after_ms: None,
            failover_timeout_ms: None,
            hostnames: false,
            ipv6: false,
            tls: None,
            proxied: false,
            folder: None,
            server: None,
            sentinel: None,
        }
    }
}

impl Config {
    /// Data nodes, the first of them the primary. 3 by default.
    pub fn nodes(self, nodes: usize) -> Config {
        Config { nodes, ..self }
    }

    /// Sentinels. 3 by default.
    pub fn sentinels(self, sentinels: usize) -> Config {
        Config { sentinels, ..self }
    }

    /// How many sentinels must find the primary down. A majority by default.
    pub fn quorum(self, quorum: usize) -> Config {
        Config {
            quorum: Some(quorum),
            ..self
        }
    }

    /// The name the sentinels know the primary by. `mymaster` by default.
    pub fn service(self, service: &str) -> Config {
        Config {
            service: service.into(),
            ..self
        }
    }

    /// Whether the sentinels' timers are shortened (the default), so that a failover takes about a second.
    pub fn fast(self, fast: bool) -> Config {
        Config { fast, ..self }
    }

    /// The password of the default user on the data nodes (`requirepass`).
    pub fn password(self, password: &str) -> Config {
        Config {
            password: Some(password.into()),
            ..self
        }
    }

    /// An ACL user on the data nodes that may do everything. Without [`password`](Config::password) the default user is
    /// switched off.
    pub fn user(self, name: &str, password: &str) -> Config {
        Config {
            user: Some((name.into(), password.into())),
            ..self
        }
    }

    /// The password of the sentinels themselves.
    pub fn sentinel_password(self, password: &str) -> Config {
        Config {
            sentinel_password: Some(password.into()),
            ..self
        }
    }

    /// One more line for the configuration of every data node.
    pub fn node_line(mut self, line: &str) -> Config {
        self.node_lines.push(line.into());
        self
    }

    /// One more line for the configuration of every sentinel.
    pub fn sentinel_line(mut self, line: &str) -> Config {
        self.sentinel_lines.push(line.into());
        self
    }

    /// `down-after-milliseconds`; 500 with fast timers, else 1000. With less than 500 some failovers take a second attempt,
    /// and a busy machine sees failovers that nobody ordered.
    pub fn down_after_ms(self, milliseconds: u64) -> Config {
        Config {
            down_after_ms: Some(milliseconds),
            ..self
        }
    }

    /// `failover-timeout` in milliseconds; 2000 with fast timers, else 10000.
    pub fn failover_timeout_ms(self, milliseconds: u64) -> Config {
        Config {
            failover_timeout_ms: Some(milliseconds),
            ..self
        }
    }

    /// Lets servers announce and sentinels answer `localhost` in place of an address.
    pub fn hostnames(self, hostnames: bool) -> Config {
        Config { hostnames, ..self }
    }

    /// Uses ::1 in place of 127.0.0.1.
    pub fn ipv6(self, ipv6: bool) -> Config {
        Config { ipv6, ..self }
    }

    /// Lets every server listen for TLS too. The plain ports stay, for the laboratory itself.
    pub fn tls(self, tls: Tls) -> Config {
        Config { tls: Some(tls), ..self }
    }

    /// Puts a [`Proxy`](crate::Proxy) in front of every server, by which alone the others and the clients know it. Its
    /// faults are for clients, unless they are for everyone.
    pub fn proxied(self, proxied: bool) -> Config {
        Config { proxied, ..self }
    }

    /// The folder for that of the topology. TMPDIR's by default.
    pub fn folder(self, folder: &Path) -> Config {
        Config {
            folder: Some(folder.into()),
            ..self
        }
    }

    /// The program of the data nodes. LAB_SERVER, redis-server or valkey-server by default.
    pub fn server_program(self, path: &Path) -> Config {
        Config {
            server: Some(path.into()),
            ..self
        }
    }

    /// The program of the sentinels. LAB_SENTINEL, redis-sentinel, valkey-sentinel or that of the data nodes by default.
    pub fn sentinel_program(self, path: &Path) -> Config {
        Config {
            sentinel: Some(path.into()),
            ..self
        }
    }

    /// Whether the servers' programs are there and new enough for what is wished; otherwise what is to be done.
    pub fn check_programs(&self) -> Result<(), String> {
        let version = self.node_program()?.version()?;
        self.sentinel_program_found()?.version()?;
        match self.proxied && version < BIND_SOURCE_SINCE {
            true => Err(format!(
                "proxies need bind-source-addr, which is in {}.{} and later; this server is {}.{}",
                BIND_SOURCE_SINCE.0, BIND_SOURCE_SINCE.1, version.0, version.1
            )),
            false => Ok(()),
        }
    }

    pub(crate) fn node_program(&self) -> Result<Program, String> {
        Program::server(self.server.as_deref())
    }

    pub(crate) fn sentinel_program_found(&self) -> Result<Program, String> {
        Program::sentinel(self.sentinel.as_deref(), self.server.as_deref())
    }

    pub(crate) fn majority_or_quorum(&self) -> usize {
        self.quorum.unwrap_or(self.sentinels / 2 + 1)
    }

    pub(crate) fn down_after(&self) -> u64 {
        self.down_after_ms.unwrap_or(if self.fast { 500 } else { 1000 })
    }

    /// The host by which everything is announced.
    pub(crate) fn host(&self) -> &'static str {
        match (self.hostnames, self.ipv6) {
            (true, _) => "localhost",
            (false, true) => "::1",
            (false, false) => "127.0.0.1",
        }
    }

    /// User and password by which sentinels, replicas and the laboratory itself enter the data nodes.
    pub(crate) fn node_credentials(&self) -> Option<(Option<String>, String)> {
        let by_password = self.password.clone().map(|password| (None, password));
        by_password.or_else(|| self.user.clone().map(|(name, password)| (Some(name), password)))
    }

    /// Its folder is where the server starts: a path may be longer than a line of the file can be.
    fn common_lines(&self, ports: Ports) -> Vec<String> {
        let bind = match (self.hostnames, self.ipv6) {
            (true, _) => "127.0.0.1 -::1",
            (false, true) => "::1",
            (false, false) => "127.0.0.1",
        };
        let mut lines = vec![
            format!("port {}", ports.plain),
            format!("bind {bind}"),
            "logfile log".into(),
            "daemonize no".into(),
            "protected-mode no".into(),
        ];
        let word = |flag| if flag { "yes" } else { "no" };
        if let (Some(tls), Some(port)) = (&self.tls, ports.tls) {
            lines.push(format!("tls-port {port}"));
            lines.push(format!("tls-ca-cert-file {}", quoted(&tls.ca)));
            lines.push(format!("tls-cert-file {}", quoted(tls.identity.cert())));
            lines.push(format!("tls-key-file {}", quoted(tls.identity.key())));
            lines.push(format!("tls-auth-clients {}", word(tls.clients_have_certificates)));
            lines.push(format!("tls-replication {}", word(tls.among_servers)));
        }
        if ports.front.is_some() {
            lines.push(format!("bind-source-addr {SERVERS_SOURCE}"));
        }
        lines
    }

    /// The file of one data node; `primary` is the port to replicate from.
    pub(crate) fn node_file(&self, ports: Ports, primary: Option<u16>, version: (u32, u32)) -> String {
        let mut lines = self.common_lines(ports);
        lines.extend(["save \"\"", "appendonly no", "repl-diskless-sync yes"].map(String::from));
        lines.push("repl-diskless-sync-delay 0".into());
        if version >= DEBUG_COMMAND_SINCE {
            lines.push("enable-debug-command yes".into());
        }
        if self.hostnames {
            lines.push("replica-announce-ip localhost".into());
        }
        if let Some(front) = ports.front {
            lines.push(format!("replica-announce-ip {}", self.host()));
            lines.push(format!("replica-announce-port {front}"));
        }
        if let Some(password) = &self.password {
            lines.push(format!("requirepass {}", quoted(password)));
        }
        if let Some((name, password)) = &self.user {
            let word = quoted(&format!(">{password}"));
            lines.push(format!("user {} on {word} ~* &* +@all", quoted(name)));
            if self.password.is_none() {
                lines.push("user default off".into());
            }
        }
        if let Some((user, password)) = self.node_credentials() {
            lines.extend(user.map(|user| format!("masteruser {}", quoted(&user))));
            lines.push(format!("masterauth {}", quoted(&password)));
        }
        lines.extend(primary.map(|primary| format!("replicaof {} {primary}", self.host())));
        lines.extend(self.node_lines.iter().cloned());
        file(lines, version)
    }

    /// The file of one sentinel, which the sentinel itself will rewrite.
    pub(crate) fn sentinel_file(&self, ports: Ports, primary: u16, version: (u32, u32)) -> String {
        let (host, name) = (self.host(), quoted(&self.service));
        let default_failover = if self.fast { 2000 } else { 10_000 };
        let mut lines = self.common_lines(ports);
        if self.hostnames {
            lines.extend(["sentinel resolve-hostnames yes", "sentinel announce-hostnames yes"].map(String::from));
            lines.push("sentinel announce-ip localhost".into());
        }
        if let Some(front) = ports.front {
            lines.push(format!("sentinel announce-ip {host}"));
            lines.push(format!("sentinel announce-port {front}"));
        }
        if let Some(password) = &self.sentinel_password {
            lines.push(format!("requirepass {}", quoted(password)));
            if version >= SENTINEL_PASS_SINCE {
                lines.push(format!("sentinel sentinel-pass {}", quoted(password)));
            }
        }
        lines.push(format!(
            "sentinel monitor {name} {host} {primary} {}",
            self.majority_or_quorum()
        ));
        lines.push(format!("sentinel down-after-milliseconds {name} {}", self.down_after()));
        let failover = self.failover_timeout_ms.unwrap_or(default_failover);
        lines.push(format!("sentinel failover-timeout {name} {failover}"));
        lines.push(format!("sentinel parallel-syncs {name} {}", self.nodes.max(1)));
        if let Some((user, password)) = self.node_credentials() {
            lines.extend(user.map(|user| format!("sentinel auth-user {name} {}", quoted(&user))));
            lines.push(format!("sentinel auth-pass {name} {}", quoted(&password)));
        }
        lines.extend(self.sentinel_lines.iter().cloned());
        file(lines, version)
    }
}

/// The lines as this version understands them.
fn file(mut lines: Vec<String>, version: (u32, u32)) -> String {
    if version < CHANNEL_RIGHTS_SINCE {
        for line in lines.iter_mut().filter(|line| line.starts_with("user ")) {
            *line = line.replace(" &*", "");
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::{file, quoted};

    #[test]
    fn rights_for_channels_are_for_versions_that_have_them() {
        let lines = || vec!["user app on >& ~* &* +@all".to_owned()];
        assert_eq!(file(lines(), (6, 2)), "user app on >& ~* &* +@all\n");
        assert_eq!(file(lines(), (6, 0)), "user app on >& ~* +@all\n");
    }

    #[test]
    fn any_text_is_one_word_of_a_configuration_file() {
        assert_eq!(quoted("a b"), r#""a b""#);
        assert_eq!(quoted(r#"q"\"#), r#""q\"\\""#);
        assert_eq!(quoted("ü\n"), r#""\xc3\xbc\x0a""#);
    }
}
