//! Paths of the programs that tests start: those that `./test` exports, otherwise those that `./test --prepare` installs.

use std::path::{Path, PathBuf};

/// Returns the Python that has python-socketio.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn python() -> PathBuf {
    let path = from_env("SIO_TEST_PYTHON").unwrap_or_else(|| environment().join("venv/bin/python"));
    existing(path, "a Python with python-socketio")
}

/// Returns Node.js.
#[must_use]
pub fn node() -> PathBuf {
    from_env("SIO_TEST_NODE").unwrap_or_else(|| PathBuf::from("node"))
}

/// Returns the `node_modules` that has socket.io-client.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn node_modules() -> PathBuf {
    let path = from_env("SIO_TEST_NODE_PATH").unwrap_or_else(|| environment().join("node/node_modules"));
    existing(path, "socket.io-client for Node.js")
}

/// Returns Chromium, as its path or its name.
#[must_use]
pub fn chromium() -> String {
    std::env::var("SIO_TEST_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned())
}

/// Returns a script of `integration/clients`.
///
/// # Panics
///
/// When there is no such script.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    existing(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name),
        "a script of the tests",
    )
}

/// Returns the binary `sio`, from `SIO_TEST_SIO` or from where cargo put it beside the running test.
///
/// # Panics
///
/// When it was not built: `cargo test -p integration` alone does not, `./test` does.
#[must_use]
pub fn sio() -> PathBuf {
    let path = from_env("SIO_TEST_SIO").unwrap_or_else(|| beside_the_test("sio"));
    built(path, "sio-emitter-cli")
}

/// Returns a program of `examples`, from where cargo put it beside the running test.
///
/// # Panics
///
/// When it was not built: `cargo test -p integration` alone does not, `./test` does.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    built(beside_the_test(name), "examples")
}

/// Returns nginx, as its path or its name.
#[must_use]
pub fn nginx() -> PathBuf {
    system_program("SIO_TEST_NGINX", "nginx")
}

/// Returns HAProxy, as its path or its name.
#[must_use]
pub fn haproxy() -> PathBuf {
    system_program("SIO_TEST_HAPROXY", "haproxy")
}

/// Returns Caddy, as its path or its name.
#[must_use]
pub fn caddy() -> PathBuf {
    system_program("SIO_TEST_CADDY", "caddy")
}

/// Returns promtool, which checks metrics and rules, as its path or its name.
#[must_use]
pub fn promtool() -> PathBuf {
    system_program("SIO_TEST_PROMTOOL", "promtool")
}

/// Debian keeps servers in a folder that is not on every user's path.
fn system_program(variable: &str, name: &str) -> PathBuf {
    let debian = || Some(Path::new("/usr/sbin").join(name)).filter(|path| path.exists());
    from_env(variable)
        .or_else(debian)
        .unwrap_or_else(|| PathBuf::from(name))
}

fn beside_the_test(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the running test has a path");
    let profile = test.ancestors().nth(2).expect("cargo puts tests two folders deep");
    profile.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn built(path: PathBuf, package: &str) -> PathBuf {
    assert!(
        path.exists(),
        "no {}: run ./test, or `cargo build -p {package}` first",
        path.display()
    );
    path
}

fn from_env(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn environment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.test-env")
}

fn existing(path: PathBuf, what: &str) -> PathBuf {
    assert!(
        path.exists(),
        "{what} is missing ({}): run `./test --prepare`",
        path.display()
    );
    path
}
