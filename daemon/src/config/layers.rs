//! Laying settings over each other: flag, variable, table of the network, file, default.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::{Table, Value};

use super::settings::{Kind, SECTIONS, Section, Setting, section};
use super::{ConfigError, Network};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody said anything else.
    Default,
    /// The settings file.
    File,
    /// The table of the network in the settings file.
    NetworkTable,
    /// An environment variable.
    Variable(String),
    /// The command line.
    Flag,
}

impl core::fmt::Display for Origin {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("settings file"),
            Self::NetworkTable => f.write_str("settings file, table of the network"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// What is known before settings are checked.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The settings file, if there is one: its path and text.
    pub file: Option<(PathBuf, String)>,
    /// Environment variables, those that do not start with `VIADUCT_` are ignored.
    pub variables: BTreeMap<String, String>,
    /// Settings from the command line: `("channel.dust_limit_sat", "354")`.
    pub flags: Vec<(String, String)>,
}

/// The value of every setting that has one, with its origin.
#[derive(Debug, Clone, Default)]
pub struct Layered {
    values: BTreeMap<(&'static str, &'static str), (Value, Origin)>,
}

impl Layered {
    /// Lays all sources over each other.
    ///
    /// # Errors
    /// [`ConfigError`]: a name that is unknown, a value of the wrong kind.
    pub fn lay(sources: &Sources) -> Result<Self, ConfigError> {
        let mut layered = Self::default();
        layered.defaults()?;
        let file = sources.file.as_ref().map(|(path, text)| parse_file(path, text)).transpose()?;
        if let Some(table) = &file {
            layered.table(table, "", &Origin::File)?;
        }
        // Variables and flags can name the network whose table counts, so they are looked at first.
        let mut outer = layered.clone();
        outer.variables(&sources.variables)?;
        outer.flags(&sources.flags)?;
        let network = outer.text("", "network").unwrap_or_default();
        if let Some(table) = file.as_ref().and_then(|file| file.get(&network)) {
            layered.table(as_table(table, &network)?, &network, &Origin::NetworkTable)?;
        }
        layered.variables(&sources.variables)?;
        layered.flags(&sources.flags)?;
        Ok(layered)
    }

    /// The settings of one section.
    pub(super) fn section(&self, name: &str) -> Table {
        self.values
            .iter()
            .filter(|((section, _), _)| *section == name)
            .map(|((_, setting), (value, _))| ((*setting).to_owned(), value.clone()))
            .collect()
    }

    /// Where a setting's value comes from.
    #[must_use]
    pub fn origin(&self, section: &str, setting: &str) -> Origin {
        self.values
            .iter()
            .find(|((s, n), _)| *s == section && *n == setting)
            .map_or(Origin::Default, |(_, (_, origin))| origin.clone())
    }

    fn text(&self, section: &'static str, setting: &'static str) -> Option<String> {
        self.values.get(&(section, setting))?.0.as_str().map(str::to_owned)
    }

    fn defaults(&mut self) -> Result<(), ConfigError> {
        for section in SECTIONS {
            for setting in section.settings.iter().filter(|setting| !setting.default.is_empty()) {
                let line = format!("value = {}", setting.default);
                let value = line.parse::<Table>().ok().and_then(|mut table| table.remove("value"));
                let value = value.ok_or(ConfigError::BadDefault { setting: setting.name })?;
                self.values.insert((section.name, setting.name), (value, Origin::Default));
            }
        }
        Ok(())
    }

    /// Takes a whole file, or the table of a network (`within`).
    fn table(&mut self, table: &Table, within: &str, origin: &Origin) -> Result<(), ConfigError> {
        let shown = |name: &str| {
            if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") }
        };
        for (name, value) in table {
            if let Some(found) = section(name).filter(|section| !section.name.is_empty()) {
                for (name, value) in as_table(value, &shown(name))? {
                    let setting = found
                        .setting(name)
                        .ok_or_else(|| unknown(&shown(&found.path(name)), &found.path(name)))?;
                    self.put(found, setting, value.clone(), origin.clone())?;
                }
                continue;
            }
            let top = section("").and_then(|top| Some((top, top.setting(name)?)));
            match top {
                // A network inside the table of a network makes no sense, its name least of all.
                Some((top, setting)) if within.is_empty() || setting.name != "network" => {
                    self.put(top, setting, value.clone(), origin.clone())?;
                }
                _ if within.is_empty() && Network::parse(name).is_some() => {
                    // The tables of other networks are checked too: a slip there is a slip.
                    Self::default().table(as_table(value, name)?, name, origin)?;
                }
                _ => return Err(unknown(&shown(name), name)),
            }
        }
        Ok(())
    }

