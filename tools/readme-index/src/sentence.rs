//! The first sentence of a crate's README: what it is, in its own words.

/// The first sentence of the first paragraph, on one line; none when the page has no paragraph.
pub(crate) fn first(page: &str) -> Option<String> {
    let paragraph: Vec<&str> = page
        .lines()
        .map(str::trim)
        .skip_while(|line| line.is_empty() || line.starts_with('#'))
        .take_while(|line| !line.is_empty())
        .collect();
    let text = paragraph.join(" ");
    if text.is_empty() || text.starts_with(['-', '*', '|', '`', '>', '<', '!']) {
        return None;
    }
    let end = text.find(". ").unwrap_or(text.len());
    Some(text[..end].trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_ends_at_its_full_stop_also_behind_a_line_break() {
        let page = "# a\n\nThe adapter for llama.cpp's own\nserver. It is small.\n\nMore.\n";
        assert_eq!(first(page).unwrap(), "The adapter for llama.cpp's own server");
        assert_eq!(first("# a\n\nOne: `b`.\n- c. d\n").unwrap(), "One: `b`");
        assert_eq!(first("No heading and no stop").unwrap(), "No heading and no stop");
    }

    #[test]
    fn a_page_that_begins_with_something_else_has_none() {
        for page in ["", "# a\n", "# a\n\n- a list.\n", "# a\n\n```sh\nx. y\n```\n", "![](x.png)\n"] {
            assert_eq!(first(page), None, "{page}");
        }
    }
}
