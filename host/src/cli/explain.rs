//! `pinhost explain`: the pages of the manual, which lie beside what they describe.

use clap::Args;

use super::{CliError, Exit, output};
use crate::plugin::standard;
use crate::sink::SINKS;
use crate::source::SOURCES;
use crate::written::nearest;

/// Names and texts of the pages that are about pinhost as a whole.
static PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// What to explain; all that can be explained, if left out.
    name: Option<String>,
}

/// A page of the manual.
struct Page {
    name: &'static str,
    what: &'static str,
    text: &'static str,
}

pub(super) fn run(args: &ExplainArgs) -> Result<Exit, CliError> {
    let pages = pages();
    let Some(name) = &args.name else {
        let rows = pages
            .iter()
            .map(|page| [page.name.to_owned(), page.what.to_owned(), title(page.text).to_owned()]);
        output::result(output::lines(&output::table(rows), ""))?;
        return Ok(Exit::Done);
    };
    let asked = name.to_lowercase();
    let found: Vec<_> =
        pages.iter().filter(|page| page.name == asked).map(|page| page.text.trim()).collect();
    if found.is_empty() {
        let mut names: Vec<_> = pages.iter().map(|page| page.name).collect();
        names.dedup();
        let error = CliError::input(format!("there is no page about `{name}`"));
        return Err(match nearest::help(&asked, &names, "there are pages about") {
            Some(help) => error.help(help),
            None => error,
        });
    }
    output::result(found.join("\n\n"))?;
    Ok(Exit::Done)
}

fn pages() -> Vec<Page> {
    let pages = PAGES.iter().map(|&(name, text)| Page { name, what: "", text });
    let sources = SOURCES.iter();
    let sources = sources.map(|kind| Page { name: kind.key(), what: "source", text: kind.page() });
    let sinks = SINKS.iter().map(|kind| Page { name: kind.key(), what: "sink", text: kind.page() });
    let plugins = standard::PAGES.iter();
    let plugins = plugins.map(|&(name, text)| Page { name, what: "plugin", text });
    pages.chain(sources).chain(sinks).chain(plugins).collect()
}

/// The first line of it.
fn title(text: &str) -> &str {
    text.lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default()
        .trim_start_matches(['#', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_a_name_of_its_kind_and_a_title() {
        let pages = pages();
        for (at, page) in pages.iter().enumerate() {
            assert!(!title(page.text).is_empty(), "{}", page.name);
            let twin =
                pages[..at].iter().find(|other| (other.name, other.what) == (page.name, page.what));
            assert!(twin.is_none(), "{}", page.name);
        }
        assert!(pages.iter().any(|page| page.what == "plugin"));
        assert!(pages.iter().any(|page| page.what.is_empty()));
    }
}
