//! The table: one row for each crate, from the top floor down, the tools last.

use std::cmp::Reverse;

use tools_workspace::floors::{FLOORS, Floor};

/// A crate, as its row needs it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: String,
    /// From the root, with `/`.
    pub(crate) folder: String,
    pub(crate) what: Option<String>,
}

/// The crates of which no row can be made, one line each.
pub(crate) fn problems(rooms: &[Room]) -> Vec<String> {
    let mut problems = Vec::new();
    for room in rooms {
        if place_of(room).is_none() {
            problems.push(format!("{}: no floor in tools/workspace/src/floors.rs", room.name));
        }
        if room.what.is_none() {
            problems.push(format!("{}: neither README.md nor Cargo.toml says what it is", room.folder));
        }
    }
    problems
}

/// The map as Markdown.
pub(crate) fn table(mut rooms: Vec<Room>) -> String {
    rooms.sort_by_key(|room| place_of(room).map(|(row, floor)| (height(floor), row)));
    let rows: Vec<String> = rooms.iter().map(row).collect();
    format!("| Floor | Crate | What it is |\n|---|---|---|\n{}", rows.concat())
}

fn row(room: &Room) -> String {
    let floor = match place_of(room) {
        Some((_, Floor::Level(level))) => level.to_string(),
        Some((_, Floor::Apart)) | None => "apart".to_owned(),
    };
    let Room { folder, what, .. } = room;
    let what = what.as_deref().unwrap_or_default().replace('|', "\\|");
    format!("| {floor} | [{folder}]({folder}/README.md) | {what} |\n")
}

fn place_of(room: &Room) -> Option<(usize, Floor)> {
    FLOORS.iter().enumerate().find(|(_, (name, _))| *name == room.name).map(|(row, (_, floor))| (row, *floor))
}

/// Sorts the highest floor first; what stands apart is under all of them.
fn height(floor: Floor) -> Reverse<Option<u8>> {
    Reverse(match floor {
        Floor::Level(level) => Some(level),
        Floor::Apart => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str, what: &str) -> Room {
        Room { name: name.to_owned(), folder: format!("x/{name}"), what: Some(what.to_owned()) }
    }

    #[test]
    fn rows_come_from_the_top_floor_down_and_the_tools_last() {
        let names = ["xtask", "orchestrator-core", "mock", "config-schema", "orchestratord", "llamacpp-http"];
        let table = table(names.iter().map(|name| room(name, "A|b")).collect());
        let expected = "| Floor | Crate | What it is |\n|---|---|---|\n\
            | 5 | [x/orchestratord](x/orchestratord/README.md) | A\\|b |\n\
            | 4 | [x/mock](x/mock/README.md) | A\\|b |\n\
            | 4 | [x/llamacpp-http](x/llamacpp-http/README.md) | A\\|b |\n\
            | 1 | [x/orchestrator-core](x/orchestrator-core/README.md) | A\\|b |\n\
            | 1 | [x/config-schema](x/config-schema/README.md) | A\\|b |\n\
            | apart | [x/xtask](x/xtask/README.md) | A\\|b |\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_crate_without_a_floor_or_a_sentence_is_named() {
        let mut mute = room("mock", "");
        mute.what = None;
        let problems = problems(&[room("queue-helpers", "Help"), mute, room("xtask", "Commands")]);
        assert_eq!(
            problems,
            [
                "queue-helpers: no floor in tools/workspace/src/floors.rs",
                "x/mock: neither README.md nor Cargo.toml says what it is"
            ]
        );
    }
}
