//! The guard: a process that cleans up after a test process, because statics are never dropped and a killed process drops nothing.

use std::process::{Child, Command, Stdio};

/// Runs a shell command when this process has ended. Dropping it calls that off.
#[derive(Debug)]
pub(super) struct Guard {
    /// Waits on its standard input, whose other end closes with this process, however it ends.
    shell: Child,
}

impl Guard {
    /// Kills the process `pid`, a child of this one, should this one end first.
    pub(super) fn kill(pid: u32) -> Self {
        Self::run("kill -KILL \"$1\"", &pid.to_string())
    }

    /// Runs `command`, which finds `argument` in `$1`.
    pub(super) fn run(command: &str, argument: &str) -> Self {
        // Signals that a terminal sends to the whole group must not end the guard before it has done its work.
        let script = format!("trap '' INT TERM HUP; read -r _; {command}");
        let shell = Command::new("sh")
            .args(["-c", &script, "sh", argument])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        Self { shell }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Neither can fail in a way that matters: at worst the guard acts, on what is gone already.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
