//! `pinhost plugin new`: a folder that builds, tests and runs as it stands.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::{CliError, Exit, output};
use crate::plugin::standard;

#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// What the plugin is called, in small letters: strip-emoji.
    name: String,
    /// The folder to make [default: NAME]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// A plugin called `my-plugin`, which is what stands in the files for another name.
const TEMPLATE: [(&str, &str); 6] = [
    (".cargo/config.toml", include_str!("template/.cargo/config.toml")),
    (".gitignore", include_str!("template/.gitignore")),
    ("Cargo.toml", include_str!("template/Cargo.toml")),
    ("README.md", include_str!("template/README.md")),
    ("cases/my-plugin.yaml", include_str!("template/cases/my-plugin.yaml")),
    ("src/lib.rs", include_str!("template/src/lib.rs")),
];

/// Where the SDK goes, with the contract beside it as in pinhost's own sources.
const VENDOR: &str = "vendor/pinhost";

pub(super) fn run(args: &NewArgs) -> Result<Exit, CliError> {
    check(&args.name)?;
    let folder = args.path.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    if folder.symlink_metadata().is_ok() {
        return Err(CliError::input(format!("{} is there already", folder.display()))
            .help("choose another folder with --path, or remove this one"));
    }
    write(&folder, &args.name)
        .map_err(|error| CliError::io(format!("cannot make {}", folder.display()), &error))?;
    output::result(folder.display())?;
    let shown = folder.display();
    output::talk(format!(
        "\nA plugin that writes a text column in capitals; its rule is in src/lib.rs. Next:\n\n  \
         cd {shown}\n  \
         pinhost plugin test     runs its golden cases in the sandbox\n  \
         pinhost plugin build    makes {}.wasm, to be named in a rule",
        args.name
    ));
    Ok(Exit::Done)
}

/// Makes the whole folder or none.
fn write(folder: &Path, name: &str) -> io::Result<()> {
    let parent = folder.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let draft = tempfile::Builder::new().prefix(".pinhost-new-").tempdir_in(parent)?;
    // A folder like any other, not a private one.
    let made = draft.path().join("made");
    let named = |text: &str| text.replace("my-plugin", name).replace("MyPlugin", &type_name(name));
    let template = TEMPLATE.iter().map(|(path, text)| (PathBuf::from(named(path)), named(text)));
    let kit =
        standard::KIT.iter().map(|(path, text)| (Path::new(VENDOR).join(path), text.to_string()));
    for (path, text) in template.chain(kit) {
        let path = made.join(path);
        fs::create_dir_all(path.parent().expect("it is below the folder"))?;
        fs::write(path, text)?;
    }
    fs::rename(made, folder)
}

fn type_name(name: &str) -> String {
    name.split('-')
        .map(|part| {
            let (first, rest) = part.split_at(1);
            first.to_ascii_uppercase() + rest
        })
        .collect()
}

/// What a crate cannot be called, or not without trouble.
const TAKEN: [&str; 59] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "pinhost-plugin",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "schemars",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "use",
    "where",
];

const NAME_BYTES_MAX: usize = 64;

fn check(name: &str) -> Result<(), CliError> {
    let error = |why: &str| CliError::input(format!("`{name}` cannot be a plugin's name: {why}"));
    let standard = standard::names().any(|standard| standard == name);
    if standard {
        return Err(error("a plugin that comes with pinhost is called so")
            .help(format!("for example my-{name}")));
    }
    if TAKEN.contains(&name) {
        return Err(
            error("Rust or one of its crates has that name").help(format!("for example my-{name}"))
        );
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(error("it is too long").help(format!("at most {NAME_BYTES_MAX} letters")));
    }
    if is_kebab(name) {
        return Ok(());
    }
    let why = "it is made of small letters and digits, with a hyphen between words";
    Err(match kebab(name) {
        Some(meant) => error(why).help(format!("pinhost plugin new {meant}")),
        None => error(why).help("for example strip-emoji"),
    })
}

fn is_kebab(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('-').all(is_word)
}

/// The name as it would be right.
fn kebab(name: &str) -> Option<String> {
    let mut kebab = String::new();
    let mut before = '-';
    for char in name.chars() {
        if char.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
            kebab.push('-');
        }
        match char.to_ascii_lowercase() {
            char if char.is_ascii_alphanumeric() => kebab.push(char),
            _ if kebab.is_empty() || kebab.ends_with('-') => {}
            _ => kebab.push('-'),
        }
        before = char;
    }
    let kebab = kebab.trim_end_matches('-');
    let kebab = if kebab.starts_with(|first: char| first.is_ascii_digit()) {
        format!("plugin-{kebab}")
    } else {
        kebab.to_owned()
    };
    (is_kebab(&kebab) && !TAKEN.contains(&kebab.as_str())).then_some(kebab)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_right_is_put_right() {
        for (written, meant) in [
            ("StripEmoji", Some("strip-emoji")),
            ("strip_emoji", Some("strip-emoji")),
            ("strip emoji!", Some("strip-emoji")),
            ("-strip--emoji-", Some("strip-emoji")),
            ("3d", Some("plugin-3d")),
            ("Mod", None),
            ("ö", None),
            ("", None),
        ] {
            assert!(!is_kebab(written), "{written}");
            assert_eq!(kebab(written).as_deref(), meant, "{written}");
        }
        for right in ["a", "strip-emoji", "h3-index", "top-10"] {
            assert!(is_kebab(right), "{right}");
        }
    }

    #[test]
    fn the_template_is_called_my_plugin_and_nothing_else() {
        assert_eq!(type_name("strip-emoji2"), "StripEmoji2");
        for (path, text) in TEMPLATE {
            let text = text.to_lowercase();
            for (at, _) in text.match_indices("my") {
                let rest = &text[at..];
                let whole = rest.starts_with("my-plugin") || rest.starts_with("myplugin");
                assert!(whole, "{path}: {}", &rest[..rest.len().min(20)]);
            }
        }
    }
}
