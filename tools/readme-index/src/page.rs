//! The place in the page between the two markers; nothing else of the page is touched.

use anyhow::{Result, bail};

const BEGIN: &str = "<!-- map: written by `cargo run -p tools-readme-index` -->\n";
const END: &str = "<!-- end of the map -->\n";

/// The page with this table between its markers.
pub(crate) fn with_map(page: &str, table: &str) -> Result<String> {
    let (Some(begin), Some(end)) = (only(page, BEGIN), only(page, END)) else {
        bail!("the page must hold each of `{}` and `{}` once", BEGIN.trim(), END.trim());
    };
    if end < begin {
        bail!("the markers of the map stand in the wrong order");
    }
    let (before, after) = (&page[..begin + BEGIN.len()], &page[end..]);
    // A table needs blank lines around it, or a marker becomes its heading.
    Ok(format!("{before}\n{table}\n{after}"))
}

fn only(page: &str, marker: &str) -> Option<usize> {
    let mut places = page.match_indices(marker).map(|(at, _)| at);
    let first = places.next();
    if places.next().is_some() { None } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = format!("# A\n\n## Map\n\n{BEGIN}old\n{END}\nMore.\n");
        let new = with_map(&page, "| t |\n").unwrap();
        assert_eq!(new, format!("# A\n\n## Map\n\n{BEGIN}\n| t |\n\n{END}\nMore.\n"));
        assert_eq!(with_map(&new, "| t |\n").unwrap(), new, "a second time changes nothing");
    }

    #[test]
    fn a_page_whose_markers_are_missing_doubled_or_turned_round_is_refused() {
        for page in ["", BEGIN, END, &format!("{BEGIN}{END}{END}"), &format!("{BEGIN}{BEGIN}{END}")] {
            let error = with_map(page, "").unwrap_err().to_string();
            assert!(error.contains("once"), "{page}: {error}");
        }
        let error = with_map(&format!("{END}{BEGIN}"), "").unwrap_err().to_string();
        assert!(error.contains("wrong order"), "{error}");
    }
}
