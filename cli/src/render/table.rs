//! Tables without rules: a heading, then one line a thing.

use console::{Alignment, measure_text_width, pad_str};

/// What stands between two columns.
const GAP: &str = "  ";

/// A column: its heading, and on which side its values stand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

impl Column {
    const fn heading(self) -> &'static str {
        match self {
            Self::Left(heading) | Self::Right(heading) => heading,
        }
    }

    const fn side(self) -> Alignment {
        match self {
            Self::Left(_) => Alignment::Left,
            Self::Right(_) => Alignment::Right,
        }
    }
}

/// A table, or the other text when it would be empty. Cells may be coloured.
pub(crate) fn table(columns: &[Column], rows: Vec<Vec<String>>, empty: &str) -> String {
    if rows.is_empty() {
        return empty.to_owned();
    }
    let heading = columns.iter().map(|column| column.heading().to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let width = |index: usize| {
        let cells = lines.iter().filter_map(|line| line.get(index));
        cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let text = |line: &Vec<String>| {
        let cells = line.iter().zip(columns).zip(&widths);
        let padded =
            cells.map(|((cell, column), width)| pad_str(cell, *width, column.side(), None));
        padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    lines.iter().map(text).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_headings_whatever_their_colour() {
        let rows = vec![
            vec!["bob".into(), "1 000".into(), "\u{1b}[32mopen\u{1b}[0m".into()],
            vec!["carol".into(), "25".into(), "closing".into()],
        ];
        let columns = [Column::Left("PEER"), Column::Right("SAT"), Column::Left("STATE")];
        let expected = "PEER     SAT  STATE\n\
                        bob    1 000  \u{1b}[32mopen\u{1b}[0m\n\
                        carol     25  closing";
        assert_eq!(table(&columns, rows, "none"), expected);
        assert_eq!(table(&columns, Vec::new(), "none"), "none");
    }
}
