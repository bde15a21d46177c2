//! Where policies come from: the user's folder, and what is shipped inside the binary.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    error::PolicyError,
    host::Host,
    meter::Limits,
    run::{PolicyRun, fallback_of},
    sandbox::Machine,
    settings,
    suggest::did_you_mean,
};
use crate::journal::record::SourceFile;

/// The policies inside the binary: name, text.
const SHIPPED: &[(&str, &str)] = &[("default", include_str!("../../../policies/default.lua"))];

/// The shipped default's file in a set of sources whose `default.lua` is the user's.
pub(super) const SHIPPED_DEFAULT: &str = "shipped/default.lua";

const MOST_NAME: usize = 64;

/// Lower-case letters, digits, `-`, `_`: no path can be written with these.
pub fn is_policy_name(name: &str) -> bool {
    (1..=MOST_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// The user's folder over the shipped policies.
#[derive(Debug, Clone, Default)]
pub struct PolicyStore {
    dir: Option<PathBuf>,
    /// By name: what loaded last. A file that is broken later does not take it away.
    last_good: Arc<Mutex<HashMap<String, PolicySources>>>,
}

/// A policy with all that it requires and the shipped default, as the journal keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySources {
    pub name: String,
    /// The policy's own file first.
    pub files: Vec<SourceFile>,
}

impl PolicySources {
    /// Sources that stand in no folder, `[("mine.lua", "…")]`: the shipped default is added.
    pub fn from_texts(name: &str, texts: &[(&str, &str)]) -> PolicySources {
        let files = texts.iter().map(|(file, text)| source(file, (*text).to_owned())).collect();
        PolicySources { name: name.into(), files }.with_shipped_default()
    }

    /// Adds the shipped default, under a name of its own where `default.lua` is the user's.
    fn with_shipped_default(mut self) -> PolicySources {
        for default in PolicyStore::shipped_default().files {
            match self.files.iter().find(|f| f.name == default.name) {
                None => self.files.push(default),
                Some(own) if own.hash == default.hash => {}
                Some(_) => self.files.push(SourceFile { name: SHIPPED_DEFAULT.into(), ..default }),
            }
        }
        self
    }

    /// The shipped default's file among these.
    pub fn fallback(&self) -> &'static str {
        fallback_of(&self.files)
    }

    /// Name and hash of every file, as the journal's opening record has them.
    pub fn hashes(&self) -> Vec<(String, String)> {
        self.files.iter().map(|f| (f.name.clone(), f.hash.clone())).collect()
    }
}

/// What a check tells of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyInfo {
    pub name: String,
    /// Where the file is; `None`: inside the binary.
    pub file: Option<PathBuf>,
    /// It stands in the user's folder under the name of a shipped one, and is taken instead of it.
    pub replaces_shipped: bool,
    pub about: String,
    /// The policy's own settings with their defaults.
    pub settings: Map<String, Value>,
    /// What it registered, in its order: fault classes, `any`, `debug`, `upkeep`.
    pub ladders: Vec<String>,
    /// Names of the files that it requires.
    pub requires: Vec<String>,
}

impl PolicyStore {
    /// `dir`: the user's policy folder; it need not exist.
    pub fn new(dir: Option<PathBuf>) -> PolicyStore {
        PolicyStore { dir, last_good: Arc::default() }
    }

    /// Reads the file and everything that it requires (its top level is run for that, in the sandbox), and adds the
    /// shipped default.
    ///
    /// # Errors
    /// There is no such policy, a file cannot be read, or a top level fails: with file, line and reason.
    pub fn load(&self, name: &str) -> Result<PolicySources, PolicyError> {
        self.open(name).map(|(sources, _)| sources)
    }

    /// What an incident is opened with: the policy as it is now or, where its file is broken, as it loaded last, with
    /// what is wrong now.
    ///
    /// # Errors
    /// It is broken and never loaded in this process: the shipped default is to be taken, visibly.
    pub fn in_force(&self, name: &str) -> Result<(PolicySources, Option<PolicyError>), PolicyError> {
        let loaded = self.load(name);
        let mut last_good = self.last_good.lock().unwrap_or_else(|broken| broken.into_inner());
        match loaded {
            Ok(sources) => {
                last_good.insert(name.to_owned(), sources.clone());
                Ok((sources, None))
            }
            Err(error) => match last_good.get(name) {
                Some(sources) => Ok((sources.clone(), Some(error))),
                None => Err(error),
            },
        }
    }

