//! Arranges `--help` for terminals of 80 columns, and shows the settings of the service only where they matter.

use clap::{Arg, Command};

/// The width of a terminal for which the help is wrapped.
const WIDTH: usize = 80;
/// The indentation of the help of arguments.
const ARGUMENT_INDENT: usize = 10;
/// The commands whose help lists the settings of the service.
const SERVING_COMMANDS: [&str; 2] = ["serve", "demo"];
/// The end of the help of the other commands.
const SETTINGS_HINT: &str = "The settings of the service apply as well, which say where the data of this directory \
                             is; media --help lists them.";

/// Wraps all texts, and hides the settings from the help of commands that run no service for longer.
pub(super) fn arrange(command: Command) -> Command {
    let settings: Vec<Arg> = command
        .get_arguments()
        .filter(|argument| argument.is_global_set())
        .cloned()
        .collect();
    command
        .mut_args(|argument| argument.hide_short_help(true))
        .mut_subcommands(|subcommand| {
            if SERVING_COMMANDS.contains(&subcommand.get_name()) {
                return wrapped(subcommand);
            }
            // An argument that the command has already is not inherited.
            let hidden = settings.iter().map(|argument| argument.clone().hide(true));
            let subcommand = subcommand.args(hidden);
            let hint = match subcommand.get_after_help() {
                Some(own) => format!("{own}\n\n{SETTINGS_HINT}"),
                None => SETTINGS_HINT.to_owned(),
            };
            wrapped(subcommand.after_help(hint))
        })
        .mut_args(wrapped_argument)
        .after_help_wrapped()
}

/// Wraps the texts of a command itself.
trait AfterHelp {
    fn after_help_wrapped(self) -> Self;
}

impl AfterHelp for Command {
    fn after_help_wrapped(self) -> Self {
        let about = self.get_about().map(|text| wrap(&text.to_string(), WIDTH));
        let after = self
            .get_after_help()
            .map(|text| wrap(&text.to_string(), WIDTH));
        let with_about = match about {
            Some(about) => self.about(about),
            None => self,
        };
        match after {
            Some(after) => with_about.after_help(after),
            None => with_about,
        }
    }
}

fn wrapped(command: Command) -> Command {
    command
        .mut_args(wrapped_argument)
        .next_line_help(true)
        .after_help_wrapped()
}

fn wrapped_argument(argument: Arg) -> Arg {
    // An empty text is no default that a reader would want to know.
    let argument = match argument.get_default_values() {
        [value] if value.is_empty() => argument.hide_default_value(true),
        _ => argument,
    };
    let Some(help) = argument.get_help().map(ToString::to_string) else {
        return argument;
    };
    let help = wrap(&help, WIDTH - ARGUMENT_INDENT);
    argument.help(help.clone()).long_help(help)
}

/// Breaks lines at spaces, so that none is longer than `width` characters.
fn wrap(text: &str, width: usize) -> String {
    let wrapped = text.lines().map(|line| wrap_line(line, width));
    wrapped.collect::<Vec<_>>().join("\n")
}

fn wrap_line(line: &str, width: usize) -> String {
    // Lines that begin with spaces are examples.
    if line.starts_with(' ') {
        return line.to_owned();
    }
    let mut wrapped = String::new();
    let mut column = 0;
    for word in line.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            wrapped.push('\n');
            column = 0;
        } else if column > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += length;
    }
    wrapped
}
