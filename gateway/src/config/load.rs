//! The layers of a configuration: defaults, the file, the environment, flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::problem::{Problem, Problems};
use super::relay::{self, RelayValue};
use super::value::Raw;
use super::{Config, SETTINGS, Setting, file};
use crate::small_file;

/// The variable that names the file where no flag does.
pub const FILE_VARIABLE: &str = "SIO_CONFIG";
/// The ending of variables and keys that name the file of a secret.
const OF_FILE: (&str, &str) = ("_FILE", "_file");
/// The longest secret that is read from a file, in bytes.
const MAX_SECRET_BYTES: u64 = 64 << 10;
/// How far a name may be from one that is known for that to be proposed, in letters.
const NEAR: usize = 3;

/// Where settings come from.
///
/// ```
/// use gateway::config::Sources;
///
/// let sources = Sources {
///     flags: vec![("drain", vec!["5s".to_owned()])],
///     env: vec![("SIO_LIMITS_ROOMS".into(), "8".into()), ("SIO_DRAIN".into(), "9s".into())],
///     file: None,
/// };
/// let loaded = sources.load()?;
/// assert_eq!((loaded.config.drain.as_secs(), loaded.config.max_rooms), (5, 8));
/// # Ok::<(), gateway::config::Problems>(())
/// ```
#[derive(Clone, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "it is made of its parts")]
pub struct Sources {
    /// Values of flags, by key.
    pub flags: Vec<(&'static str, Vec<String>)>,
    /// The environment, such as [`std::env::vars_os`].
    pub env: Vec<(OsString, OsString)>,
    /// The file; `None` reads the one that `SIO_CONFIG` names, if it names one.
    pub file: Option<PathBuf>,
}

/// A configuration, and where its values come from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Where the value of a key stands; those that are not here have their default.
    pub places: BTreeMap<&'static str, String>,
    /// Variables that look like a misspelt setting, each with the one that may be meant.
    pub misspelt: Vec<(String, String)>,
    /// Values of the table `relay` of the file, which are those of another program.
    pub relay: Vec<RelayValue>,
}

impl Loaded {
    /// Names the place of a setting in a problem, in the place of its key.
    pub fn locate(&self, problem: Problem) -> Problem {
        match problem.key().and_then(|key| self.places.get(key)) {
            Some(place) => problem.placed(place),
            None => problem,
        }
    }
}

/// A configuration in the making.
struct Layers {
    loaded: Loaded,
    problems: Vec<Problem>,
}

impl Sources {
    /// Reads all layers. May block, because it reads files.
    ///
    /// # Errors
    ///
    /// Everything that is wrong: a file that cannot be read or is not TOML, a key that is not known (with the nearest that is), a value that
    /// cannot be used, a secret that is given twice.
    pub fn load(&self) -> Result<Loaded, Problems> {
        let mut layers = Layers {
            loaded: Loaded {
                config: Config::default(),
                file: self
                    .file
                    .clone()
                    .or_else(|| self.variable(FILE_VARIABLE).map(PathBuf::from)),
                places: BTreeMap::new(),
                misspelt: self.misspelt(),
                relay: Vec::new(),
            },
            problems: Vec::new(),
        };
        if let Some(path) = layers.loaded.file.clone() {
            layers.read_file(&path);
        }
        for setting in SETTINGS {
            let flag = self.flags.iter().find(|(key, _)| *key == setting.key);
            match flag {
                Some((_, values)) => layers.take_flag(setting, values),
                None => self.take_variable(setting, &mut layers),
            }
        }
        match layers.problems.is_empty() {
            true => Ok(layers.loaded),
            false => Err(Problems(layers.problems)),
        }
    }

    /// Returns a variable; an empty one is one that is not set.
    fn variable(&self, name: &str) -> Option<&OsString> {
        let value = self.env.iter().find(|(each, _)| each == name).map(|(_, value)| value);
        value.filter(|value| !value.is_empty())
    }

    fn take_variable(&self, setting: &'static Setting, layers: &mut Layers) {
        let name = setting.variable();
        let of_file = format!("{name}{}", OF_FILE.0);
        let value = self.variable(&name);
        let file = self.variable(&of_file).filter(|_| setting.is_secret);
        match (value, file) {
            (None, None) => {}
            (Some(_), Some(_)) => {
                let text = format!("{name} and {of_file} are both set: unset one of them");
                layers.problems.push(Problem::at(name, text));
            }
            (Some(value), None) => match value.to_str() {
                Some(text) => layers.set(setting, &Raw::Text(text.to_owned()), name),
                None => layers.problems.push(Problem::at(name, "is not UTF-8")),
            },
            (None, Some(file)) => layers.set_from_file(setting, Path::new(file), of_file),
        }
    }