    /// Loads the policy's top level and checks the settings that a configuration gives it.
    ///
    /// # Errors
    /// As for [`PolicyStore::load`]; a setting that the policy does not declare or that does not fit.
    pub fn check(&self, name: &str, own_settings: &Map<String, Value>) -> Result<PolicyInfo, PolicyError> {
        let (sources, machine) = self.open(name)?;
        let state = machine.host.state();
        let declared: Vec<_> = state.files.iter().filter_map(|f| f.declared.as_ref()).collect();
        settings::check(name, &declared.iter().map(|d| &d.defaults).collect::<Vec<_>>(), own_settings)?;
        let main = state.files.first();
        let own = main.and_then(|f| f.declared.as_ref());
        let file = self.user_file(name).filter(|f| f.is_file());
        Ok(PolicyInfo {
            name: sources.name,
            replaces_shipped: file.is_some() && shipped(name).is_some(),
            file,
            about: own.map(|d| d.about.clone()).unwrap_or_default(),
            settings: own.map(|d| d.defaults.clone()).unwrap_or_default(),
            ladders: main.map(|f| f.ladders.clone()).unwrap_or_default(),
            requires: state.files.iter().skip(1).map(|f| f.source.name.clone()).collect(),
        })
    }

    /// The default inside the binary, whatever the user's folder has: it takes over where a policy failed.
    pub fn shipped_default() -> PolicySources {
        let text = SHIPPED.iter().find(|(n, _)| *n == "default").map_or("", |(_, text)| text);
        PolicySources { name: "default".into(), files: vec![source("default.lua", text.to_owned())] }
    }

    /// Names of all policies, the user's and the shipped ones, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = SHIPPED.iter().map(|(n, _)| (*n).to_owned()).collect();
        let files = self.dir.as_ref().and_then(|d| d.read_dir().ok()).into_iter().flatten().flatten();
        for file in files {
            let file = file.file_name().to_string_lossy().into_owned();
            if let Some(name) = file.strip_suffix(".lua").filter(|n| is_policy_name(n)) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        names.dedup();
        names
    }

    fn open(&self, name: &str) -> Result<(PolicySources, Machine), PolicyError> {
        if !is_policy_name(name) {
            return Err(PolicyError::BadName(name.into()));
        }
        // Looked for outside of Lua: its own errors have no place in a file.
        self.read(name)?;
        let store = Arc::new(self.clone());
        let source_of = move |file: &str| store.read(file.strip_suffix(".lua").unwrap_or(file));
        let machine = Machine::new(Host::new(Limits::default(), Box::new(source_of), Map::new()))?;
        machine.load(&format!("{name}.lua"))?;
        let files = machine.host.state().files.iter().map(|f| f.source.clone()).collect();
        Ok((PolicySources { name: name.into(), files }.with_shipped_default(), machine))
    }

    fn user_file(&self, name: &str) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(format!("{name}.lua")))
    }

    /// The user's file of this name, else the shipped one.
    fn read(&self, name: &str) -> Result<SourceFile, PolicyError> {
        if let Some(path) = self.user_file(name) {
            match read_text(&path, Limits::default().file_bytes) {
                Err(PolicyError::Unreadable { .. }) if !path.exists() => {}
                read => return read.map(|text| source(&format!("{name}.lua"), text)),
            }
        }
        match shipped(name) {
            Some(text) => Ok(source(&format!("{name}.lua"), text.to_owned())),
            None => {
                let known = self.names();
                Err(PolicyError::NotFound {
                    name: name.into(),
                    looked: match self.user_file(name) {
                        Some(path) => format!("{} and the shipped ones", path.display()),
                        None => "the shipped ones (there is no policy folder)".into(),
                    },
                    suggestion: did_you_mean(name, known.iter().map(String::as_str)),
                })
            }
        }
    }
}

fn shipped(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

fn source(file: &str, text: String) -> SourceFile {
    let hash = Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    SourceFile { name: file.into(), hash, text }
}

/// A regular file of at most `limit` bytes of UTF-8.
fn read_text(path: &Path, limit: usize) -> Result<String, PolicyError> {
    let unreadable = |why: io::Error| PolicyError::Unreadable { file: path.into(), why: why.to_string() };
    // A pipe or a device would block the open itself.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a regular file")));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > limit {
        return Err(PolicyError::TooLarge { file: path.display().to_string(), limit: limit >> 10 });
    }
    String::from_utf8(bytes).map_err(|_| PolicyError::NotText { file: path.display().to_string() })
}

/// Runs that need no store: [`PolicyRun::start`] with the shipped default.
impl PolicyRun {
    /// The shipped default takes over.
    ///
    /// # Errors
    /// As for [`PolicyRun::start`].
    pub fn start_shipped_default(settings: Value) -> Result<PolicyRun, PolicyError> {
        PolicyRun::start(&PolicyStore::shipped_default(), settings)
    }
}
