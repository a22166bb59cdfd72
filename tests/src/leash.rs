//! A process on a leash: it dies with the test that started it, even when that one is killed.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The shell becomes the program (same pid); its subshell waits for the end of the leash, our pipe, and then kills it
/// if it is still the subshell's parent, so that a pid in use by another is never hit. Last it removes the directory
/// that nobody else is left to remove.
const LEASH: &str = r#"
p=$$ dir=$1
shift
exec 3<&0
(
    read -r _ <&3
    read -r _ _ _ parent _ </proc/self/stat
    if [ "$parent" = "$p" ]; then
        kill -9 "$p"
        [ -z "$dir" ] || { sleep 0.2; rm -rf "$dir"; }
    fi
) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-"#;

/// A running program whose outputs go to files: `FILE` and `FILE.err`.
pub struct Leashed {
    name: String,
    child: Child,
    leash: Option<ChildStdin>,
    // Open, so that they can be read when their directory is gone.
    stdout: File,
    stderr: File,
    ended: Option<ExitStatus>,
}

impl Leashed {
    /// Starts `command`; its outputs replace the files `output` and `output.err`.
    pub fn start(command: &Command, output: impl Into<PathBuf>) -> Result<Self> {
        Self::start_in(command, output, Path::new(""))
    }

    /// The same for a program in a static, which nobody drops: when this process ends, `dir` is removed as well.
    pub fn start_in(command: &Command, output: impl Into<PathBuf>, dir: &Path) -> Result<Self> {
        let mut errors = output.into().into_os_string();
        let stdout = create(Path::new(&errors))?;
        errors.push(".err");
        let stderr = create(Path::new(&errors))?;
        let name = program_name(command);
        let mut leashed = on_leash(command, dir);
        leashed
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?);
        let mut child = leashed
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let leash = child.stdin.take();
        Ok(Self {
            name,
            child,
            leash,
            stdout,
            stderr,
            ended: None,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far, its results.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it printed so far to stderr: its log.
    pub fn errors(&self) -> String {
        read(&self.stderr)
    }

    /// What it printed so far, all of it: the log too.
    pub fn output(&self) -> String {
        read(&self.stdout) + &read(&self.stderr)
    }

    /// The exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("our own child");
        }
        self.ended
    }

    /// Whether it is stopped, as by SIGSTOP.
    pub fn is_stopped(&self) -> bool {
        self.is_in_state('T')
    }

    /// Returns whether it has ended and keeps its figures, because nobody has asked for its status yet.
    pub fn is_over(&self) -> bool {
        self.is_in_state('Z')
    }

    fn is_in_state(&self, state: char) -> bool {
        // The state comes behind the program's name, which may hold anything but a last bracket.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        stat.is_ok_and(|stat| {
            let rest = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
            rest.is_some_and(|rest| rest.starts_with(state))
        })
    }

    /// Waits for the end.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!(
                    "{} still runs after {within:?}; it printed:\n{}",
                    self.name,
                    tail(&self.output())
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a printed line contains `text` and returns the line.
    pub fn line_with(&mut self, text: &str, within: Duration) -> Result<String> {
        let until = Instant::now() + within;
        loop {
            let ended = self.ended();
            for output in [self.stdout(), read(&self.stderr)] {
                // Whole lines only: the rest of one may still be on its way.
                let whole = output.rfind('\n').map_or("", |end| &output[..end]);
                if let Some(line) = whole.lines().find(|line| line.contains(text)) {
                    return Ok(line.to_owned());
                }
            }
            let output = self.output();
            if let Some(status) = ended {
                bail!(
                    "{} ended ({status}) without printing {text:?}:\n{}",
                    self.name,
                    tail(&output)
                );
            }
            if Instant::now() > until {
                bail!(
                    "{} did not print {text:?} within {within:?}:\n{}",
                    self.name,
                    tail(&output)
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
    }

    /// Sends a signal by its name, such as `TERM`, `STOP`, `CONT`.
    pub fn signal(&mut self, name: &str) -> Result<()> {
        if self.ended().is_some() {
            bail!("{} has ended already", self.name);
        }
        let script = r#"kill -s "$1" "$2""#;
        let status = Command::new("sh")
            .args(["-c", script, "sh", name, &self.pid().to_string()])
            .status()?;
        if !status.success() {
            bail!("cannot send {name} to {}", self.name);
        }
        Ok(())
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.kill();
        drop(self.leash.take());
    }
}

fn create(path: &Path) -> Result<File> {
    let mut options = File::options();
    let options = options.create(true).truncate(true).read(true).write(true);
    options
        .open(path)
        .with_context(|| path.display().to_string())
}

/// The whole file, leaving the position alone: the program writes there.
fn read(file: &File) -> String {
    let mut bytes = vec![
        0;
        file.metadata()
            .map_or(0, |metadata| metadata.len() as usize)
    ];
    let mut length = 0;
    while let Ok(more @ 1..) = file.read_at(&mut bytes[length..], length as u64) {
        length += more;
    }
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// The same program under a leash; whoever spawns it keeps the child's standard input, which is the leash.
fn on_leash(command: &Command, dir: &Path) -> Command {
    let mut leashed = Command::new("sh");
    leashed
        .args(["-c", LEASH, "sh"])
        .arg(dir)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::piped());
    if let Some(dir) = command.get_current_dir() {
        leashed.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => leashed.env(name, value),
            None => leashed.env_remove(name),
        };
    }
    leashed
}

fn program_name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    command.get_args().fold(name.into_owned(), |name, arg| {
        name + " " + &arg.to_string_lossy()
    })
}

/// The end of a long output, enough to see what went wrong.
pub fn tail(text: &str) -> &str {
    let mut start = text.len().saturating_sub(6000);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_can_be_read_when_the_directory_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut echo = Command::new("sh");
        echo.args(["-c", "echo out; echo err >&2"]);
        let mut process = Leashed::start(&echo, dir.path().join("file")).unwrap();
        assert!(process.wait(Duration::from_secs(10)).unwrap().success());
        drop(dir);
        assert_eq!(process.stdout(), "out\n");
        assert_eq!(process.output(), "out\nerr\n");
    }

    #[test]
    fn a_program_dies_with_its_leash() {
        let dir = tempfile::tempdir().unwrap();
        let mut sleep = Command::new("sleep");
        let mut process = Leashed::start(sleep.arg("100"), dir.path().join("file")).unwrap();
        assert!(process.ended().is_none());
        drop(process.leash.take());
        assert!(!process.wait(Duration::from_secs(10)).unwrap().success());
    }
}
