//! The README's table of failures has every status and every reason once. What it says of them is shown row by row in
//! tests/suite/rows.rs.

use crate::header::HEADER;

#[test]
fn the_table_of_failures_has_each_status_and_reason_once() {
    let readme = crate::read("README.md");
    let (_, table) = readme
        .split_once("| status | reason | meaning | executed |\n")
        .expect("the table");
    let (mut statuses, mut reasons) = (Vec::new(), Vec::new());
    for row in table.lines().skip(1).take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.split('|').collect();
        let words = |cell: &str| {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        statuses.extend(words(cells[1]));
        reasons.extend(words(cells[2]));
    }
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let of = |prefix: &str| {
        HEADER
            .of(prefix)
            .into_iter()
            .map(str::to_owned)
            .filter(|name| name != "NONE")
            .collect()
    };
    assert_eq!(sorted(statuses), sorted(of("ERR_")));
    assert_eq!(sorted(reasons), sorted(of("REASON_")));
}
