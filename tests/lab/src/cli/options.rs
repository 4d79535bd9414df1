//! The options of `run`.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;
use sentinel_lab::Config;

const SERVERS: std::ops::RangeInclusive<u64> = 1..=50;

/// What is to be started.
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) tls: bool,
    pub(crate) fakes: usize,
    pub(crate) logins: Logins,
    pub(crate) command: Vec<OsString>,
}

/// What a client has to know to get in.
#[derive(Default)]
pub(crate) struct Logins {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) sentinel_password: Option<String>,
}

impl Plan {
    pub(crate) fn from(words: Vec<OsString>) -> Result<Plan, String> {
        let split = words.iter().position(|word| word == "--");
        let split = split.ok_or("`--` and a command are needed behind the options")?;
        let (options, command) = (&words[..split], &words[split + 1..]);
        if command.is_empty() {
            return Err("a command is needed behind `--`".into());
        }
        let mut plan = Plan {
            config: Config::default(),
            tls: false,
            fakes: 0,
            logins: Logins::default(),
            command: command.to_vec(),
        };
        let mut wish = Wish::default();
        let mut parser = lexopt::Parser::from_args(options);
        while let Some(word) = parser.next().map_err(|error| error.to_string())? {
            let Long(name) = word else {
                return Err(format!("{}; a command stands behind `--`", word.unexpected()));
            };
            let option = format!("--{name}");
            plan = plan.with(&option, &mut parser, &mut wish)?;
        }
        // The URL has one login: that of the user, where there is one.
        if let Some((name, password)) = wish.user.take() {
            plan.logins.user = Some(name);
            plan.logins.password = Some(password);
        }
        wish.check(&plan)?;
        Ok(plan)
    }

    fn with(mut self, option: &str, parser: &mut lexopt::Parser, wish: &mut Wish) -> Result<Plan, String> {
        let config = self.config;
        self.config = match option {
            "--nodes" => config.nodes(count(option, parser, SERVERS)?),
            "--replicas" => config.nodes(1 + count(option, parser, 0..=49)?),
            "--sentinels" => {
                wish.sentinels = count(option, parser, 0..=50)?;
                config.sentinels(wish.sentinels)
            }
            "--quorum" => {
                let quorum = count(option, parser, SERVERS)?;
                wish.quorum = Some(quorum);
                config.quorum(quorum)
            }
            "--fake-sentinels" => {
                self.fakes = count(option, parser, 0..=50)?;
                config
            }
            "--service" => config.service(&text(option, parser)?),
            "--default-timers" => config.fast(false),
            "--down-after" => config.down_after_ms(number(option, parser, 50..=600_000)?),
            "--password" => {
                let password = text(option, parser)?;
                let config = config.password(&password);
                self.logins.password = Some(password);
                config
            }
            "--user" => {
                let both = text(option, parser)?;
                let (name, password) = both
                    .split_once(':')
                    .filter(|(name, password)| !name.is_empty() && !password.is_empty())
                    .ok_or(format!("{option} takes NAME:PASSWORD"))?;
                if name.contains(' ') {
                    return Err(format!("{option}: a name of a user has no spaces: {name:?}"));
                }
                if name == "default" {
                    return Err(format!(
                        "{option}: the password of the user default is that of --password"
                    ));
                }
                wish.user = Some((name.into(), password.into()));
                config.user(name, password)
            }
            "--sentinel-password" => {
                let password = text(option, parser)?;
                let config = config.sentinel_password(&password);
                self.logins.sentinel_password = Some(password);
                config
            }
            "--hostnames" => {
                wish.names = Some(option.into());
                config.hostnames(true)
            }
            "--ipv6" => {
                wish.names = Some(option.into());
                config.ipv6(true)
            }
            "--tls" => {
                self.tls = true;
                config
            }
            "--proxy" => {
                wish.proxied = true;
                config.proxied(true)
            }
            "--node-config" => config.node_line(&text(option, parser)?),
            "--sentinel-config" => config.sentinel_line(&text(option, parser)?),
            "--server" => config.server_program(&path(option, parser)?),
            "--sentinel" => config.sentinel_program(&path(option, parser)?),
            other => return Err(format!("there is no option {other}; see --help")),
        };
        Ok(self)
    }
}

/// What is only known to go together when all is read.
struct Wish {
    sentinels: usize,
    quorum: Option<usize>,
    user: Option<(String, String)>,
    names: Option<String>,
    proxied: bool,
}

impl Default for Wish {
    fn default() -> Wish {
        let (quorum, user, names, proxied) = Default::default();
        Wish {
            sentinels: 3,
            quorum,
            user,
            names,
            proxied,
        }
    }
}

impl Wish {
    fn check(self, plan: &Plan) -> Result<(), String> {
        if let Some(quorum) = self.quorum.filter(|quorum| *quorum > self.sentinels) {
            return Err(format!(
                "--quorum {quorum} is more than there are Sentinels ({})",
                self.sentinels
            ));
        }
        if let Some(names) = self.names.filter(|_| self.proxied) {
            return Err(format!(
                "--proxy does not go with {names}: the proxies are on 127.0.0.1"
            ));
        }
        if plan.fakes > 0 && plan.tls {
            return Err("--fake-sentinels does not go with --tls: they speak none".into());
        }
        if plan.fakes > 0 && self.sentinels == 0 {
            return Err("--fake-sentinels needs --sentinels above 0: they know what those know".into());
        }
        Ok(())
    }
}

fn value(option: &str, parser: &mut lexopt::Parser) -> Result<OsString, String> {
    // The words end before `--`, so the next option is not taken for a value by mistake alone.
    let value = parser.value().map_err(|_| format!("{option} needs a value"))?;
    match value.is_empty() {
        true => Err(format!("{option}: the value is empty")),
        false => Ok(value),
    }
}

fn text(option: &str, parser: &mut lexopt::Parser) -> Result<String, String> {
    let value = value(option, parser)?;
    let text = value
        .into_string()
        .map_err(|value| format!("{option}: {value:?} is not UTF-8"))?;
    match text.chars().any(char::is_control) {
        true => Err(format!("{option}: {text:?} has control characters")),
        false => Ok(text),
    }
}

/// A program by its path, or by a name that PATH has.
fn path(option: &str, parser: &mut lexopt::Parser) -> Result<PathBuf, String> {
    let path = PathBuf::from(value(option, parser)?);
    // Servers start in folders of their own.
    let relative = path.components().count() > 1 && path.is_relative();
    match relative {
        true => std::path::absolute(&path).map_err(|error| format!("{option}: {}: {error}", path.display())),
        false => Ok(path),
    }
}

fn number(option: &str, parser: &mut lexopt::Parser, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let text = value(option, parser)?.to_string_lossy().into_owned();
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        format!(
            "{option}: {text:?} is no number from {} to {}",
            range.start(),
            range.end()
        )
    })
}

fn count(option: &str, parser: &mut lexopt::Parser, range: std::ops::RangeInclusive<u64>) -> Result<usize, String> {
    let number = number(option, parser, range)?;
    usize::try_from(number).map_err(|_| format!("{option}: {number} is too large"))
}
