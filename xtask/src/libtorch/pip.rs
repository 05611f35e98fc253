//! The wheels come from a folder of the user's (`SYNTHMR_WHEELS`) or from pip, with whatever index, proxy and
//! certificates the user has configured for it.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::hex;
use super::lock::{FILE, Lock, Wheel};
use crate::failure::Failure;

/// Where wheels come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A folder that the user filled; nothing is downloaded.
    Folder(PathBuf),
    /// `PYTHON -m pip`.
    Pip { python: &'static str },
}

/// Tries at a download. pip retries a refused connection by itself, but not one that breaks half way.
const TRIES: usize = 2;

const OFFLINE_HINT: &str = "without a network: copy the wheels that libtorch.lock.toml names to a folder on this \
                            machine and name it in SYNTHMR_WHEELS";

impl Source {
    /// `SYNTHMR_WHEELS` when set, else the first Python that has pip.
    pub(crate) fn find() -> Result<Self, Failure> {
        if let Some(folder) = env::var_os("SYNTHMR_WHEELS").filter(|value| !value.is_empty()) {
            return Ok(Self::Folder(folder.into()));
        }
        let mut found_python = false;
        for python in ["python3", "python"] {
            let mut probe = Command::new(python);
            probe.args(["-m", "pip", "--version"]).stdin(Stdio::null());
            match probe.output() {
                Ok(output) if output.status.success() => return Ok(Self::Pip { python }),
                Ok(_) => found_python = true,
                Err(_) => {}
            }
        }
        let message = if found_python {
            "python3 has no pip, which downloads the engine (`python3 -m pip --version` failed)"
        } else {
            "python3 was not found; its pip downloads the engine"
        };
        Err(Failure::environment(message).hint(format!(
            "install it (Debian, Ubuntu: `apt install python3-pip`; Fedora: `dnf install python3-pip`); or {OFFLINE_HINT}"
        )))
    }

    /// Brings a wheel whose size and SHA-256 are those of the lock file. `folder` is an empty one to download to.
    pub(crate) fn fetch(&self, lock: &Lock, wheel: &Wheel, folder: &Path) -> Result<PathBuf, Failure> {
        let path = match self {
            Self::Folder(wheels) => {
                let path = wheels.join(&wheel.file);
                if !path.is_file() {
                    return Err(Failure::environment(format!(
                        "SYNTHMR_WHEELS names {}, which does not hold {}",
                        wheels.display(),
                        wheel.file
                    ))
                    .hint(format!(
                        "fetch it elsewhere with `pip {}`",
                        download_arguments(lock, wheel, Path::new(".")).join(" ")
                    )));
                }
                path
            }
            Self::Pip { python } => {
                download(python, lock, wheel, folder)?;
                folder.join(&wheel.file)
            }
        };
        verify(&path, wheel)?;
        Ok(path)
    }
}

/// The arguments of pip that select exactly this wheel on any machine and with any Python.
fn download_arguments(lock: &Lock, wheel: &Wheel, folder: &Path) -> Vec<String> {
    let fixed =
        ["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-cache-dir"];
    let mut arguments: Vec<String> = fixed.iter().map(|&word| word.to_owned()).collect();
    for (option, value) in [
        ("--python-version", lock.pip_python.as_str()),
        ("--implementation", "cp"),
        ("--abi", lock.pip_abi.as_str()),
        ("--platform", wheel.pip_platform.as_str()),
    ] {
        arguments.extend([option.to_owned(), value.to_owned()]);
    }
    arguments.extend(["--dest".to_owned(), folder.display().to_string()]);
    arguments.push(format!("{}=={}", wheel.package, wheel.version));
    arguments
}

fn download(python: &str, lock: &Lock, wheel: &Wheel, folder: &Path) -> Result<(), Failure> {
    let mut last = String::new();
    for _ in 0..TRIES {
        // pip's own output is progress, and progress goes to stderr.
        let progress = io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from);
        let output = Command::new(python)
            .args(["-m", "pip"])
            .args(download_arguments(lock, wheel, folder))
            // pip unpacks into TMPDIR before it copies: /tmp is often too small a disk for that.
            .env("TMPDIR", folder)
            .stdin(Stdio::null())
            .stdout(progress)
            .output()
            .map_err(|error| Failure::environment(format!("cannot start {python}: {error}")))?;
        last = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() && folder.join(&wheel.file).is_file() {
            return Ok(());
        }
        if output.status.success() {
            last = format!("ERROR: pip chose another file than {}", wheel.file);
        }
        if !is_network_trouble(&last) {
            break;
        }
    }
    Err(explain(&last, wheel))
}

/// Words of pip, urllib3 and the resolver for a connection that could not be made or broke.
const NETWORK_WORDS: [&str; 9] = [
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Temporary failure in name resolution",
    "Failed to establish a new connection",
    "Connection aborted",
    "Connection broken",
    "IncompleteRead",
    "ProxyError",
];

fn is_network_trouble(stderr: &str) -> bool {
    NETWORK_WORDS.iter().any(|word| stderr.contains(word))
}