    /// Returns variables that are almost those of a setting.
    fn misspelt(&self) -> Vec<(String, String)> {
        let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
        let is_known = |name: &str| {
            let bare = name.strip_suffix(OF_FILE.0).unwrap_or(name);
            name == FILE_VARIABLE || known.iter().any(|each| each == name || each == bare)
        };
        let names = self.env.iter().filter_map(|(name, _)| name.to_str());
        let unknown = names.filter(|name| name.starts_with("SIO_") && !is_known(name));
        let near = |name: &str| {
            let close = known.iter().find(|each| strsim::damerau_levenshtein(name, each) <= 2)?;
            Some((name.to_owned(), close.clone()))
        };
        unknown.filter_map(near).collect()
    }
}

impl Layers {
    fn set(&mut self, setting: &'static Setting, raw: &Raw, place: String) {
        match self.loaded.config.set(setting.key, raw) {
            Ok(()) => drop(self.loaded.places.insert(setting.key, place)),
            Err(text) => self.problems.push(Problem::of(setting.key, text).placed(&place)),
        }
    }

    fn set_from_file(&mut self, setting: &'static Setting, path: &Path, place: String) {
        match secret(path, setting.has_lines) {
            Ok(text) => self.set(setting, &Raw::Text(text), place),
            Err(text) => self.problems.push(Problem::of(setting.key, text).placed(&place)),
        }
    }

    fn take_flag(&mut self, setting: &'static Setting, values: &[String]) {
        let raw = match (setting.is_list, values) {
            (false, [.., last]) => Raw::Text(last.clone()),
            _ => Raw::List(values.to_vec()),
        };
        self.set(setting, &raw, format!("--{}", setting.flag));
    }

    fn read_file(&mut self, path: &Path) {
        let entries = match file::read(path) {
            Ok(entries) => entries,
            Err(problems) => return self.problems.extend(problems),
        };
        let mut secrets: BTreeMap<&str, String> = BTreeMap::new();
        for file::Entry { key, raw, place } in entries {
            if let Some(key) = key.strip_prefix(relay::TABLE) {
                self.loaded.relay.push(RelayValue::new(key, raw, place));
                continue;
            }
            let bare = key
                .strip_suffix(OF_FILE.1)
                .and_then(Setting::of)
                .filter(|setting| setting.is_secret);
            let Some(setting) = bare.or_else(|| Setting::of(&key)) else {
                self.problems.push(Problem::at(place, unknown(&key)));
                continue;
            };
            if setting.is_secret && secrets.insert(setting.key, key.clone()).is_some() {
                let text = format!(
                    "{0} and {0}{1} are both set: leave one of them out",
                    setting.key, OF_FILE.1
                );
                self.problems.push(Problem::at(place, text));
                continue;
            }
            match (bare, raw) {
                (Some(setting), Raw::Text(file)) => {
                    // A relative name starts from the folder of the file that holds it.
                    let file = path.parent().unwrap_or(Path::new("")).join(file);
                    self.set_from_file(setting, &file, place);
                }
                (_, raw) if setting.is_path => self.set(setting, &raw.below(path.parent(), setting.is_list), place),
                (_, raw) => self.set(setting, &raw, place),
            }
        }
    }
}

/// Says that a key is not known, and which may be meant.
fn unknown(key: &str) -> String {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let keys = || SETTINGS.iter().map(|setting| setting.key);
    let same_name = keys().find(|each| last(each) == last(key));
    let distance = |each: &&str| strsim::damerau_levenshtein(key, each);
    let near = keys().min_by_key(distance).filter(|each| distance(each) <= NEAR);
    match near.or(same_name) {
        Some(near) => format!("unknown key {key:?}; did you mean {near:?}?"),
        None => format!("unknown key {key:?}; `sio config doc` lists those that are known"),
    }
}

