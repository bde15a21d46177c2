//! Which executable a configured command stands for, and whether a process runs it.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use super::{Process, imp, is_interpreter};

/// What a command comes to after `PATH`, links and `#!` were followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The file that the process then executes, without links.
    pub exe: PathBuf,
    /// Arguments that its process must begin with, because the executable alone says nothing: the script or module of
    /// an interpreter. Empty for a program of its own.
    pub leading: Vec<String>,
}

impl Program {
    /// `None`: there is no such program (now), or the command is empty.
    pub fn of(command: &[String]) -> Option<Program> {
        let [program, arguments @ ..] = command else { return None };
        let found = find_in_path(program)?;
        let exe = fs::canonicalize(&found).ok()?;
        match shebang(&exe) {
            Some((interpreter, option)) => {
                let leading = option.into_iter().chain([found.to_string_lossy().into_owned()]).collect();
                Some(Program { exe: interpreter, leading })
            }
            None if is_interpreter(&file_name(&exe)) => Some(Program { exe, leading: designation(arguments) }),
            None => Some(Program { exe, leading: Vec::new() }),
        }
    }

    /// Does this process run it?
    pub fn is_run_by(&self, process: &Process) -> bool {
        let Some(exe) = &process.exe else { return false };
        is_same_file(exe, &self.exe)
            && self.leading.len() <= process.args.len()
            && self
                .leading
                .iter()
                .zip(&process.args)
                .all(|(ours, theirs)| ours == theirs || is_same_file(Path::new(ours), &absolute(theirs, process)))
    }
}

/// A relative path is meant from where the process works.
fn absolute(path: &str, process: &Process) -> PathBuf {
    let path = Path::new(path);
    match imp::working_directory(process.id) {
        Some(folder) if path.is_relative() => folder.join(path),
        _ => path.to_owned(),
    }
}

/// A file that was replaced since (an upgrade) is still known by its path.
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

/// The file that a program's name or path means.
pub(super) fn find_in_path(program: &str) -> Option<PathBuf> {
    let with_path = Path::new(program).components().count() > 1;
    let folders: Vec<PathBuf> = match with_path {
        true => vec![PathBuf::new()],
        false => env::split_paths(&env::var_os("PATH")?).collect(),
    };
    let endings: &[&str] = if cfg!(windows) { &["", ".exe"] } else { &[""] };
    folders
        .iter()
        .flat_map(|folder| endings.iter().map(|ending| folder.join(format!("{program}{ending}"))))
        .find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

/// The interpreter of a script, and the one option that its first line may give it. `#!/usr/bin/env python3` is
/// python3.
fn shebang(file: &Path) -> Option<(PathBuf, Option<String>)> {
    let mut begin = Vec::new();
    File::open(file).ok()?.take(256).read_to_end(&mut begin).ok()?;
    let line = begin.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let (interpreter, rest) = line.trim().split_once([' ', '\t']).unwrap_or((line.trim(), ""));
    let rest = rest.trim();
    if file_name(Path::new(interpreter)) == "env" {
        let mut words = rest.strip_prefix("-S").unwrap_or(rest).split_whitespace();
        let exe = fs::canonicalize(find_in_path(words.next()?)?).ok()?;
        return Some((exe, words.next().map(str::to_owned)));
    }
    let option = Some(rest).filter(|r| !r.is_empty()).map(str::to_owned);
    Some((fs::canonicalize(interpreter).ok()?, option))
}

/// The arguments of an interpreter up to what it is to run: `-m vllm`, `-jar x.jar`, `server.py`.
fn designation(arguments: &[String]) -> Vec<String> {
    const NAME_WHAT_TO_RUN: &[&str] = &["-m", "-c", "-e", "-jar", "--module", "--eval"];
    const TAKE_A_VALUE: &[&str] =
        &["-X", "-W", "-r", "--require", "--import", "-cp", "-classpath", "--class-path", "-I"];
    let mut leading = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        leading.push(argument.clone());
        if NAME_WHAT_TO_RUN.contains(&argument.as_str()) {
            leading.extend(rest.next().cloned());
            return leading;
        }
        if TAKE_A_VALUE.contains(&argument.as_str()) {
            leading.extend(rest.next().cloned());
        } else if !argument.starts_with('-') {
            return leading;
        }
    }
    leading
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{os::unix::fs::PermissionsExt, process::Command};

    use super::*;
    use crate::process::{bystanders::Child, find};

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn executable(path: &Path, text: &str) {
        // Written by another process: a descriptor of ours that is open for writing could be inherited by another
        // test's fork, and a file that is open so cannot be executed.
        let script = format!("cat > {path} <<'END'\n{text}\nEND\n", path = path.display());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_name_is_found_in_path_and_links_are_followed() {
        let program = Program::of(&words("sleep 1000")).unwrap();
        let child = Child::run({
            let mut command = Command::new("sleep");
            command.arg("1000");
            command
        });
        let process = find(child.id.pid).unwrap();
        // A multi-call binary is found behind its link, too.
        assert!(program.is_run_by(&process), "{program:?} {process:?}");
        let shell = Program::of(&words("sh")).unwrap();
        assert_eq!(shell.is_run_by(&process), shell.exe == program.exe, "{shell:?} {process:?}");
        assert_eq!(Program::of(&words("no-such-program-here")), None);
        assert_eq!(Program::of(&[]), None);
    }

    #[tokio::test]
    async fn a_script_is_its_interpreter_with_this_script_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (server, other) = (folder.path().join("server"), folder.path().join("other"));
        for script in [&server, &other] {
            executable(script, "#!/usr/bin/env sh\necho ready\nsleep 1000 & wait");
        }
        let program = Program::of(&[server.display().to_string(), "serve".into()]).unwrap();
        let child = Child::run(Command::new(&server));
        let stranger = Child::run(Command::new(&other));
        child.line().await;
        stranger.line().await;
        assert!(program.is_run_by(&find(child.id.pid).unwrap()), "{program:?}");
        assert!(!program.is_run_by(&find(stranger.id.pid).unwrap()));
    }

    #[tokio::test]
    async fn a_relative_script_is_meant_from_where_its_process_works() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("server.sh");
        executable(&script, "sleep 1000 & echo ready; wait");
        let mut command = Command::new("sh");
        command.arg("server.sh").current_dir(folder.path());
        let child = Child::run(command);
        child.line().await;
        let process = find(child.id.pid).unwrap();
        assert!(Program::of(&["sh".into(), script.display().to_string()]).unwrap().is_run_by(&process));
        let elsewhere = Program::of(&["sh".into(), "/nowhere/server.sh".into()]).unwrap();
        assert!(!elsewhere.is_run_by(&process));
    }

    #[test]
    fn an_interpreter_is_told_by_what_it_runs() {
        assert_eq!(designation(&words("-m llama_cpp.server --port 1")), words("-m llama_cpp.server"));
        assert_eq!(designation(&words("-u -X dev server.py --port 1")), words("-u -X dev server.py"));
        assert_eq!(designation(&words("-cp a.jar Main x")), words("-cp a.jar Main"));
        assert_eq!(designation(&words("--version")), words("--version"));
    }
}
