//! The name that was probably meant.

use std::fs;
use std::path::Path;

/// The closest of the names that are known, if it is close enough to be a misspelling.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(written, known), known))
        .filter(|(distance, known)| *distance <= known.chars().count().max(3) / 3)
        .min()
        .map(|(_, known)| known)
}

/// What to do about a name that is not known: the one that was probably meant, or all that there
/// are.
pub(crate) fn help(written: &str, known: &[&str], what: &str) -> Option<String> {
    match nearest(written, known.iter().copied()) {
        Some(meant) => Some(format!("did you mean `{meant}`?")),
        None if known.is_empty() => None,
        None => Some(format!("{what} {}", known.join(", "))),
    }
}

/// What to do about a file that is not there: those beside it.
pub(crate) fn file(missing: &Path, ends: &str) -> Option<String> {
    let name = missing.file_name()?.to_str()?;
    let folder = missing.parent().filter(|folder| *folder != Path::new(""));
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(ends))
        .collect();
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    help(name, &names, "beside it there is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        assert_eq!(nearest("expects", ["name", "expect"]), Some("expect"));
        assert_eq!(nearest("zzz", ["name", "expect"]), None);
    }
}