/// Reads a secret from a file: one line.
fn secret(path: &Path, has_lines: bool) -> Result<String, String> {
    let shown = path.display();
    let text = small_file::read_text(path, MAX_SECRET_BYTES);
    let text = text.map_err(|error| format!("{shown} cannot be read: {error}"))?;
    match text.trim_start_matches('\u{feff}').trim() {
        "" => Err(format!("{shown} is empty")),
        text if !has_lines && text.contains('\n') => Err(format!("{shown} holds more than one line")),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(
        text: Option<&str>,
        env: &[(&str, &str)],
        flags: &[(&'static str, &str)],
    ) -> (Sources, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let file = text.map(|text| {
            let file = folder.path().join("sio.toml");
            std::fs::write(&file, text).unwrap();
            file
        });
        let sources = Sources {
            flags: flags
                .iter()
                .map(|(key, value)| (*key, vec![(*value).to_owned()]))
                .collect(),
            env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            file,
        };
        (sources, folder)
    }

    fn refused(text: &str, env: &[(&str, &str)]) -> String {
        let (sources, _folder) = sources(Some(text), env, &[]);
        sources.load().unwrap_err().to_string()
    }

    #[test]
    fn flags_outrank_the_environment_and_that_the_file() {
        let text = "channel = \"file\"\npath = \"/file/\"\ndrain = \"1s\"\norigins = [\"https://a.example\"]\n";
        let env = [
            ("SIO_PATH", "/env/"),
            ("SIO_DRAIN", "2s"),
            ("SIO_NAMESPACES", "/a,/b"),
            ("SIO_CHANNEL", ""),
        ];
        let (sources, _folder) = sources(Some(text), &env, &[("drain", "3s"), ("transports", "websocket")]);
        let Loaded { config, places, .. } = sources.load().unwrap();
        assert_eq!((config.channel.as_str(), config.path.as_str()), ("file", "/env/"));
        assert_eq!(config.drain.as_secs(), 3);
        assert_eq!(config.origins, ["https://a.example"]);
        assert_eq!(config.namespaces, ["/a", "/b"]);
        assert_eq!(config.transports, ["websocket"]);
        assert_eq!(
            (places["drain"].as_str(), places["path"].as_str()),
            ("--drain", "SIO_PATH")
        );
        assert!(places["origins"].ends_with("sio.toml:4"));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
        let said = refused("listen = \"3000\"\n\n[limits]\npayloads = 3\n", &[]);
        assert!(
            said.contains("sio.toml:4: unknown key \"limits.payloads\"; did you mean \"limits.payload\"?"),
            "{said}"
        );
        let said = refused("payload = 3", &[]);
        assert!(said.contains("did you mean \"limits.payload\"?"), "{said}");
        let said = refused("something = \"else\"", &[]);
        assert!(said.contains("sio config doc") && !said.contains("mean"), "{said}");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_place() {
        let said = refused(
            "drain = \"x\"\nopne = true\n[limits]\nrooms = 0",
            &[("SIO_PAGE", "perhaps")],
        );
        for part in ["sio.toml:1: ", "sio.toml:2: ", "sio.toml:4: ", "SIO_PAGE: ", "\"open\""] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn secrets_may_stand_in_files_of_their_own() {
        let (mut sources, folder) = sources(Some("[admin_ui]\npassword_file = \"password\"\n"), &[], &[]);
        std::fs::write(folder.path().join("password"), "hunter2\n").unwrap();
        std::fs::write(folder.path().join("url"), "\u{feff}redis://h:1\n").unwrap();
        sources
            .env
            .push(("SIO_URL_FILE".into(), folder.path().join("url").into()));
        let config = sources.load().unwrap().config;
        assert_eq!(config.admin_ui_password.unwrap().expose(), "hunter2");
        assert_eq!(config.url.unwrap().expose(), "redis://h:1");
        sources.env.push(("SIO_URL".into(), "redis://h:2".into()));
        let said = sources.load().unwrap_err().to_string();
        assert!(said.contains("SIO_URL and SIO_URL_FILE are both set"), "{said}");
        sources.env.clear();
        std::fs::write(folder.path().join("password"), "two\nlines").unwrap();
        let said = sources.load().unwrap_err().to_string();
        assert!(said.contains("more than one line") && !said.contains("two"), "{said}");
        let said = refused("[admin_ui]\npassword = \"a\"\npassword_file = \"b\"", &[]);
        assert!(said.contains("both set"), "{said}");
    }

    #[test]
    fn names_in_the_file_start_from_its_folder_and_all_others_do_not() {
        let text = "static = \"public\"\n[tokens]\nkey_files = [\"a\", \"/b\"]\n[tls]\ncert = \"c\"\n";
        let (sources, folder) = sources(Some(text), &[("SIO_TLS_CERT", "d")], &[("tls.key", "e")]);
        let config = sources.load().unwrap().config;
        let below = |name: &str| folder.path().join(name).display().to_string();
        assert_eq!(config.static_files, Some(below("public")));
        assert_eq!(config.token_key_files, [below("a"), "/b".to_owned()]);
        let names = (config.tls_cert.as_deref(), config.tls_key.as_deref());
        assert_eq!(names, (Some("d"), Some("e")));
    }

    #[test]
    fn a_variable_that_is_almost_a_setting_is_noticed() {
        let env = [
            ("SIO_LISTN", "1"),
            ("SIO_URL_FILE", ""),
            ("SIO_TEST_NODE", "x"),
            ("SIO_CONFIG", ""),
            ("SIOX", ""),
        ];
        let (sources, _folder) = sources(None, &env, &[]);
        let misspelt = sources.load().unwrap().misspelt;
        assert_eq!(misspelt, [("SIO_LISTN".to_owned(), "SIO_LISTEN".to_owned())]);
    }

    #[test]
    fn the_table_of_another_program_is_handed_on_and_not_checked() {
        let text = "open = true\n[relay.map]\nevent = \"e\"\nrooms = [\"a\", 2]\n";
        let (sources, _folder) = sources(Some(text), &[], &[]);
        let relay = sources.load().unwrap().relay;
        let found: Vec<_> = relay.iter().map(|each| (&*each.key, each.values.join(" "))).collect();
        assert_eq!(found, [("map.event", "e".to_owned()), ("map.rooms", "a 2".to_owned())]);
        assert!(relay[1].place.ends_with("sio.toml:4"), "{}", relay[1].place);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let sources = Sources {
            env: vec![(FILE_VARIABLE.into(), "/nonexistent/sio.toml".into())],
            ..Sources::default()
        };
        let said = sources.load().unwrap_err().to_string();
        assert!(said.starts_with("/nonexistent/sio.toml: cannot be read"), "{said}");
    }
}
