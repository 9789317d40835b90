//! The settings as text: a table for the documentation, and a file of all defaults.

use super::{SETTINGS, Setting};

/// Returns the settings as a table in Markdown.
pub fn table() -> String {
    let mut text = "| key | flag, variable | type | default | meaning |\n|---|---|---|---|---|\n".to_owned();
    for setting in SETTINGS {
        let escaped = |text: &str| text.replace('|', "\\|");
        let code = |text: String| {
            if text.is_empty() {
                String::new()
            } else {
                format!("`{text}`")
            }
        };
        let line = format!(
            "| `{}` | {} | {} | {} | {} |\n",
            setting.key,
            names(setting),
            setting.kind,
            escaped(&code(setting.default())),
            escaped(&meaning(setting)),
        );
        text.push_str(&line);
    }
    text
}

/// Returns a file in which every setting stands with its default and its meaning, as a comment.
pub fn defaults() -> String {
    let mut text =
        "# Settings of `sio serve`, each with its default. Remove the # in front of those that you change.\n"
            .to_owned();
    // TOML wants the keys outside tables first, and each table once.
    let mut tables = vec![""];
    for setting in SETTINGS {
        let (table, _) = parts(setting);
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    for table in tables {
        if !table.is_empty() {
            text.push_str(&format!("\n[{table}]\n"));
        }
        for setting in SETTINGS.iter().filter(|setting| parts(setting).0 == table) {
            let value = setting.default();
            let value = if value.is_empty() { example(setting) } else { value };
            text.push_str(&format!("\n# {}\n#{} = {value}\n", setting.help(), parts(setting).1));
        }
    }
    text
}

/// Returns the table of a setting, empty if it stands outside of tables, and its name there.
fn parts(setting: &Setting) -> (&'static str, &'static str) {
    setting.key.rsplit_once('.').unwrap_or(("", setting.key))
}

/// Returns a value for a setting that has no default.
fn example(setting: &Setting) -> String {
    match setting.is_switch {
        true => "true".to_owned(),
        false => "\"\"".to_owned(),
    }
}

fn names(setting: &Setting) -> String {
    let variable = setting.variable();
    let flag = match (setting.flag, setting.is_list) {
        ("", _) => String::new(),
        (flag, false) => format!("`--{flag}` "),
        (flag, true) => format!("`--{flag}` … "),
    };
    match setting.is_secret {
        true => format!("{flag}`{variable}`, `{variable}_FILE`"),
        false => format!("{flag}`{variable}`"),
    }
}

fn meaning(setting: &Setting) -> String {
    match setting.reloads {
        true => format!("{} Reloaded at SIGHUP.", setting.help()),
        false => setting.help(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    const AROUND: (&str, &str) = ("<!-- settings -->\n", "<!-- /settings -->");

    #[test]
    fn the_documented_table_is_that_of_the_code() {
        let document = std::fs::read_to_string(DOCUMENT).unwrap();
        let (before, rest) = document.split_once(AROUND.0).expect("a mark before the table");
        let (written, after) = rest.split_once(AROUND.1).expect("a mark behind it");
        let right = format!("\n{}\n", table());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(DOCUMENT, [before, AROUND.0, &right, AROUND.1, after].concat()).unwrap();
            return;
        }
        assert_eq!(
            written, right,
            "`UPDATE=1 cargo test -p sio-gateway documented_table` rewrites it"
        );
    }

    #[test]
    fn the_file_of_defaults_can_be_read_with_every_setting_in_it() {
        let text = defaults();
        assert!(file::parse("defaults", &text).unwrap().is_empty(), "all are comments");
        let shown: String = text
            .lines()
            .map(|line| {
                format!(
                    "{}\n",
                    line.strip_prefix('#')
                        .filter(|rest| !rest.starts_with(' '))
                        .unwrap_or(line)
                )
            })
            .collect();
        let entries = file::parse("defaults", &shown).unwrap();
        assert_eq!(entries.len(), SETTINGS.len());
        for entry in entries {
            assert!(Setting::of(&entry.key).is_some(), "{}", entry.key);
        }
    }
}
