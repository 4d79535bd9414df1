//! Options: Sentinels, the default service, and values by key, with three doors (text, integer, secret) and a URL form.

#[cfg(test)]
mod handle_tests;
mod keys;
mod settings;
#[cfg(test)]
mod tests;
mod url;
#[cfg(test)]
mod url_tests;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use keys::{KEYS, Key, Kind, Scope, keys};
pub use settings::{ClientSettings, DeploymentSettings, Foresee, Select};
pub use value::Shown;
use value::Value;

use crate::base::error::{Error, ErrorKind, Result};
use crate::net::endpoint::check_host;
use crate::net::{Endpoint, Secret};

/// Receives log lines: the level (1 error to 5 trace) and the line.
pub type LogHook = Arc<dyn Fn(i32, &str) + Send + Sync>;

/// The most detailed log level.
const MAX_LOG_LEVEL: i32 = 5;

/// What `sentinel_open` and the overrides of a client are given. One thread at a time.
///
/// Setting a key again replaces its value; an empty text or secret sets it to none. Nothing is changed by a call that
/// fails.
#[derive(Clone, Default)]
pub struct Options {
    sentinels: Vec<Endpoint>,
    service: Option<String>,
    values: BTreeMap<&'static str, Value>,
    log_level: i32,
    log_hook: Option<LogHook>,
}

impl Options {
    /// No Sentinel, every key at its default.
    pub fn new() -> Options {
        Options::default()
    }

    /// Adds a Sentinel; one that is there already is kept once.
    pub fn add_sentinel(&mut self, host: &str, port: u16) -> Result<()> {
        check_host(host).map_err(|problem| Error::invalid("host", problem))?;
        if port == 0 {
            return Err(Error::invalid("port", "0 is not a port from 1 to 65535"));
        }
        self.add_endpoint(Endpoint::new(host, port));
        Ok(())
    }

    fn add_endpoint(&mut self, sentinel: Endpoint) {
        if !self.sentinels.contains(&sentinel) {
            self.sentinels.push(sentinel);
        }
    }

    /// Sets a key from text, whatever it takes.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let key = keys::find(key)?;
        self.values.insert(key.name, key.value_of_text(value)?);
        Ok(())
    }

    /// Sets a key that takes an integer.
    pub fn set_int(&mut self, key: &str, value: i64) -> Result<()> {
        let key = keys::find(key)?;
        self.values.insert(key.name, key.value_of_int(value)?);
        Ok(())
    }

    /// Sets a password, which may be any bytes, or a user name.
    pub fn set_secret(&mut self, key: &str, value: &[u8]) -> Result<()> {
        let key = keys::find(key)?;
        self.values.insert(key.name, key.value_of_secret(value)?);
        Ok(())
    }

    /// Sends log lines up to `max_level` (0 off, 1 error, 2 warning, 3 info, 4 debug, 5 trace) to `hook`.
    pub fn set_log(&mut self, max_level: i32, hook: Option<LogHook>) -> Result<()> {
        if !(0..=MAX_LOG_LEVEL).contains(&max_level) {
            return Err(Error::invalid(
                "max_level",
                format!("{max_level} is not a level from 0 to {MAX_LOG_LEVEL}"),
            ));
        }
        (self.log_level, self.log_hook) = (max_level, hook);
        Ok(())
    }

    /// The Sentinels given, each once, in the order they were given.
    pub fn sentinels(&self) -> &[Endpoint] {
        &self.sentinels
    }

    /// The same, at least one.
    pub fn given_sentinels(&self) -> Result<&[Endpoint]> {
        if self.sentinels.is_empty() {
            return Err(Error::invalid(
                "options",
                "no Sentinel: call sentinel_options_add_sentinel",
            ));
        }
        Ok(&self.sentinels)
    }

    /// The service that the URL named: the default where a service may be left out.
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The most detailed level to be logged and the hook; 0 without a hook.
    pub fn log(&self) -> (i32, Option<&LogHook>) {
        match &self.log_hook {
            Some(hook) => (self.log_level, Some(hook)),
            None => (0, None),
        }
    }

    /// These options with those that `overrides` sets in their place. What belongs to the deployment alone (its keys,
    /// a Sentinel, a log hook) is refused in `overrides`.
    pub fn overridden_by(&self, overrides: &Options) -> Result<Options> {
        let misplaced =
            |what: &str| Error::invalid(what, "it belongs to sentinel_open, not to the overrides of a client");
        if !overrides.sentinels.is_empty() {
            return Err(misplaced("a Sentinel's address"));
        }
        if overrides.log_hook.is_some() {
            return Err(misplaced("the log hook"));
        }
        let mut all = self.clone();
        for (name, value) in &overrides.values {
            if keys::find(name)?.scope == Scope::Deployment {
                return Err(misplaced(name));
            }
            all.values.insert(name, value.clone());
        }
        Ok(all)
    }

    /// Every key with its value in force, secrets not shown.
    pub fn shown(&self) -> Result<Vec<(&'static str, Shown)>> {
        let shown = |key: &Key| Ok((key.name, Shown::of(&self.value(key.name)?)));
        keys().iter().map(shown).collect()
    }

    /// The keys that were set, with their values, secrets not shown.
    pub fn shown_if_set(&self) -> Vec<(&'static str, Shown)> {
        self.values
            .iter()
            .map(|(name, value)| (*name, Shown::of(value)))
            .collect()
    }

    /// Whether they say by whom the data nodes are entered.
    pub fn have_login(&self) -> bool {
        self.values.contains_key("username") || self.values.contains_key("password")
    }

    fn value(&self, name: &str) -> Result<Value> {
        match self.values.get(name) {
            Some(value) => Ok(value.clone()),
            None => keys::find(name).and_then(|key| key.value_of_text(key.default)),
        }
    }

    fn int(&self, name: &str) -> Result<i64> {
        match self.value(name)? {
            Value::Int(number) => Ok(number),
            _ => Err(mismatch(name)),
        }
    }

    /// The text of a key; none when it is empty.
    fn text(&self, name: &str) -> Result<Option<String>> {
        match self.value(name)? {
            Value::Text(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            _ => Err(mismatch(name)),
        }
    }

    /// The secret of a key; none when it is empty.
    fn secret(&self, name: &str) -> Result<Option<Secret>> {
        match self.value(name)? {
            Value::Secret(secret) => Ok(Some(secret).filter(|secret| !secret.as_bytes().is_empty())),
            _ => Err(mismatch(name)),
        }
    }
}

/// The table and the settings disagree about a key; the tests read every key once.
fn mismatch(name: &str) -> Error {
    Error::new(ErrorKind::Internal {
        problem: format!("{name} was read as something it is not"),
    })
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("sentinels", &self.sentinels)
            .field("service", &self.service)
            .field("values", &self.values)
            .field("log_level", &self.log_level)
            .field("log_hook", &self.log_hook.is_some())
            .finish()
    }
}
