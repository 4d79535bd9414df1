//! One server process: a data node or a sentinel.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::client::Control;
use crate::ports::Port;
use crate::process::{signal, spawn_bound};
use crate::program::Program;
use crate::proxy::Proxy;
use crate::wait::wait_until;
use crate::wire::Value;

const READY_WITHIN: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Life {
    child: Option<Child>,
    stopped: bool,
    last_pid: Option<u32>,
}

impl Life {
    /// Whether the process runs, reaping it when it has ended by itself.
    fn is_alive(&mut self) -> bool {
        let ended = match &mut self.child {
            // Whoever else reaps the children of this process may have been faster.
            Some(child) => child.try_wait().map_or(true, |status| status.is_some()),
            None => return false,
        };
        if ended {
            self.child = None;
        }
        !ended
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only for a child that was reaped by others.
            child.kill().ok();
            child.wait().ok();
        }
        self.stopped = false;
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server process with its port and its folder, running or not.
pub struct Server {
    name: String,
    host: String,
    port: Port,
    /// The other of the plain port and that of TLS, where there are two.
    other: Option<Port>,
    plain: u16,
    front: Option<Proxy>,
    dir: PathBuf,
    program: Program,
    credentials: Option<(Option<String>, String)>,
    after_start: Mutex<Vec<Vec<String>>>,
    life: Mutex<Life>,
}

impl Server {
    pub(crate) fn new(name: String, host: &str, port: Port, dir: PathBuf, program: Program) -> Server {
        let (after_start, life) = Default::default();
        Server {
            name,
            host: host.into(),
            plain: port.number(),
            port,
            other: None,
            front: None,
            dir,
            program,
            credentials: None,
            after_start,
            life,
        }
    }

    /// With a second port; `plain` is the one on which it speaks no TLS.
    pub(crate) fn with_other_port(self, other: Option<Port>, plain: u16) -> Server {
        Server { other, plain, ..self }
    }

    /// Known to others by a proxy alone.
    pub(crate) fn behind(self, front: Option<Proxy>) -> Server {
        Server { front, ..self }
    }

    pub(crate) fn with_credentials(self, credentials: Option<(Option<String>, String)>) -> Server {
        Server { credentials, ..self }
    }

    /// Commands to send whenever the process was started; their errors are ignored.
    pub(crate) fn send_after_start(&self, commands: Vec<Vec<String>>) {
        *self.after_start.lock().expect("no panic happens under this lock") = commands;
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The host the sentinels know it by.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port by which others know it, the same after a restart.
    pub fn port(&self) -> u16 {
        self.front.as_ref().map_or_else(|| self.port.number(), Proxy::port)
    }

    /// The proxy in front of it, where there are any.
    pub fn front(&self) -> Option<&Proxy> {
        self.front.as_ref()
    }

    /// What it is called in the topology, as its folder is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port of TLS when [`port`](Server::port) is plain, and the other way round; the same where there is no TLS.
    pub fn other_port(&self) -> u16 {
        self.other.as_ref().map_or(self.port(), Port::number)
    }

    /// Host and port as one argument, IPv6 in brackets.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port())
        } else {
            format!("{}:{}", self.host, self.port())
        }
    }

