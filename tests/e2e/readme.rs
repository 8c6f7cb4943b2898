//! README's console blocks, typed in order: what they show is what a user sees.

use crate::fleet::{Fleet, can_run};

/// Each command of the README with the lines it is said to print.
fn blocks() -> Vec<(String, Vec<String>)> {
    let readme = include_str!("../../README.md");
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for block in readme.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        for line in block.lines() {
            match line.strip_prefix("$ cluster ") {
                Some(command) => commands.push((command.to_owned(), Vec::new())),
                None => commands.last_mut().expect("a block begins with a command").1.push(line.to_owned()),
            }
        }
    }
    commands
}

/// A line without what differs from run to run: numbers, ids, and how wide columns are.
fn plain(line: &str) -> String {
    let words = line
        .split_whitespace()
        .map(|word| if word.contains(|c: char| c.is_ascii_digit()) { "#" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn readme_shows_what_a_user_sees() {
    if !can_run("readme_shows_what_a_user_sees") {
        return;
    }
    let fleet = Fleet::new("shop", 20, "");
    fleet.without_file();
    let blocks = blocks();
    assert!(blocks.len() >= 6, "README has {} commands", blocks.len());
    for (command, wanted) in blocks {
        let words: Vec<&str> = command.split_whitespace().collect();
        let said = fleet.cluster(&words);
        let status = if words.first() == Some(&"plan") { 2 } else { 0 };
        assert_eq!(said.status, status, "cluster {command}:\n{}\n{}", said.out, said.err);
        let shown: Vec<String> = said.out.lines().chain(said.err.lines()).map(plain).collect();
        for line in wanted.iter().filter(|line| !line.trim().is_empty() && *line != "...") {
            assert!(
                shown.contains(&plain(line)),
                "`cluster {command}` does not print {line:?}, but\n{}\n{}",
                said.out,
                said.err
            );
        }
    }
}