    fn variables(&mut self, variables: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        for section in SECTIONS {
            for setting in section.settings {
                let name = section.variable(setting);
                // The password itself has this name; where it comes from is another setting's task.
                if name == crate::seed::password::VARIABLE {
                    continue;
                }
                if let Some(text) = variables.get(&name) {
                    let origin = Origin::Variable(name.clone());
                    let value = read(section, setting, text, &origin)?;
                    self.put(section, setting, value, origin)?;
                }
            }
        }
        // A slip in the rest of a name would go unseen: those that begin like a section must be known.
        for name in variables.keys() {
            let section = SECTIONS.iter().find(|section| {
                let start = format!("VIADUCT_{}_", section.name.to_ascii_uppercase());
                !section.name.is_empty() && name.starts_with(&start)
            });
            let known = |section: &Section| {
                section.settings.iter().any(|setting| section.variable(setting) == *name)
            };
            if section.is_some_and(|section| !known(section)) {
                let names: Vec<String> = all(Section::variable);
                return Err(ConfigError::Unknown {
                    name: name.clone(),
                    meant: nearest(name, names),
                });
            }
        }
        Ok(())
    }

    fn flags(&mut self, flags: &[(String, String)]) -> Result<(), ConfigError> {
        for (path, text) in flags {
            let (of, name) = path.rsplit_once('.').unwrap_or(("", path));
            let found = section(of).and_then(|section| Some((section, section.setting(name)?)));
            let (section, setting) = found.ok_or_else(|| unknown(path, path))?;
            let value = read(section, setting, text, &Origin::Flag)?;
            self.put(section, setting, value, Origin::Flag)?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        section: &'static Section,
        setting: &'static Setting,
        value: Value,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        let fits = match setting.kind {
            Kind::Text => value.is_str(),
            Kind::Number => value.as_integer().is_some_and(|number| number >= 0),
            Kind::Switch => value.is_bool(),
            Kind::List => value.as_array().is_some_and(|list| list.iter().all(Value::is_str)),
        };
        if !fits {
            return Err(ConfigError::WrongKind {
                path: section.path(setting.name),
                origin,
                kind: setting.kind,
            });
        }
        // Blanks at the end come with pasting.
        let trimmed = value.as_str().map(|text| Value::String(text.trim().to_owned()));
        let value = trimmed.unwrap_or(value);
        self.values.insert((section.name, setting.name), (value, origin));
        Ok(())
    }
}

fn parse_file(path: &std::path::Path, text: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| ConfigError::Syntax {
        path: path.to_path_buf(),
        line: error.span().map_or(0, |span| {
            text.get(..span.start).map_or(0, |before| before.lines().count().max(1))
        }),
        what: error.message().to_owned(),
    })
}

fn as_table<'a>(value: &'a Value, name: &str) -> Result<&'a Table, ConfigError> {
    value.as_table().ok_or_else(|| ConfigError::NotATable { name: name.to_owned() })
}

/// Reads the text of a variable or flag as the setting's kind.
fn read(
    section: &Section,
    setting: &Setting,
    text: &str,
    origin: &Origin,
) -> Result<Value, ConfigError> {
    let wrong = || ConfigError::WrongKind {
        path: section.path(setting.name),
        origin: origin.clone(),
        kind: setting.kind,
    };
    let text = text.trim();
    Ok(match setting.kind {
        Kind::Text => Value::String(text.to_owned()),
        Kind::Number => Value::Integer(text.replace('_', "").parse().map_err(|_| wrong())?),
        Kind::Switch => Value::Boolean(text.parse().map_err(|_| wrong())?),
        Kind::List => Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .map(|word| Value::String(word.to_owned()))
                .collect(),
        ),
    })
}

fn all(name: impl Fn(&Section, &Setting) -> String) -> Vec<String> {
    SECTIONS
        .iter()
        .flat_map(|section| section.settings.iter().map(|setting| name(section, setting)))
        .collect()
}

fn unknown(shown: &str, path: &str) -> ConfigError {
    let mut names = all(|section, setting| section.path(setting.name));
    // A setting in the wrong table is the commonest slip: it is found by its name alone.
    let last = path.rsplit('.').next().unwrap_or(path);
    if let Some(there) = names.iter().find(|name| name.rsplit('.').next() == Some(last)) {
        return ConfigError::Unknown { name: shown.to_owned(), meant: Some(there.clone()) };
    }
    names.extend(SECTIONS.iter().map(|section| section.name.to_owned()));
    ConfigError::Unknown { name: shown.to_owned(), meant: nearest(path, names) }
}

/// The name that is at most a third of its letters away.
fn nearest(name: &str, names: Vec<String>) -> Option<String> {
    let far = |other: &String| distance(name, other);
    let best = names.into_iter().filter(|name| !name.is_empty()).min_by_key(far)?;
    let limit = best.chars().count().div_ceil(3);
    (distance(name, &best) <= limit).then_some(best)
}

/// How many letters must be changed, added or taken away (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, letter) in a.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above.saturating_add(1);
        let mut next = vec![left];
        for (other, up) in b.iter().zip(row.iter().skip(1)) {
            let change = diagonal.saturating_add(usize::from(letter != *other));
            left = change.min(left.saturating_add(1)).min(up.saturating_add(1));
            next.push(left);
            diagonal = *up;
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
