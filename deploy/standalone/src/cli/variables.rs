//! Reports environment variables that look like settings and are none.

use std::{collections::BTreeSet, env};

/// The prefix of the variables of this program.
const PREFIX: &str = "MEDIA_";
/// The largest number of mistakes in a name for which the right one is suggested.
const MAX_MISTAKES: usize = 3;

/// Reports each variable that begins with `MEDIA_` and that no setting reads, on standard error.
pub(crate) fn report_unknown_variables() {
    let known = known_variables();
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with(PREFIX) || known.contains(name) || is_of_kubernetes(name) {
            continue;
        }
        let advice = match closest(name, &known) {
            Some(known) => format!("did you mean {known}?"),
            None => "media --help lists the settings".to_owned(),
        };
        eprintln!("media: warning: {name} is not a setting and has no effect; {advice}");
    }
}

fn known_variables() -> BTreeSet<String> {
    let command = super::command();
    let commands = std::iter::once(&command).chain(command.get_subcommands());
    let variables = commands.flat_map(clap::Command::get_arguments);
    variables
        .filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()))
        .collect()
}

/// Whether Kubernetes sets the variable in containers beside a service such as `media-api`.
fn is_of_kubernetes(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || (name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP")))
}

/// The most similar known name, if there is one with at most [`MAX_MISTAKES`] mistakes.
fn closest<'k>(name: &str, known: &'k BTreeSet<String>) -> Option<&'k str> {
    let with_distance = known.iter().map(|known| (distance(name, known), known));
    let (mistakes, known) = with_distance.min()?;
    (mistakes <= MAX_MISTAKES).then_some(known.as_str())
}

/// The number of bytes to insert, delete or replace to get from one name to another (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_mistakes() {
        assert_eq!(distance("MEDIA_LISTEN", "MEDIA_LISTEN"), 0);
        assert_eq!(distance("MEDIA_LISTN", "MEDIA_LISTEN"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
