//! A Markdown page as the checks see it: its code blocks with their marks, its headings' anchors, its links.
//!
//! Whether a link leads somewhere and whether a command works are asked by different tools. They read the page by
//! the same eyes, so that no block is text for the one and code for the other. It is no parser of Markdown: it
//! knows fences, headings with `#`, links and comments of one line, which is what our pages use.

use std::collections::BTreeMap;

/// What is known of one page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The fenced blocks, from top to bottom.
    pub blocks: Vec<Block>,
    /// The names by which links reach the headings.
    pub anchors: Vec<String>,
    /// Where links point, each with its line.
    pub links: Vec<(usize, String)>,
}

/// One fenced block.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of its opening fence, from 1.
    pub line: usize,
    /// What stands behind the opening fence.
    pub language: String,
    /// What the comment directly above it says.
    pub mark: Mark,
    /// Its lines, each with its end.
    pub text: String,
}

/// What a comment above a block says of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nothing stands there.
    Absent,
    /// `<!-- not run: why -->`
    NotRun(String),
    /// `<!-- run by: cargo xtask NAME -->`, or the path of a test's file.
    RunBy(String),
    /// `<!-- starts the server -->`: what comes below speaks with it.
    StartsServer,
    /// `<!-- config of: PROGRAM -->`
    ConfigOf(String),
    /// `<!-- from: PATH -->`: the lines stand in this file.
    From(String),
    /// A comment that is none of these.
    Unknown(String),
}

impl Page {
    /// Reads a page.
    pub fn read(content: &str) -> Self {
        let mut page = Self::default();
        let mut seen = BTreeMap::new();
        let mut above = "";
        let mut open: Option<Block> = None;
        for (index, line) in content.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (open.take(), fence) {
                (Some(block), Some(_)) => page.blocks.push(block),
                (Some(mut block), None) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
                (None, Some(language)) => {
                    let (language, mark) = (language.trim().to_owned(), mark(above));
                    open = Some(Block { line: index + 1, language, mark, text: String::new() });
                }
                (None, None) => {
                    page.anchors.extend(heading(line).map(|text| anchor(text, &mut seen)));
                    page.links.extend(targets(line).into_iter().map(|target| (index + 1, target)));
                }
            }
            above = line;
        }
        page.blocks.extend(open);
        page
    }
}

fn mark(above: &str) -> Mark {
    let comment = above.trim().strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->"));
    let Some(comment) = comment.map(str::trim) else { return Mark::Absent };
    match comment.split_once(": ") {
        Some(("not run", why)) => Mark::NotRun(why.to_owned()),
        Some(("run by", what)) => Mark::RunBy(what.to_owned()),
        Some(("from", path)) => Mark::From(path.to_owned()),
        Some(("config of", program)) => Mark::ConfigOf(program.to_owned()),
        None if comment == "starts the server" => Mark::StartsServer,
        _ => Mark::Unknown(comment.to_owned()),
    }
}

fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    let depth = line.len() - text.len();
    text.strip_prefix(' ').filter(|_| (1..=6).contains(&depth))
}

/// The name that the usual renderers give a heading: lower case, dashes for blanks, a number when it comes again.
fn anchor(heading: &str, seen: &mut BTreeMap<String, usize>) -> String {
    let mut name = String::new();
    for letter in without_targets(heading).trim().chars() {
        match letter {
            ' ' => name.push('-'),
            '-' | '_' => name.push(letter),
            letter if letter.is_alphanumeric() => name.extend(letter.to_lowercase()),
            _ => {}
        }
    }
    let times = seen.entry(name.clone()).or_default();
    *times += 1;
    if *times > 1 { format!("{name}-{}", *times - 1) } else { name }
}

/// A heading's text, where a link counts with what is shown of it.
fn without_targets(heading: &str) -> String {
    let mut parts = heading.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    text
}

/// What the links of a line point at, in both forms: `[text](target)` and `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let line = without_code_spans(line);
    let mut found = Vec::new();
    for (at, _) in line.match_indices("](") {
        if let Some((inside, _)) = line[at + 2..].split_once(')') {
            found.push(inside);
        }
    }
    if line.starts_with('[')
        && let Some((name, target)) = line.split_once("]: ")
        && !name.starts_with("[^")
    {
        found.push(target);
    }
    // A title may stand behind the target.
    found.iter().filter_map(|target| target.split_whitespace().next()).map(str::to_owned).collect()
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_with_language_line_and_the_mark_directly_above() {
        let page = Page::read(
            "# A\n<!-- not run: needs a GPU -->\n```sh\na\nb\n```\n\n<!-- run by: x.rs -->\n\n```toml\n```\n",
        );
        let not_run = Mark::NotRun("needs a GPU".to_owned());
        let sh = Block { line: 3, language: "sh".to_owned(), mark: not_run, text: "a\nb\n".to_owned() };
        let toml = Block { line: 10, language: "toml".to_owned(), mark: Mark::Absent, text: String::new() };
        assert_eq!(page.blocks, [sh, toml]);
    }

    #[test]
    fn marks_are_told_apart_and_a_mistyped_one_is_not_lost() {
        assert_eq!(mark("<!-- starts the server -->"), Mark::StartsServer);
        assert_eq!(mark("<!-- config of: orchestratord -->"), Mark::ConfigOf("orchestratord".to_owned()));
        assert_eq!(mark("<!-- from: a/b.rs -->"), Mark::From("a/b.rs".to_owned()));
        assert_eq!(mark("<!-- notrun: x -->"), Mark::Unknown("notrun: x".to_owned()));
        assert_eq!(mark("words"), Mark::Absent);
    }

    #[test]
    fn anchors_are_what_renderers_make_of_headings() {
        let page = Page::read(
            "# What `explain` shows, and why\n## A [link](x.md)\n## A link\n#no\n####### no\n```\n# no\n```\n## Ü_1-2\n",
        );
        assert_eq!(page.anchors, ["what-explain-shows-and-why", "a-link", "a-link-1", "ü_1-2"]);
    }

    #[test]
    fn links_in_code_are_none() {
        let page = Page::read("[a](b.md#c \"t\") `[x](y)`\n```\n[d](e)\n```\n[f]: g\n[^n]: h\n");
        assert_eq!(page.links, [(1, "b.md#c".to_owned()), (5, "g".to_owned())]);
    }
}