    /// The folder with configuration, `log` and `output`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        let mut life = self.life();
        if life.is_alive() {
            life.child.as_ref().map(Child::id)
        } else {
            None
        }
    }

    /// The process id it has or had last.
    pub fn last_pid(&self) -> Option<u32> {
        self.life().last_pid
    }

    /// Whether the process runs and is not stopped by [`stop`](Server::stop).
    pub fn is_responsive(&self) -> bool {
        let mut life = self.life();
        life.is_alive() && !life.stopped
    }

    /// Whether the process is stopped by [`stop`](Server::stop).
    pub fn is_stopped(&self) -> bool {
        let mut life = self.life();
        life.is_alive() && life.stopped
    }

    /// A connection that has authenticated, with `timeout` for each reply.
    pub fn connect(&self, timeout: Duration) -> io::Result<Control> {
        let mut control = Control::connect_within((self.host.as_str(), self.plain), timeout)?;
        if let Some((user, password)) = &self.credentials {
            let mut command = vec!["AUTH"];
            command.extend(user.as_deref());
            command.push(password);
            control.try_ask(&command)?;
        }
        Ok(control)
    }

    /// Asks on a connection of its own; panics when there is no reply within 5 s. Asks once more when the connection is
    /// lost: a Sentinel that turns a node into a replica cuts all of its clients.
    #[track_caller]
    pub fn ask(&self, args: &[&str]) -> Value {
        let patience = Duration::from_secs(5);
        let again = |error: io::Error| match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                self.try_ask(patience, args)
            }
            _ => Err(error),
        };
        match self.try_ask(patience, args).or_else(again) {
            Ok(value) => value,
            Err(error) => panic!("{} gives no reply to {args:?}: {error}\n{}", self.name, self.log_tail()),
        }
    }

    /// Asks on a connection of its own, or says why there is no reply within `timeout`.
    pub fn try_ask(&self, timeout: Duration, args: &[&str]) -> io::Result<Value> {
        self.connect(timeout)?.try_ask(args)
    }

    /// Starts the process, which must not run, and waits until it answers.
    pub(crate) fn start(&self) -> Result<(), String> {
        let output = File::create(self.dir.join("output")).expect("create the server's output file; is the disk full?");
        let mut command = Command::new(&self.program.path);
        command
            .arg(self.dir.join("conf"))
            .current_dir(&self.dir)
            .stdin(Stdio::null());
        if self.program.sentinel_flag {
            command.arg("--sentinel");
        }
        command
            .stdout(output.try_clone().expect("share the output file"))
            .stderr(output);
        // A Ctrl-C in the terminal is not meant for the servers.
        command.process_group(0);
        let child = spawn_bound(command)
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.path.display()));
        let mut life = self.life();
        *life = Life {
            last_pid: Some(child.id()),
            child: Some(child),
            stopped: false,
        };
        drop(life);
        self.wait_until_it_answers()?;
        self.tell_after_start();
        if let Some(front) = &self.front {
            front.listen();
        }
        Ok(())
    }

    fn wait_until_it_answers(&self) -> Result<(), String> {
        let started = Instant::now();
        loop {
            // An error such as -NOAUTH or -LOADING is an answer too.
            if self.try_ask(Duration::from_secs(2), &["PING"]).is_ok() {
                return Ok(());
            }
            if !self.life().is_alive() {
                return Err(format!(
                    "{} ended right after its start\n{}",
                    self.name,
                    self.log_tail()
                ));
            }
            if started.elapsed() > READY_WITHIN {
                return Err(format!(
                    "{} does not answer after {READY_WITHIN:?}\n{}",
                    self.name,
                    self.log_tail()
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn tell_after_start(&self) {
        for command in self
            .after_start
            .lock()
            .expect("no panic happens under this lock")
            .iter()
        {
            let args: Vec<&str> = command.iter().map(String::as_str).collect();
            self.ask(&args);
        }
    }

    /// Kills the process with SIGKILL and reaps it. Nothing happens when it does not run.
    pub fn kill(&self) {
        self.life().end();
        if let Some(front) = &self.front {
            front.shut();
        }
    }

    /// Freezes the process with SIGSTOP and waits until the kernel has done it.
    #[track_caller]
    pub fn stop(&self) {
        let pid = self.signal(libc::SIGSTOP);
        let mut life = self.life();
        life.stopped = true;
        drop(life);
        wait_until("a server to be stopped by SIGSTOP", Duration::from_secs(5), || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')')
                .is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
        });
    }

    /// Lets a stopped process go on (SIGCONT).
    #[track_caller]
    pub fn cont(&self) {
        self.signal(libc::SIGCONT);
        self.life().stopped = false;
    }

    /// Asks the process to shut down (SIGTERM) and returns at once; see [`wait_exit`](Server::wait_exit).
    #[track_caller]
    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Waits until the process has ended by itself.
    #[track_caller]
    pub fn wait_exit(&self, timeout: Duration) {
        wait_until(&format!("the end of {}", self.name), timeout, || {
            !self.life().is_alive()
        });
    }

    /// Starts the process again on the same port with the same configuration file (kills it first when it runs) and waits
    /// until it answers.
    #[track_caller]
    pub fn restart(&self) {
        self.kill();
        if let Err(problem) = self.start() {
            panic!("{problem}");
        }
    }

    #[track_caller]
    fn signal(&self, number: libc::c_int) -> u32 {
        let Some(pid) = self.pid() else {
            panic!("{} does not run, so it cannot get signal {number}", self.name)
        };
        assert!(
            signal(pid, number),
            "{} (pid {pid}) does not take signal {number}",
            self.name
        );
        pid
    }

    /// The last lines of the log and of what the process printed, under a title.
    pub fn log_tail(&self) -> String {
        let mut text = format!("--- {} on {}, {}\n", self.name, self.address(), self.dir.display());
        for file in ["output", "log"] {
            let content = fs::read_to_string(self.dir.join(file)).unwrap_or_default();
            let lines: Vec<&str> = content.lines().collect();
            for line in &lines[lines.len().saturating_sub(20)..] {
                text.push_str(&format!("    {line}\n"));
            }
        }
        text
    }

    /// How the process ended, when it has ended and was not yet reaped by another method: exit code or signal.
    pub fn try_exit(&self) -> Option<Result<i32, i32>> {
        let mut life = self.life();
        let status = life.child.as_mut()?.try_wait().expect("wait for the own child")?;
        life.child = None;
        Some(status.code().ok_or_else(|| status.signal().unwrap_or_default()))
    }
}
