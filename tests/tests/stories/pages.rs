//! The pages: their links lead somewhere, and what they show is what is seen.

use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::Lines;

use pinhost_tests::answers::repository;
use pinhost_tests::command::{command, said};
use pinhost_tests::{cache, pinhost};
use tempfile::TempDir;

const README_LINES_MAX: usize = 200;
/// Folders of a checkout that hold nothing of ours.
const NOT_OURS: [&str; 3] = ["target", ".git", "node_modules"];

/// Every page of the repository, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    let mut folders = vec![repository()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry"))
        {
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                if !NOT_OURS.iter().any(|other| name == *other) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|end| end == "md") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                pages.push((path, text));
            }
        }
    }
    pages.sort();
    pages
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut links = 0;
    for (page, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            links += 1;
            if !page.parent().expect("a folder").join(file).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(links > 50, "{links} links");
    assert_eq!(broken, [""; 0]);
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("UTF-8");
    let lines = readme.lines().count();
    assert!(
        lines <= README_LINES_MAX,
        "{lines} lines: what is beyond {README_LINES_MAX} is a page"
    );
}

/// What a page shows in a block called `console` is typed in a folder that has the shipped pipelines, and
/// the files that the page shows before.
#[test]
fn what_is_shown_is_what_is_seen() {
    let mut typed = 0;
    for (page, text) in pages() {
        if !text.contains("```console") {
            continue;
        }
        let folder = TempDir::new().expect("a folder");
        copy(&repository().join("pipelines"), &folder.path().join("pipelines"));
        for shown in shown(&text) {
            match shown {
                Shown::File { name, text } => {
                    fs::write(folder.path().join(name), text).expect("a file");
                }
                Shown::Command { typed: command, said } => {
                    typed += 1;
                    let seen = plain(&run(folder.path(), &command), folder.path());
                    let said = plain(&said, folder.path());
                    assert!(
                        fits(&said, &seen),
                        "{}\n$ {command}\n--- shown\n{}\n--- seen\n{}",
                        page.display(),
                        said.join("\n"),
                        seen.join("\n")
                    );
                }
            }
        }
    }
    assert!(typed >= 5, "{typed} commands");
}

/// The files in the ConfigMap of the deployment.
#[test]
fn the_deployed_pipeline_passes_its_check_and_its_tests() {
    let manifest = repository().join("examples/deploy/kubernetes/pins.yaml");
    let manifest = fs::read_to_string(manifest).expect("UTF-8");
    let folder = TempDir::new().expect("a folder");
    for name in ["pins.yaml", "pin-rule.yaml"] {
        let (_, below) = manifest.split_once(&format!("  {name}: |\n")).expect("it is there");
        let lines = below.lines().map_while(|line| line.strip_prefix("    "));
        let text = lines.fold(String::new(), |text, line| text + line + "\n");
        let secret = folder.path().join("database-url");
        let text = text.replace("/run/secrets/pins/database-url", &secret.display().to_string());
        fs::write(folder.path().join(name), text).expect("a file");
    }
    fs::write(folder.path().join("database-url"), "postgres://pins@db/pins\n").expect("a file");
    for verb in ["check", "test"] {
        let mut pinhost = command(pinhost!(), folder.path());
        pinhost.args([verb, "pins.yaml"]).env("KAFKA_BROKERS", "kafka:9092");
        said(&mut pinhost).done();
    }
}

#[derive(Debug)]
enum Shown {
    /// A block of YAML that begins with `# NAME.yaml`, or a comment that begins with `file: NAME`.
    File { name: String, text: String },
    /// A line that begins with `$ `, and what is below it.
    Command { typed: String, said: String },
}

fn shown(page: &str) -> Vec<Shown> {
    let mut shown = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("<!-- file: ") {
            shown.push(Shown::File { name: name.to_owned(), text: until(&mut lines, "-->") });
        } else if line == "```yaml" {
            let name = lines.peek().and_then(|first| first.strip_prefix("# "));
            let name = name.filter(|name| name.ends_with(".yaml") && !name.contains('/'));
            let (name, text) = (name.map(str::to_owned), until(&mut lines, "```"));
            shown.extend(name.map(|name| Shown::File { name, text }));
        } else if line == "```console" {
            let block = until(&mut lines, "```");
            for command in format!("\n{block}").split("\n$ ").skip(1) {
                let (typed, said) = command.split_once('\n').unwrap_or((command, ""));
                let typed = typed.replace("cargo run --release -- ", "pinhost ");
                shown.push(Shown::Command { typed, said: said.to_owned() });
            }
        }
    }
    shown
}

fn until(lines: &mut Peekable<Lines<'_>>, end: &str) -> String {
    lines.take_while(|line| *line != end).fold(String::new(), |text, line| text + line + "\n")
}

/// What a shell shows of it.
fn run(folder: &Path, command: &str) -> String {
    let rest = command.strip_prefix("pinhost ").expect("pages show commands of pinhost");
    let line = format!("\"$PINHOST\" {rest} 2>&1");
    let output = Command::new("sh")
        .args(["-c", &line])
        .current_dir(folder)
        .env("PINHOST", pinhost!())
        .env("PINHOST_CACHE_DIR", cache())
        .env("COLUMNS", "100")
        .env("RECORDS", "20000")
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Lines without what is another each time: figures, digests, the folder, and how far columns are apart.
fn plain(text: &str, folder: &Path) -> Vec<String> {
    let folder = fs::canonicalize(folder).expect("a folder");
    let text = text.replace(&format!("{}/", folder.display()), "");
    text.lines()
        .map(|line| {
            let words = line.split_whitespace().map(|word| {
                let bare = word.trim_end_matches(['.', ',', ';', ':', ')']);
                let is_digest =
                    bare.len() == 12 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
                if is_digest { "DIGEST".to_owned() } else { without_figures(word) }
            });
            words.collect::<Vec<_>>().join(" ")
        })
        .map(|line| ["0 ms", "0 µs"].iter().fold(line, |line, unit| line.replace(unit, "0 s")))
        .map(|line| ["0 KiB", "0 B"].iter().fold(line, |line, unit| line.replace(unit, "0 MiB")))
        .filter(|line| !line.is_empty())
        .collect()
}

/// Each number is 0, and so is a digest behind a hyphen.
fn without_figures(word: &str) -> String {
    if let Some((before, digest)) = word.rsplit_once('-')
        && digest.len() == 12
        && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return format!("{}-DIGEST", without_figures(before));
    }
    let mut plain = String::new();
    let mut chars = word.chars().peekable();
    while let Some(char) = chars.next() {
        if !char.is_ascii_digit() {
            plain.push(char);
            continue;
        }
        plain.push('0');
        while chars.next_if(|next| next.is_ascii_digit() || matches!(next, ',' | '.')).is_some() {}
    }
    plain
}

/// Whether what is shown is what is seen, where `…` stands for any lines.
fn fits(shown: &[String], seen: &[String]) -> bool {
    match shown.split_first() {
        None => seen.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=seen.len()).any(|skipped| fits(rest, &seen[skipped..]))
        }
        Some((first, rest)) => {
            seen.split_first().is_some_and(|(line, below)| line == first && fits(rest, below))
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}