/// Turns what pip wrote to stderr into one sentence and a hint.
fn explain(stderr: &str, wheel: &Wheel) -> Failure {
    let what = format!("cannot download {} {}", wheel.package, wheel.version);
    let said = stderr.lines().rev().map(str::trim).find(|line| line.starts_with("ERROR:")).unwrap_or("");
    let said = said.trim_start_matches("ERROR:").trim();
    if stderr.contains("No space left on device") || stderr.contains("Disk quota exceeded") {
        return Failure::environment(format!("{what}: the disk is full"))
            .hint("free some space, or name a folder on another disk in SYNTHMR_CACHE");
    }
    if is_network_trouble(stderr) {
        return Failure::environment(format!("{what}: pip cannot reach its package index"))
            .hint(format!("check network, proxy and `python3 -m pip config list`; {OFFLINE_HINT}"));
    }
    if stderr.contains("SSLError") || stderr.contains("CERTIFICATE_VERIFY_FAILED") {
        return Failure::environment(format!("{what}: the package index's certificate is not trusted here"))
            .hint("tell pip your site's certificates: `python3 -m pip config set global.cert FILE`");
    }
    if stderr.contains("No matching distribution found") {
        return Failure::environment(format!("{what}: pip's index does not have {}", wheel.file)).hint(
            format!("look at `python3 -m pip config list` for an index of your site's; {OFFLINE_HINT}"),
        );
    }
    let said = if said.is_empty() { "pip gave no reason" } else { said };
    Failure::environment(format!("{what}: {said}")).hint(OFFLINE_HINT)
}

/// Checks a wheel's size and SHA-256.
fn verify(path: &Path, wheel: &Wheel) -> Result<(), Failure> {
    let mut file = File::open(path).map_err(Failure::io("read", path))?;
    let mut hash = Sha256::new();
    let mut bytes = 0_u64;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(Failure::io("read", path))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
    let found = hex(&hash.finalize());
    if found == wheel.sha256 && bytes == wheel.bytes {
        return Ok(());
    }
    Err(Failure::environment(format!(
        "{}: expected {} bytes with SHA-256 {}, found {bytes} bytes with {found}",
        path.display(),
        wheel.bytes,
        wheel.sha256
    ))
    .hint(format!(
        "the file is damaged or not the one that {FILE} pins: fetch it again, and if it stays so, do not use it"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel() -> Wheel {
        Wheel {
            package: "torch".into(),
            version: "1.0".into(),
            file: "torch-1.0-cp311-cp311-any.whl".into(),
            pip_platform: "any".into(),
            bytes: 3,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(),
            take: vec![],
        }
    }

    #[test]
    fn pip_is_asked_for_one_file_whatever_python_runs_it() {
        let lock = Lock {
            schema: 1,
            torch: "1.0".into(),
            pip_python: "3.11".into(),
            pip_abi: "cp311".into(),
            folders: vec![],
        };
        let line = download_arguments(&lock, &wheel(), Path::new("d")).join(" ");
        assert_eq!(
            line,
            "download --no-deps --only-binary=:all: --disable-pip-version-check --no-cache-dir \
             --python-version 3.11 --implementation cp --abi cp311 --platform any --dest d torch==1.0"
        );
    }

    #[test]
    fn a_wheel_is_its_size_and_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.whl");
        std::fs::write(&path, "abc").unwrap();
        verify(&path, &wheel()).unwrap();
        std::fs::write(&path, "abd").unwrap();
        let text = verify(&path, &wheel()).unwrap_err().to_string();
        assert!(text.contains("expected 3 bytes with SHA-256 ba7816bf"), "{text}");
        assert!(text.contains("hint: "), "{text}");
    }

    #[test]
    fn pips_failures_are_told_apart() {
        let no_network = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)'\n\
                          ERROR: Could not find a version that satisfies the requirement torch==1.0\n\
                          ERROR: No matching distribution found for torch==1.0\n";
        let cases = [
            (no_network, "cannot reach its package index"),
            ("ERROR: No matching distribution found for torch==1.0\n", "does not have torch-1.0-cp311"),
            ("ERROR: Could not install: [Errno 28] No space left on device\n", "the disk is full"),
            ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))", "certificate"),
            ("noise\nERROR: 403 Client Error: Forbidden\nmore noise\n", "403 Client Error: Forbidden"),
            ("", "pip gave no reason"),
        ];
        for (stderr, expected) in cases {
            let text = explain(stderr, &wheel()).to_string();
            assert!(text.contains(expected), "expected `{expected}` in `{text}`");
            assert!(text.contains("hint: "), "{text}");
        }
    }

    #[test]
    fn a_folder_without_the_wheel_says_how_to_get_it() {
        let lock = Lock {
            schema: 1,
            torch: "1.0".into(),
            pip_python: "3.11".into(),
            pip_abi: "cp311".into(),
            folders: vec![],
        };
        let folder = tempfile::tempdir().unwrap();
        let source = Source::Folder(folder.path().to_owned());
        let text = source.fetch(&lock, &wheel(), folder.path()).unwrap_err().to_string();
        assert!(text.contains("does not hold torch-1.0-cp311-cp311-any.whl"), "{text}");
        assert!(text.contains("pip download"), "{text}");
    }
}
